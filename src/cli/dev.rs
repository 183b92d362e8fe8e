//! `dev`: the whole thing at once, with nothing else installed.
//!
//! An embedded Kafka, the topics, the bridge on a journal of its own, a caller that delivers signed sample calls in every
//! dialect, and a reader that prints each event as it comes back from its topic. What runs in between is `serve`'s own road.

mod lossy;
mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::watch;

use super::output::Output;
use super::send::{headers, receiver};
use super::serve::{runtime, terminated};
use super::{Common, Ended};
use crate::bridge::Bridge;
use crate::config::{Ack, Config, Loaded, Need, Webhook};
use crate::publish::embedded::EmbeddedKafka;
use crate::publish::topics::Plan;
use crate::receive::delivery::WebhookName;
use crate::sender::post::Poster;
use crate::sender::samples::{self, Dialect};
use crate::time::Timestamp;
use crate::verify::secret::Secret;
use lossy::Platform;
use reader::{Reader, Seen, summary};

/// Runs the whole thing with nothing else installed: an embedded Kafka, the bridge, a caller with sample calls, a reader
///
/// The embedded Kafka keeps 5 MiB of each partition in memory and forgets the oldest first, so that bodies over 4 MiB are
/// answered 413 (or over listen.max_body, if that is less). It keeps neither times of records nor settings of topics.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Send no sample calls; wait for deliveries from elsewhere
    #[arg(long, conflicts_with_all = ["calls", "rate"])]
    no_samples: bool,
    /// A platform that loses a third of its deliveries, and the bridge that fetches what it missed from its API
    #[arg(long, conflicts_with = "no_samples")]
    lossy: bool,
    /// End by itself after so many sample calls, once all of their events were read back
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    calls: Option<u64>,
    /// Sample calls a second
    #[arg(long, value_name = "R", default_value_t = 1.0, value_parser = positive)]
    rate: f64,
}

fn positive(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let usable = rate.is_finite() && (0.001..=1000.0).contains(&rate);
    usable
        .then_some(rate)
        .ok_or_else(|| "from 0.001 to 1000".to_owned())
}

/// Runs until Ctrl-C, or until `--calls` are through.
///
/// # Errors
///
/// Whatever keeps the embedded Kafka or the bridge from starting.
pub fn run(args: &Args, common: &Common) -> anyhow::Result<Ended> {
    let journal = TemporaryDirectory::make().context("cannot make a directory for the journal")?;
    let (mut config, secret) = configure(&common.load()?, &journal.0)?;
    let plan = Plan::of(&config);
    let kafka =
        EmbeddedKafka::start(&plan.names, PARTITIONS).context("cannot start the embedded Kafka")?;
    config.kafka = BTreeMap::from([("bootstrap.servers".to_owned(), kafka.address())]);
    let secret = secret.filter(|_| args.no_samples);
    let ended = runtime()?.block_on(dev(args, (config, secret), &plan.names));
    // The clients are gone before the cluster goes.
    drop(kafka);
    ended
}

/// The configured webhooks and topics; everything else is `dev`'s own, also the secret where none is configured.
fn configure(loaded: &Loaded, journal: &Path) -> anyhow::Result<(Config, Option<String>)> {
    let mut config = loaded
        .require(&[Need::Webhooks])
        .unwrap_or_else(|_| loaded.config.clone());
    config.journal.path = journal.join("journal.db");
    let loopback =
        |address: SocketAddr| SocketAddr::from(([127, 0, 0, 1], free_or(address.port())));
    config.listen.webhooks = loopback(config.listen.webhooks);
    config.listen.health = loopback(config.listen.health);
    if let Some(console) = &mut config.listen.console {
        console.address = loopback(console.address);
    }
    let most = EmbeddedKafka::MOST_BODY_BYTES;
    config.listen.max_body_bytes = config.listen.max_body_bytes.min(most);
    // Its caller speaks to the loopback, for which nobody has a certificate.
    config.listen.tls = None;
    // Each event is counted once when it is read back.
    config.topics.all = None;
    // No consumer of `dev` asks for ids.
    config.registry = None;
    // What calls there are at Atoms is none of its concern.
    config.atoms.api_key = None;
    let name = WebhookName::parse("default").context("a webhook can be called default")?;
    let usable = |webhook: &Webhook| !webhook.secrets.is_empty();
    let is_usable = config.webhooks.values().any(usable);
    let own = (!is_usable).then(|| uuid::Uuid::new_v4().to_string());
    if let Some(own) = &own {
        let secret = Secret::new(own.as_bytes()).context("a UUID is not empty")?;
        let webhook = Webhook {
            name: name.clone(),
            secrets: vec![secret],
            header: None,
            topic_prefix: None,
            ack: Ack::Journal,
        };
        config.webhooks = BTreeMap::from([(name, webhook)]);
    }
    Ok((config, own))
}

/// The port if nobody has it, else any: a second `dev` is nothing to complain about.
fn free_or(port: u16) -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", port)).map_or(0, |_| port)
}

async fn dev(
    args: &Args,
    (mut config, own_secret): (Config, Option<String>),
    topics: &BTreeSet<String>,
) -> anyhow::Result<Ended> {
    let terminated = terminated()?;
    let platform = match args.lossy {
        true => Some(Platform::start().await?),
        false => None,
    };
    if let Some(platform) = &platform {
        platform.introduce(&mut config);
    }
    let webhook = config
        .webhooks
        .values()
        .find(|webhook| !webhook.secrets.is_empty());
    let webhook = webhook.cloned().context("a webhook has a secret")?;
    let kafka = config.kafka.clone();
    let bridge = Bridge::start(config.clone()).await?;
    let url = receiver(bridge.webhooks_address()?, &webhook.name)?;
    if let Some(platform) = &platform {
        let secret = platform
            .connect(url.as_str())
            .context("a webhook has a secret")?;
        let config = lossy::with_secret(config, &webhook.name, secret)?;
        bridge.changeable().apply(&config);
    }
    let reached = (url.as_str(), own_secret.as_deref());
    welcome(&kafka, reached, topics, &bridge)?;
    let secret = webhook
        .secrets
        .first()
        .cloned()
        .context("a webhook has a secret")?;
    let poster = Poster::new(url, secret, headers(&webhook, &[])?)?;
    let seen = Seen::default();
    let (stop, stopped) = watch::channel(());
    let reader = Reader {
        kafka,
        topics: topics.iter().cloned().collect(),
        seen: seen.clone(),
        stopped: stopped.clone(),
    };
    let reading = tokio::task::spawn_blocking(move || reader.run());
    let running = tokio::spawn(bridge.run(until(stopped)));
    let finished = tokio::select! {
        () = terminated => Finished::Stopped,
        finished = call(args, (&poster, platform.as_ref()), &seen) => finished?,
    };
    drop(stop);
    running.await.context("the bridge panicked")?;
    reading.await.context("the reader panicked")??;
    summary(&seen, finished)
}

fn welcome(
    kafka: &BTreeMap<String, String>,
    (url, own_secret): (&str, Option<&str>),
    topics: &BTreeSet<String>,
    bridge: &Bridge,
) -> anyhow::Result<()> {
    let address = kafka
        .get("bootstrap.servers")
        .map(String::as_str)
        .unwrap_or_default();
    let topic = topics
        .iter()
        .find(|name| name.ends_with("post-conversation"))
        .map(String::as_str)
        .unwrap_or_default();
    let mut out = Output::stdout();
    out.line(&format!(
        "Kafka      {address}   (embedded, in memory; gone when this ends)"
    ))?;
    out.line(&format!("webhook    {url}"))?;
    if let Some(secret) = own_secret {
        out.line(&format!(
            "secret     {secret}   (of this run alone: `ATOMS_WEBHOOK_SECRET={secret} atoms-kafka-bridge send {url}` signs with it)"
        ))?;
    }
    out.line(&format!(
        "health     http://{}/readyz",
        bridge.health_address()?
    ))?;
    if let Some(console) = bridge.console_address() {
        out.line(&format!("console    http://{console}"))?;
    }
    let most = EmbeddedKafka::MOST_BODY_BYTES >> 20;
    out.line(&format!(
        "limits     bodies up to {most} MiB, or listen.max_body if that is less; 5 MiB a partition, the oldest goes first"
    ))?;
    out.line(&format!("read along kcat -C -b {address} -t {topic} -e"))?;
    out.line("")?;
    Ok(())
}

async fn until(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

/// Why the caller ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finished {
    /// Every sample's event was read back.
    Complete,
    /// Some were not, though there was time.
    Incomplete,
    /// The user ended it.
    Stopped,
}

/// Delivers sample calls, one after another, each call's deliveries in order.
async fn call(
    args: &Args,
    (poster, platform): (&Poster, Option<&Platform>),
    seen: &Seen,
) -> anyhow::Result<Finished> {
    if args.no_samples {
        std::future::pending::<()>().await;
    }
    if let Some(platform) = platform {
        return platform.call((args.calls, args.rate), seen).await;
    }
    let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / args.rate));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 0..args.calls.unwrap_or(u64::MAX) {
        pace.tick().await;
        for sample in samples::call(Dialect::of(number), number, Timestamp::now()) {
            let answer = poster.post(sample.body.into_bytes()).await;
            if !answer.is_taken() {
                tracing::error!(call_id = sample.call_id, "a sample was not taken: {answer}");
            }
            seen.answered(answer.is_taken());
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if seen.is_complete() {
            return Ok(Finished::Complete);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(Finished::Incomplete)
}

/// A directory that goes with this value.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn make() -> std::io::Result<Self> {
        let name = format!("atoms-kafka-bridge-dev-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // What is left is in the system's directory for what may go.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Few enough that the embedded Kafka stays small.
const PARTITIONS: u32 = 6;
/// How long events may take to be read back after the last call.
const PATIENCE: Duration = Duration::from_secs(30);
