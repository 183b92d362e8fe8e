//! The whole way once: a delivery of type `bridge-check`, signed with each secret of each webhook, posted to the listener
//! and read back from Kafka.
//!
//! It goes through the running `serve`. When none runs, the same stages run in this process for a moment, at a loopback
//! address of their own and with a journal of their own on the journal's disk: to open the configured journal and the
//! public address would take real deliveries into a process that is about to end, as a user who may not be the
//! bridge's, and would publish its backlog.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::finding::Finding;
use super::kafka::unrecognized;
use crate::bridge::Bridge;
use crate::cli::send::{Answer, Poster, headers, receiver};
use crate::config::{Config, Webhook};
use crate::event::BRIDGE_CHECK;
use crate::journal::look::{Scratch, ground};
use crate::publish::follow::{FollowError, Follower, From, Next, Until};
use crate::publish::rights::is_present_refused;
use crate::time::Timestamp;

/// What was found, and whether Kafka refused the time of receipt; `None` when nothing arrived.
pub(super) struct FoundDelivery {
    pub(super) findings: Vec<Finding>,
    pub(super) is_time_refused: Option<bool>,
}

/// Sends and reads back.
pub(super) async fn delivery(config: Config, is_running: bool) -> FoundDelivery {
    through(config, is_running)
        .await
        .unwrap_or_else(|error| FoundDelivery {
            findings: vec![
                Finding::of_text("delivery", &format!("{error:#}")).or_do("see the lines above"),
            ],
            is_time_refused: None,
        })
}

async fn through(config: Config, is_running: bool) -> anyhow::Result<FoundDelivery> {
    // First, so that nothing is missed.
    let follower = follow(&config).await?;
    let own = match is_running {
        true => None,
        false => Some(Own::start(&config).await?),
    };
    let address = own
        .as_ref()
        .map_or(config.listen.webhooks, |own| own.address);
    let mut posted = Vec::new();
    for webhook in config.webhooks.values() {
        posted.extend(post(webhook, address, config.listen.tls.is_some()).await?);
    }
    let wanted: Vec<String> = posted.iter().filter_map(Posted::kept).collect();
    let reading = tokio::task::spawn_blocking(move || read_back(follower, &wanted));
    let arrived = reading.await?;
    if let Some(own) = own {
        own.stop().await;
    }
    let is_lost = posted
        .iter()
        .filter_map(Posted::kept)
        .any(|id| !arrived.contains_key(&id));
    let is_time_refused = match (is_lost, arrived.is_empty()) {
        (true, _) => ask_why(&config).await?,
        (false, true) => None,
        (false, false) => Some(false),
    };
    Ok(FoundDelivery {
        findings: judge(&posted, &arrived, is_running),
        is_time_refused,
    })
}

/// Whether it is the time of receipt that Kafka refuses.
async fn ask_why(config: &Config) -> anyhow::Result<Option<bool>> {
    let (kafka, topics) = (config.kafka.clone(), unrecognized(config));
    let asked = tokio::task::spawn_blocking(move || {
        let topic = topics.first()?;
        is_present_refused(&kafka, topic).ok()
    });
    Ok(asked.await?)
}

async fn follow(config: &Config) -> anyhow::Result<Follower> {
    let (kafka, topics) = (config.kafka.clone(), unrecognized(config));
    let connected = tokio::task::spawn_blocking(move || {
        Follower::connect(&kafka, &topics, From::Now, Until::Forever)
    });
    let connected: Result<Follower, FollowError> = connected.await?;
    Ok(connected?)
}

/// The stages of `serve` in this process.
struct Own {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    _journal: Scratch,
}

impl Own {
    async fn start(config: &Config) -> anyhow::Result<Self> {
        let journal = Scratch::create(&ground(&config.journal.path)?.directory)?;
        let mut config = config.clone();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config.listen.webhooks = any;
        config.listen.health = any;
        config.listen.console = None;
        config.journal.path = journal.path().join("journal.db");
        let bridge = Bridge::start(config).await?;
        let address = bridge.webhooks_address()?;
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(bridge.run(async {
            // Dropped when the probe is given up.
            let _ = stopped.await;
        }));
        Ok(Self {
            address,
            stop,
            running,
            _journal: journal,
        })
    }

    async fn stop(self) {
        // It may have ended by itself.
        let _ = self.stop.send(());
        let _ = self.running.await;
    }
}

/// One delivery, by one secret.
struct Posted {
    /// `webhooks.NAME`, with the secret's place where there are several.
    name: String,
    id: String,
    answer: Answer,
}

impl Posted {
    /// Its id, if it was taken.
    fn kept(&self) -> Option<String> {
        self.answer.is_taken().then(|| self.id.clone())
    }
}

async fn post(
    webhook: &Webhook,
    address: SocketAddr,
    speaks_tls: bool,
) -> anyhow::Result<Vec<Posted>> {
    let mut posted = Vec::new();
    for (place, secret) in webhook.secrets.iter().enumerate() {
        let id = format!("{BRIDGE_CHECK}-{}", uuid::Uuid::new_v4());
        let mut url = receiver(address, &webhook.name)?;
        if speaks_tls && url.set_scheme("https").is_err() {
            anyhow::bail!("no https address of {url}; see listen.webhooks");
        }
        // The certificate's names are the public's; the line tls judges it.
        let poster = Poster::to_own_listener(url, secret.clone(), headers(webhook, &[])?);
        let poster = poster.context("cannot make an HTTP client")?;
        let answer = poster.post(body(&id)).await;
        let name = match webhook.secrets.len() {
            1 => format!("webhooks.{}", webhook.name),
            _ => format!("webhooks.{}, secret {}", webhook.name, place + 1),
        };
        posted.push(Posted { name, id, answer });
    }
    Ok(posted)
}

/// As the platform's own envelope, so that it takes the same way through the reader.
fn body(id: &str) -> Vec<u8> {
    let body = json!({
        "id": id,
        "timestamp": Timestamp::now().to_string(),
        "metadata": { "eventType": BRIDGE_CHECK, "callId": id },
    });
    body.to_string().into_bytes()
}

/// A record that came back.
struct Arrived {
    topic: String,
    after: Duration,
}

/// Reads until everything is there, or for as long as that may take.
fn read_back(mut follower: Follower, wanted: &[String]) -> BTreeMap<String, Arrived> {
    let begun = Instant::now();
    let mut arrived = BTreeMap::new();
    while arrived.len() < wanted.len() && begun.elapsed() < ARRIVES_WITHIN {
        match follower.next(LOOK) {
            Ok(Next::Record(record)) => {
                let id = record.header("ce_id").unwrap_or_default().to_owned();
                if wanted.contains(&id) {
                    let came = Arrived {
                        after: begun.elapsed(),
                        topic: record.topic,
                    };
                    arrived.insert(id, came);
                }
            }
            Ok(Next::Nothing) => {}
            Ok(Next::End) | Err(_) => break,
        }
    }
    arrived
}

fn judge(posted: &[Posted], arrived: &BTreeMap<String, Arrived>, is_running: bool) -> Vec<Finding> {
    let through = if is_running { "serve" } else { "this process" };
    let findings = posted.iter().map(|posted| {
        if !posted.answer.is_taken() {
            return refused(posted, is_running);
        }
        match arrived.get(&posted.id) {
            Some(came) => Finding::ok(
                "delivery",
                format!(
                    "{}: taken by {through} in {} ms, read back from {} {} ms later",
                    posted.name,
                    posted.answer.took.as_millis(),
                    came.topic,
                    came.after.as_millis()
                ),
            ),
            None => Finding::failure(
                "delivery",
                format!(
                    "{}: taken by {through}, and not on its topic within {} s",
                    posted.name,
                    ARRIVES_WITHIN.as_secs()
                ),
                match is_running {
                    true => "it is in the journal: `journal status` tells the backlog, and the log what keeps it",
                    false => "the log above tells what kept it",
                },
            ),
        }
    });
    findings.collect()
}

/// Why the listener did not take it.
fn refused(posted: &Posted, is_running: bool) -> Finding {
    let status = posted.answer.outcome.as_ref().ok().map(|said| said.status);
    let what = format!("{}: {}", posted.name, posted.answer);
    let todo = match status {
        Some(401) if is_running => {
            "the running `serve` has other secrets than this configuration, or another second factor: restart it"
        }
        Some(404) if is_running => {
            "the running `serve` does not know this webhook: restart it with this configuration"
        }
        Some(503) => "the journal takes nothing: see the lines serve and disk",
        Some(_) => "see the log of the bridge",
        None if is_running => {
            "`serve` runs, but does not answer at listen.webhooks: does it run with another configuration?"
        }
        None => "see the lines above",
    };
    Finding::failure("delivery", what, todo)
}

const ARRIVES_WITHIN: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(100);
