//! The public listener: `POST /webhooks/{name}`, and `GET /readyz` for load balancers.
//!
//! A request passes route, method, size, body, signature and journal, in this order, and the first that fails answers.
//! Between its last byte and the journal's queue nothing is awaited, so a complete delivery is verified and queued whole
//! or not at all, and a sender that hangs up takes nothing back. 200 is said after the commit that holds the delivery.
//!
//! Each outcome is logged once, here, with names and sizes: never a body, a secret or a signature.

pub mod delivery;
pub mod health;

mod body;
mod budget;
pub(crate) mod listener;
mod response;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::routing::any;
use prometheus::IntCounter;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{Ack, Listen, Webhook};
use crate::failpoint;
use crate::journal::quarantine::Quarantine;
use crate::journal::{AppendError, Appended, AppendedKind, Journal};
use crate::metrics::{Metrics, WebhookMetrics};
use crate::time::Timestamp;
use crate::verify::proof::Proof;
use crate::verify::{Verifier, verify};
use body::{BodyError, Limits, Whole};
use budget::Budget;
use delivery::{Delivery, KeptHeaders, WebhookName};
use health::{Probe, READS, is_read};
use response::Outcome;

/// Takes deliveries to a journal. Clones share everything.
#[derive(Clone)]
pub struct Receiver(Arc<Shared>);

struct Shared {
    endpoints: BTreeMap<WebhookName, Endpoint>,
    journal: Journal,
    quarantine: Quarantine,
    limits: Limits,
    budget: Budget,
    probe: Probe,
    no_such_webhook: IntCounter,
    /// Whether it is time to stop: nobody waits for Kafka any more.
    stopping: watch::Sender<bool>,
}

/// A configured webhook, ready to verify.
struct Endpoint {
    name: WebhookName,
    verifier: Verifier,
    ack: Ack,
    metrics: WebhookMetrics,
}

impl Receiver {
    /// A receiver of these webhooks, which gives what it refuses as unverified to the quarantine.
    pub fn new(
        listen: &Listen,
        webhooks: &BTreeMap<WebhookName, Webhook>,
        (journal, quarantine): (Journal, Quarantine),
        probe: Probe,
        metrics: &Metrics,
    ) -> Self {
        let endpoint = |(name, webhook): (&WebhookName, &Webhook)| {
            let endpoint = Endpoint {
                name: name.clone(),
                verifier: Verifier::new(webhook),
                ack: webhook.ack,
                metrics: metrics.webhook(name.as_str(), webhook.secrets.len()),
            };
            (name.clone(), endpoint)
        };
        Self(Arc::new(Shared {
            endpoints: webhooks.iter().map(endpoint).collect(),
            journal,
            quarantine,
            limits: Limits {
                max_bytes: listen.max_body_bytes,
                read_timeout: listen.read_timeout,
            },
            budget: Budget::new(),
            probe,
            no_such_webhook: metrics.no_such_webhook(),
            stopping: watch::Sender::new(false),
        }))
    }

    /// Serves the public listener until `shutdown` resolves and requests under way are answered.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let header_timeout = self.0.limits.read_timeout;
        let shared = Arc::clone(&self.0);
        let shutdown = async move {
            shutdown.await;
            shared.stopping.send_replace(true);
        };
        let router = Router::new()
            .route("/webhooks/{name}", any(receive))
            .route("/readyz", any(readyz))
            .fallback(no_such_path)
            .with_state(self);
        listener::serve(listener, router, header_timeout, shutdown).await;
    }
}

async fn receive(State(Receiver(shared)): State<Receiver>, request: Request) -> Outcome {
    let (head, body) = request.into_parts();
    let Some(endpoint) = shared.endpoint(head.uri.path()) else {
        body::refuse(&head.headers, body, shared.limits);
        let path: String = head.uri.path().chars().take(LOGGED_CHARS).collect();
        tracing::warn!(path, "refused: no such webhook is configured");
        shared.no_such_webhook.inc();
        return Outcome::NoSuchPath;
    };
    if head.method != Method::POST {
        body::refuse(&head.headers, body, shared.limits);
        tracing::warn!(webhook = %endpoint.name, method = %head.method, "refused: not a POST");
        endpoint.metrics.other_method.inc();
        return Outcome::OtherMethod("POST");
    }
    match body::read(&head.headers, body, shared.limits, &shared.budget).await {
        Ok(whole) => shared.take(endpoint, head, whole).await,
        Err(error) => {
            tracing::warn!(webhook = %endpoint.name, reason = %error, "refused");
            endpoint.count_unread(&error);
            Outcome::NoBody(error)
        }
    }
}

impl Shared {
    /// Names are plain characters, so that an escaped path is another path.
    fn endpoint(&self, path: &str) -> Option<&Endpoint> {
        self.endpoints.get(path.strip_prefix("/webhooks/")?)
    }

    /// Verifies and stores a complete delivery.
    async fn take(&self, endpoint: &Endpoint, head: Parts, whole: Whole<'_>) -> Outcome {
        failpoint::hit("receive.body-complete");
        let received = Instant::now();
        let bytes = whole.bytes.len();
        let delivery = Delivery {
            webhook: endpoint.name.clone(),
            received_at: Timestamp::now(),
            headers: kept_headers(&head.headers),
            body: whole.bytes,
        };
        let verified = match verify(delivery, &head.headers, &endpoint.verifier) {
            Ok(verified) => verified,
            Err(refused) => {
                tracing::warn!(webhook = %endpoint.name, bytes, reason = %refused.refusal, "refused");
                endpoint.metrics.refused(refused.refusal);
                self.quarantine.offer(*refused, Proof::of(&head.headers));
                return Outcome::Unverified;
            }
        };
        failpoint::hit("receive.verified");
        endpoint.metrics.signed_by(verified.secret_place());
        let appending = self.journal.append(verified);
        failpoint::hit("receive.queued");
        let appended = appending.await;
        drop(whole.share);
        endpoint.metrics.durable_since(received);
        endpoint.count_append(&appended);
        log_append(&endpoint.name, bytes, &appended);
        match appended {
            Ok(appended) => {
                self.wait_for_kafka(endpoint.ack, appended.out_seq).await;
                failpoint::hit("receive.before-answer");
                Outcome::Kept(appended)
            }
            Err(_) => Outcome::NotKept,
        }
    }

    /// The journal's word is enough when Kafka takes too long, or the bridge is to stop.
    async fn wait_for_kafka(&self, ack: Ack, out_seq: u64) {
        let Ack::Kafka { timeout } = ack else {
            return;
        };
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            biased;
            () = self.journal.published(out_seq) => return,
            () = tokio::time::sleep(timeout) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        tracing::debug!(out_seq, "answered before Kafka had it");
    }
}

impl Endpoint {
    fn count_unread(&self, error: &BodyError) {
        match error {
            BodyError::TooLarge => self.metrics.too_large.inc(),
            BodyError::TooSlow => self.metrics.too_slow.inc(),
            BodyError::NoRoom => self.metrics.no_room.inc(),
            BodyError::Broken => self.metrics.not_read.inc(),
        }
    }

    fn count_append(&self, appended: &Result<Appended, AppendError>) {
        match appended.as_ref().map(|appended| appended.kind) {
            Ok(AppendedKind::Stored) => self.metrics.stored.inc(),
            Ok(AppendedKind::Duplicate) => self.metrics.duplicate.inc(),
            Err(_) => self.metrics.not_stored.inc(),
        }
    }
}

fn log_append(webhook: &WebhookName, bytes: usize, appended: &Result<Appended, AppendError>) {
    match appended {
        Ok(Appended { kind, id, .. }) => match kind {
            AppendedKind::Stored => tracing::debug!(%webhook, id, bytes, "stored"),
            AppendedKind::Duplicate => tracing::info!(%webhook, id, bytes, "duplicate"),
        },
        Err(error) => tracing::error!(%webhook, bytes, reason = %error, "not stored"),
    }
}

/// Headers worth keeping: those that are short and plain, the first of each.
fn kept_headers(headers: &HeaderMap) -> KeptHeaders {
    let kept = |name: HeaderName| {
        let value = headers.get(name)?.as_bytes();
        let is_plain = value.len() <= KEPT_BYTES && value.iter().all(|b| matches!(b, b' '..=b'~'));
        is_plain.then(|| String::from_utf8_lossy(value).into_owned())
    };
    KeptHeaders {
        content_type: kept(header::CONTENT_TYPE),
        content_encoding: kept(header::CONTENT_ENCODING),
        traceparent: kept(HeaderName::from_static("traceparent")),
        user_agent: kept(header::USER_AGENT),
    }
}

async fn readyz(State(Receiver(shared)): State<Receiver>, request: Request) -> Outcome {
    let (head, body) = request.into_parts();
    body::refuse(&head.headers, body, shared.limits);
    if !is_read(&head.method) {
        return Outcome::OtherMethod(READS);
    }
    if (shared.probe)().is_ready() {
        Outcome::Ready
    } else {
        Outcome::NotReady
    }
}

/// Scanners come here all day, so that this is no warning.
async fn no_such_path(State(Receiver(shared)): State<Receiver>, request: Request) -> Outcome {
    let (head, body) = request.into_parts();
    body::refuse(&head.headers, body, shared.limits);
    tracing::debug!("refused: no such path");
    Outcome::NoSuchPath
}

/// How much of an unknown path is logged.
const LOGGED_CHARS: usize = 80;
/// How long a kept header may be.
const KEPT_BYTES: usize = 1024;
