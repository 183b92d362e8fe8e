//! The public listener: `POST /webhooks/{name}`, and `GET /readyz` for load balancers.
//!
//! A request passes route, method, size, body, signature and journal, in this order, and the first that fails answers.
//! Between its last byte and the journal's queue nothing is awaited, so a complete delivery is verified and queued whole
//! or not at all, and a sender that hangs up takes nothing back. 200 is said after the commit that holds the delivery.
//!
//! Each outcome is logged once, here, with names and sizes: never a body, a secret or a signature. Floods of refusals are
//! summed up.

pub mod certificate;
pub mod delivery;
pub mod health;
pub mod tls;

mod body;
mod budget;
mod client;
mod connection;
pub(crate) mod listener;
mod refusals;
mod response;
mod spans;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, Request, header};
use axum::response::Response;
use hyper::body::{Body, Incoming};
use prometheus::IntCounter;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{Ack, Config, Listen, Proxies, Webhook};
use crate::event::BRIDGE_CHECK;
use crate::failpoint;
use crate::journal::quarantine::Quarantine;
use crate::journal::{AppendError, Appended, AppendedKind, Journal};
use crate::metrics::{Metrics, WebhookMetrics};
use crate::telemetry::clip;
use crate::time::Timestamp;
use crate::traces::{self, Traces};
use crate::verify::proof::Proof;
use crate::verify::{Verifier, verify};
use body::{BodyError, Limits, Whole};
use budget::Budget;
use client::Client;
use connection::{Answers, Manner};
use delivery::{Delivery, KeptHeaders, WebhookName};
use health::{Probe, READS, is_read};
use refusals::Refusals;
use response::Outcome;
use tls::Handshakes;

/// Takes deliveries to a journal. Clones share everything.
#[derive(Clone)]
pub struct Receiver(Arc<Shared>);

struct Shared {
    live: ArcSwap<Live>,
    handshakes: Option<Handshakes>,
    metrics: Metrics,
    journal: Journal,
    quarantine: Quarantine,
    limits: Limits,
    budget: Budget,
    probe: Probe,
    traces: Traces,
    no_such_webhook: IntCounter,
    refusals: Refusals,
    /// Whether it is time to stop: nobody waits for Kafka any more.
    stopping: watch::Sender<bool>,
}

/// What can be replaced under way. Who has begun with one goes on with it.
struct Live {
    endpoints: BTreeMap<WebhookName, Arc<Endpoint>>,
    proxies: Proxies,
}

impl Live {
    fn new(
        listen: &Listen,
        webhooks: &BTreeMap<WebhookName, Webhook>,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let endpoint = |(name, webhook): (&WebhookName, &Webhook)| {
            let endpoint = Endpoint {
                name: name.clone(),
                verifier: Verifier::new(webhook),
                ack: webhook.ack,
                metrics: metrics.webhook(name.as_str(), webhook.secrets.len()),
            };
            (name.clone(), Arc::new(endpoint))
        };
        Arc::new(Self {
            endpoints: webhooks.iter().map(endpoint).collect(),
            proxies: listen.proxies.clone(),
        })
    }
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
        (metrics, traces): (&Metrics, Traces),
    ) -> Self {
        let identity = listen.tls.as_ref().and_then(|tls| tls.identity.as_ref());
        Self(Arc::new(Shared {
            live: ArcSwap::new(Live::new(listen, webhooks, metrics)),
            handshakes: identity.map(Handshakes::new),
            metrics: metrics.clone(),
            journal,
            quarantine,
            limits: Limits {
                max_bytes: listen.max_body_bytes,
                read_timeout: listen.read_timeout,
            },
            budget: Budget::new(),
            probe,
            traces,
            no_such_webhook: metrics.no_such_webhook(),
            refusals: Refusals::default(),
            stopping: watch::Sender::new(false),
        }))
    }

    /// Serves the public listener until `shutdown` resolves and requests under way are answered.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let manner = Manner {
            header_timeout: self.0.limits.read_timeout,
            handshakes: self.0.handshakes.clone(),
        };
        let shared = Arc::clone(&self.0);
        let shutdown = async {
            shutdown.await;
            shared.stopping.send_replace(true);
        };
        tokio::select! {
            () = listener::serve_with(listener, self, manner, shutdown) => {}
            () = shared.refusals.sum_up_for_ever() => {}
        }
        shared.refusals.sum_up();
    }

    /// Goes on with the webhooks, certificate and proxies of another configuration. Requests under way end with the old
    /// ones, and so do connections with the old certificate. Whether there is TLS at all stays as it was.
    pub fn replace(&self, config: &Config) {
        let live = Live::new(&config.listen, &config.webhooks, &self.0.metrics);
        self.0.live.store(live);
        let tls = config.listen.tls.as_ref();
        let identity = tls.and_then(|tls| tls.identity.as_ref());
        if let (Some(handshakes), Some(identity)) = (&self.0.handshakes, identity) {
            handshakes.replace(identity);
        }
    }
}

impl Answers for Receiver {
    async fn answer(&self, peer: SocketAddr, request: Request<Incoming>) -> Response {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let has_body = !body.is_end_stream();
        let outcome = match path.strip_prefix("/webhooks/") {
            Some(name) if !name.is_empty() && !name.contains('/') => {
                self.0.receive(peer, head, body).await
            }
            _ if path == "/readyz" => self.0.readyz(head, body),
            _ => self.0.no_such_path(head, body),
        };
        outcome.into_response_to(has_body)
    }
}

impl Shared {
    async fn receive(&self, peer: SocketAddr, head: Parts, body: Incoming) -> Outcome {
        let began = self.traces.now();
        let Some(endpoint) = self.endpoint(head.uri.path()) else {
            body::refuse(&head.headers, body, self.limits);
            if self.refusals.is_told(None, "no-such-webhook") {
                let path = clip(head.uri.path());
                let live = self.live.load();
                let client = live.client(peer, &head.headers);
                tracing::warn!(path, %client, "refused: no such webhook is configured");
            }
            self.no_such_webhook.inc();
            return Outcome::NoSuchPath;
        };
        if head.method != Method::POST {
            body::refuse(&head.headers, body, self.limits);
            if self.refusals.is_told(Some(&endpoint.name), "other-method") {
                let live = self.live.load();
                let client = live.client(peer, &head.headers);
                tracing::warn!(webhook = %endpoint.name, method = clip(head.method.as_str()), %client, "refused: not a POST");
            }
            endpoint.metrics.other_method.inc();
            return Outcome::OtherMethod("POST");
        }
        match body::read(&head.headers, body, self.limits, &self.budget).await {
            Ok(whole) => self.take(&endpoint, peer, head, whole, began).await,
            Err(error) => {
                if self.refusals.is_told(Some(&endpoint.name), error.reason()) {
                    let live = self.live.load();
                    let client = live.client(peer, &head.headers);
                    tracing::warn!(webhook = %endpoint.name, reason = %error, %client, "refused");
                }
                endpoint.count_unread(&error);
                Outcome::NoBody(error)
            }
        }
    }

    /// Names are plain characters, so that an escaped path is another path.
    fn endpoint(&self, path: &str) -> Option<Arc<Endpoint>> {
        let name = path.strip_prefix("/webhooks/")?;
        self.live.load().endpoints.get(name).cloned()
    }

    fn readyz(&self, head: Parts, body: Incoming) -> Outcome {
        body::refuse(&head.headers, body, self.limits);
        if !is_read(&head.method) {
            return Outcome::OtherMethod(READS);
        }
        if (self.probe)().is_ready() {
            Outcome::Ready
        } else {
            Outcome::NotReady
        }
    }

    /// Scanners come here all day, so that this is no warning.
    fn no_such_path(&self, head: Parts, body: Incoming) -> Outcome {
        body::refuse(&head.headers, body, self.limits);
        tracing::debug!("refused: no such path");
        Outcome::NoSuchPath
    }

    /// Verifies and stores a complete delivery.
    async fn take(
        &self,
        endpoint: &Endpoint,
        peer: SocketAddr,
        head: Parts,
        whole: Whole<'_>,
        began: Option<SystemTime>,
    ) -> Outcome {
        failpoint::hit("receive.body-complete");
        let received = Instant::now();
        let bytes = whole.bytes.len();
        let delivery = Delivery {
            webhook: endpoint.name.clone(),
            received_at: Timestamp::now(),
            headers: kept_headers(&head.headers),
            body: whole.bytes,
        };
        let mut verified = match verify(delivery, &head.headers, &endpoint.verifier) {
            Ok(verified) => verified,
            Err(refused) => {
                if self
                    .refusals
                    .is_told(Some(&endpoint.name), refused.refusal.reason())
                {
                    let live = self.live.load();
                    let client = live.client(peer, &head.headers);
                    tracing::warn!(webhook = %endpoint.name, bytes, reason = %refused.refusal, %client, "refused");
                }
                endpoint.metrics.refused(refused.refusal);
                self.quarantine.offer(*refused, Proof::of(&head.headers));
                return Outcome::Unverified;
            }
        };
        failpoint::hit("receive.verified");
        let secret_place = verified.secret_place();
        let traceparent = verified.headers().traceparent.as_deref();
        let span = self.traces.request(began, traceparent);
        if let Some(span) = &span {
            verified.continue_trace(span.traceparent());
        }
        let append_span = span.as_ref().and_then(|span| span.child(traces::APPEND));
        let appending = self.journal.append(verified);
        failpoint::hit("receive.queued");
        let appended = appending.await;
        if let Some(span) = append_span {
            spans::end_append(span, &appended);
        }
        drop(whole.share);
        if !is_check(&appended) {
            if let Some(place) = secret_place {
                endpoint.metrics.signed_by(place);
            }
            endpoint.metrics.durable_since(received);
            endpoint.count_append(&appended);
        }
        if appended.is_ok() || self.refusals.is_told(Some(&endpoint.name), "not-stored") {
            log_append(&endpoint.name, bytes, &appended);
        }
        if let Ok(appended) = &appended {
            self.wait_for_kafka(endpoint.ack, appended.out_seq).await;
            failpoint::hit("receive.before-answer");
        }
        if let Some(span) = span {
            spans::end_request(span, (&endpoint.name, bytes), &appended);
        }
        appended.map_or(Outcome::NotKept, Outcome::Kept)
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

impl Live {
    /// Who asks, for the log.
    fn client<'a>(&'a self, peer: SocketAddr, headers: &'a HeaderMap) -> Client<'a> {
        Client {
            peer,
            headers,
            proxies: &self.proxies,
        }
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

/// Whether `check` sent it: an alarm that waits for deliveries is not to be silenced by it.
fn is_check(appended: &Result<Appended, AppendError>) -> bool {
    appended
        .as_ref()
        .is_ok_and(|appended| appended.id.starts_with(BRIDGE_CHECK))
}

fn log_append(webhook: &WebhookName, bytes: usize, appended: &Result<Appended, AppendError>) {
    match appended {
        Ok(Appended { kind, id, .. }) => match kind {
            AppendedKind::Stored => tracing::debug!(%webhook, id = clip(id), bytes, "stored"),
            AppendedKind::Duplicate => tracing::info!(%webhook, id = clip(id), bytes, "duplicate"),
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

/// How long a kept header may be.
const KEPT_BYTES: usize = 1024;
