//! `send`: signs sample calls, or files, and posts them to any URL as the sender's platform would.
//!
//! The bytes of a file are signed and sent exactly as they are. Redirects are not followed and nothing is tried again, as
//! the platform does neither. A delivery counts as taken by the platform's own rule: any 2xx within 30 s.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect};
use serde::Serialize;
use sha2::Sha256;
use tokio::sync::mpsc;

use super::output::{Output, OutputError, printable};
use super::samples::{self, Dialect};
use super::{Common, Ended, UsageError};
use crate::config::{Config, Loaded, Need, Webhook, process_environment};
use crate::dialect::{Arrival, parse};
use crate::event::json::{Document, peek_id};
use crate::receive::delivery::WebhookName;
use crate::time::Timestamp;
use crate::verify::secret::Secret;

/// Arguments of `send`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to; without a path, /webhooks/NAME [default: the receiver that is configured, on this machine]
    pub url: Option<String>,
    /// Whose secret and static header; also the end of the path where the URL has none
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub webhook: String,
    /// Sign with this instead: env:NAME, file:PATH or literal:TEXT
    #[arg(long, value_name = "SECRET")]
    pub secret: Option<String>,
    /// Which format the sample calls have; with all, they take turns
    #[arg(long, value_enum, default_value = "envelope")]
    pub dialect: DialectArg,
    /// Send this file's bytes instead of samples, - for stdin; may be given several times
    #[arg(long, value_name = "BODY.json", conflicts_with_all = ["dialect", "count"])]
    pub file: Vec<PathBuf>,
    /// How many sample calls
    #[arg(long, value_name = "CALLS", default_value_t = 1)]
    pub count: u64,
    /// How many calls at the same time; the deliveries of one call keep their order
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// A further header; may be given several times
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    pub header: Vec<(HeaderName, HeaderValue)>,
    /// A JSON object for each delivery, for programs
    #[arg(long)]
    pub json: bool,
}

/// One format, or all in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DialectArg {
    /// The current platform: three events in an envelope
    Envelope,
    /// The same envelope with two events
    TwoEvent,
    /// The settings page: Start, End, Analytics Completed
    Settings,
    /// Flat snake_case: call.start, call.end, analytics.completed
    Flat,
    /// All four, call by call
    All,
}

/// Signs bodies and posts them to one URL.
#[derive(Debug, Clone)]
pub struct Poster {
    client: Client,
    url: Url,
    secret: Secret,
    headers: HeaderMap,
}

/// What came of one delivery.
#[derive(Debug)]
pub struct Answer {
    /// What the receiver answered, or why there is no answer.
    pub outcome: Result<Said, reqwest::Error>,
    /// How long it took.
    pub took: Duration,
}

/// A receiver's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// The bridge's own word: `stored`, `duplicate`, or the title of a problem; empty when it says none.
    pub word: String,
    /// The id that the bridge gave the delivery.
    pub id: Option<String>,
}

impl Poster {
    /// Makes a client of its own for a URL.
    ///
    /// # Errors
    ///
    /// No TLS, or no client can be had.
    pub fn new(url: Url, secret: Secret, headers: HeaderMap) -> Result<Self, reqwest::Error> {
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("atoms-kafka-bridge/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&url) {
            // A proxy from the environment cannot know what this machine's own address means.
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build()?,
            url,
            secret,
            headers,
        })
    }

    /// Signs a body and posts it.
    pub async fn post(&self, body: Vec<u8>) -> Answer {
        let begun = Instant::now();
        let signature = signature(&self.secret, &body);
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("x-signature", signature)
            .headers(self.headers.clone())
            .body(body);
        let outcome = match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                response.bytes().await.map(|body| Said::read(status, &body))
            }
            Err(error) => Err(error),
        };
        Answer {
            outcome: outcome.map_err(reqwest::Error::without_url),
            took: begun.elapsed(),
        }
    }
}

impl Answer {
    /// Whether the sender's platform would call it delivered.
    pub fn is_taken(&self) -> bool {
        let said = self.outcome.as_ref();
        said.is_ok_and(|said| (200..300).contains(&said.status))
    }
}

impl Said {
    fn read(status: u16, body: &[u8]) -> Self {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| Some(body.get(name)?.as_str()?.to_owned());
        Self {
            status,
            word: text("status").or_else(|| text("title")).unwrap_or_default(),
            id: text("id"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(said) => write!(f, "{} {}", said.status, printable(&said.word)),
            Err(error) => write!(f, "no answer: {}", printable(&innermost(error))),
        }
    }
}

/// What the system said, without the layers that only say that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The hex HMAC-SHA256 that the platform sends as `X-Signature`.
pub fn signature(secret: &Secret, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes keys of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Runs `send`.
///
/// # Errors
///
/// A wrong use, an unreadable file, or stdout refuses. What a receiver answers is no error but a finding.
pub fn run(args: &Args, common: &Common) -> anyhow::Result<Ended> {
    let name = WebhookName::parse(&args.webhook).ok_or_else(|| {
        UsageError(format!(
            "--webhook {}: a webhook's name is made of a-z, 0-9 and _",
            printable(&args.webhook)
        ))
    })?;
    let config = load(args, common, &name)?;
    let poster = poster(args, &config, &name)?;
    let calls = Calls::of(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let mut report = Report::new(Output::stdout(), args.json);
    runtime.block_on(deliver(poster, calls, args.concurrency, |line| {
        report.line(&line)
    }))?;
    report.finish()
}

/// The configuration, with `--secret` in place of the webhook's own: it is read by the same rules.
fn load(args: &Args, common: &Common, name: &WebhookName) -> anyhow::Result<Config> {
    let need = Need::Webhook(name.clone());
    let Some(secret) = &args.secret else {
        let loaded = common.load()?;
        return Ok(loaded.require(&[need])?);
    };
    let variable = format!(
        "ATOMS_BRIDGE__WEBHOOKS__{}__SECRETS",
        name.as_str().to_ascii_uppercase()
    );
    let list = serde_json::to_string(&[secret])?;
    let environment = process_environment()
        .filter(|(known, _)| !known.eq_ignore_ascii_case(&variable))
        .chain([(variable.clone(), list)]);
    let loaded: Result<Loaded, _> = Config::load(common.config.as_deref(), environment);
    loaded
        .and_then(|loaded| loaded.require(&[need]))
        .with_context(|| format!("cannot use --secret (read as {variable})"))
}

fn poster(args: &Args, config: &Config, name: &WebhookName) -> anyhow::Result<Poster> {
    let url = match &args.url {
        Some(url) => target(url, name)?,
        None => receiver(config.listen.webhooks, name)?,
    };
    let webhook = config
        .webhooks
        .get(name)
        .context("the webhook is configured")?;
    let secret = webhook
        .secrets
        .first()
        .context("the webhook has a secret")?;
    let headers = headers(webhook, &args.header)?;
    Poster::new(url, secret.clone(), headers).context("cannot make an HTTP client")
}

/// The configured second factor, and what the command line adds or sets otherwise.
pub(super) fn headers(
    webhook: &Webhook,
    given: &[(HeaderName, HeaderValue)],
) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(factor) = &webhook.header {
        let mut value = HeaderValue::from_bytes(factor.value.expose())
            .with_context(|| format!("the value of header {} cannot be sent", factor.name))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(factor.name.as_bytes())?, value);
    }
    for (name, _) in given {
        headers.remove(name);
    }
    for (name, value) in given {
        headers.append(name, value.clone());
    }
    Ok(headers)
}

/// The receiver of `serve` on this machine.
///
/// # Errors
///
/// Never, for an address that was bound.
pub fn receiver(listen: SocketAddr, name: &WebhookName) -> anyhow::Result<Url> {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let address = SocketAddr::new(ip, listen.port());
    target(&address.to_string(), name)
}

/// Completes a URL: http where no scheme is given, the webhook's path where there is none.
fn target(text: &str, name: &WebhookName) -> anyhow::Result<Url> {
    let wrong = || {
        UsageError(format!(
            "{}: write a URL such as https://bridge.example.com or http://127.0.0.1:8080/webhooks/default",
            printable(text)
        ))
    };
    let spelled = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let mut url = Url::parse(&spelled).map_err(|_| wrong())?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(wrong().into());
    }
    if url.path() == "/" {
        url.set_path(&format!("/webhooks/{name}"));
    }
    Ok(url)
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    host == "localhost" || bare.parse().is_ok_and(loopback)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || "write a header as 'name: value'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}

/// What is sent, call by call.
enum Calls {
    Samples {
        dialect: DialectArg,
        next: u64,
        count: u64,
    },
    Files(VecDeque<Vec<u8>>),
}

/// One body, and in which sample dialect it is.
struct Body {
    bytes: Vec<u8>,
    dialect: Option<Dialect>,
}

impl Calls {
    fn of(args: &Args) -> anyhow::Result<Self> {
        if args.file.is_empty() {
            return Ok(Self::Samples {
                dialect: args.dialect,
                next: 0,
                count: args.count,
            });
        }
        let files: anyhow::Result<_> = args.file.iter().map(|path| read(path)).collect();
        Ok(Self::Files(files?))
    }

    /// The bodies of the next call, in order; files go one after another as if they were one call.
    fn next(&mut self) -> Option<Vec<Body>> {
        match self {
            Self::Samples { next, count, .. } if next == count => None,
            Self::Samples { dialect, next, .. } => {
                let number = *next;
                *next += 1;
                let call = samples::call(dialect.of(number), number, Timestamp::now());
                Some(call.into_iter().map(Body::from).collect())
            }
            Self::Files(files) if files.is_empty() => None,
            Self::Files(files) => Some(files.drain(..).map(Body::from).collect()),
        }
    }
}

impl From<samples::Sample> for Body {
    fn from(sample: samples::Sample) -> Self {
        Self {
            bytes: sample.body.into_bytes(),
            dialect: Some(sample.dialect),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            dialect: None,
        }
    }
}

impl DialectArg {
    fn of(self, number: u64) -> Dialect {
        match self {
            Self::Envelope => Dialect::Envelope,
            Self::TwoEvent => Dialect::TwoEvent,
            Self::Settings => Dialect::Settings,
            Self::Flat => Dialect::Flat,
            Self::All => Dialect::of(number),
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read stdin")?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Posts call by call, `lanes` of them at a time, and hands each answer to `tell`.
async fn deliver(
    poster: Poster,
    calls: Calls,
    lanes: u16,
    mut tell: impl FnMut(Line) -> Result<(), OutputError>,
) -> Result<(), OutputError> {
    let calls = Arc::new(std::sync::Mutex::new(calls));
    let (lines, mut told) = mpsc::channel(usize::from(lanes));
    for _ in 0..lanes {
        let (poster, calls, lines) = (poster.clone(), Arc::clone(&calls), lines.clone());
        tokio::spawn(async move {
            loop {
                let next = calls
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .next();
                let Some(bodies) = next else { return };
                for body in bodies {
                    let what = What::of(&body);
                    let answer = poster.post(body.bytes).await;
                    // Nobody listens any more: stdout was closed.
                    if lines.send(Line { what, answer }).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
    drop(lines);
    while let Some(line) = told.recv().await {
        tell(line)?;
    }
    Ok(())
}

/// What a body says of itself, as the bridge will read it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct What {
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
}

impl What {
    fn of(body: &Body) -> Self {
        let sample = body.dialect.map(Dialect::name);
        let id = peek_id(&body.bytes).unwrap_or_default();
        let arrival = Arrival {
            webhook: "",
            id: &id,
            received_at: Timestamp::from_unix_ms(0),
        };
        let Ok(document) = Document::parse(&body.bytes) else {
            return Self::default();
        };
        match parse(&document, &arrival) {
            Ok(event) => Self {
                dialect: Some(sample.unwrap_or(event.source.dialect)),
                event: Some(event.event_type.into_owned()),
                call_id: Some(event.call_id.into_owned()),
            },
            Err(_) => Self::default(),
        }
    }
}

struct Line {
    what: What,
    answer: Answer,
}

/// Prints answers as they come, and counts them.
struct Report<W> {
    output: Output<W>,
    json: bool,
    outcomes: BTreeMap<String, u64>,
    took: Vec<Duration>,
    all_taken: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    what: &'a What,
    ms: u128,
}

impl<W: Write> Report<W> {
    fn new(output: Output<W>, json: bool) -> Self {
        Self {
            output,
            json,
            outcomes: BTreeMap::new(),
            took: Vec::new(),
            all_taken: true,
        }
    }

    fn line(&mut self, line: &Line) -> Result<(), OutputError> {
        let Line { what, answer } = line;
        self.all_taken &= answer.is_taken();
        self.took.push(answer.took);
        *self.outcomes.entry(answer.to_string()).or_default() += 1;
        if self.json {
            let said = answer.outcome.as_ref().ok();
            return self.output.json(&JsonLine {
                status: said.map(|said| said.status),
                answer: said.map(|said| said.word.as_str()),
                id: said.and_then(|said| said.id.as_deref()),
                error: answer.outcome.as_ref().err().map(innermost),
                what,
                ms: answer.took.as_millis(),
            });
        }
        let or_dash = |text: Option<&str>| printable(text.unwrap_or("-")).into_owned();
        self.output.line(&format!(
            "{:<14}  {:<9}  {:<19}  {:<25}  {:>5} ms",
            answer.to_string(),
            or_dash(what.dialect),
            or_dash(what.event.as_deref()),
            or_dash(what.call_id.as_deref()),
            answer.took.as_millis(),
        ))
    }

    /// The summary, for people.
    fn finish(mut self) -> anyhow::Result<Ended> {
        if !self.json {
            self.took.sort();
            let outcomes = self
                .outcomes
                .iter()
                .map(|(outcome, count)| format!("{count} × {outcome}"));
            let outcomes = outcomes.collect::<Vec<_>>().join(", ");
            let at = |at: usize| self.took.get(at).copied().unwrap_or_default().as_millis();
            let (count, last) = (self.took.len(), self.took.len().saturating_sub(1));
            let (median, slowest) = (at(last / 2), at(last));
            let deliveries = if count == 1 { "delivery" } else { "deliveries" };
            self.output.line(&format!(
                "{count} {deliveries}: {outcomes}; median {median} ms, slowest {slowest} ms"
            ))?;
        }
        Ok(if self.all_taken {
            Ended::Done
        } else {
            Ended::Finding
        })
    }
}

/// How long the sender's platform waits.
const TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> WebhookName {
        WebhookName::parse("default").unwrap()
    }

    #[test]
    fn a_url_is_completed_where_it_says_too_little() {
        for (text, expected) in [
            (
                "http://127.0.0.1:8080",
                "http://127.0.0.1:8080/webhooks/default",
            ),
            ("127.0.0.1:8080/", "http://127.0.0.1:8080/webhooks/default"),
            ("https://x.example/hook?a=b", "https://x.example/hook?a=b"),
            (
                "https://x.example?a=b",
                "https://x.example/webhooks/default?a=b",
            ),
        ] {
            assert_eq!(target(text, &name()).unwrap().as_str(), expected);
        }
        for text in ["ftp://x", "http://", "", "a b"] {
            assert!(target(text, &name()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_receiver_on_any_address_is_reached_on_this_machine() {
        for (listen, expected) in [
            ("0.0.0.0:1", "http://127.0.0.1:1/webhooks/default"),
            ("[::]:2", "http://[::1]:2/webhooks/default"),
            ("10.0.0.7:3", "http://10.0.0.7:3/webhooks/default"),
        ] {
            let url = receiver(listen.parse().unwrap(), &name()).unwrap();
            assert_eq!(url.as_str(), expected);
            assert_eq!(is_this_machine(&url), !listen.starts_with("10."));
        }
    }

    #[test]
    fn signatures_are_the_platforms() {
        let secret = Secret::new(b"Jefe").unwrap();
        assert_eq!(
            signature(&secret, b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn headers_are_split_at_the_first_colon() {
        let (name, value) = header("X-Api-Key: a:b").unwrap();
        assert_eq!(
            (name.as_str(), value.to_str().unwrap()),
            ("x-api-key", "a:b")
        );
        assert!(header("no colon").is_err());
    }

    #[test]
    fn an_answer_says_the_bridges_word() {
        let said = Said::read(200, br#"{"status":"stored","id":"7"}"#);
        assert_eq!(
            (said.word.as_str(), said.id.as_deref()),
            ("stored", Some("7"))
        );
        let problem = Said::read(401, br#"{"title":"Unauthorized","status":401}"#);
        assert_eq!(problem.word, "Unauthorized");
        assert_eq!(Said::read(502, b"<html>").word, "");
    }

    #[test]
    fn what_is_no_2xx_is_a_finding() {
        for (status, ended) in [
            (200, Ended::Done),
            (204, Ended::Done),
            (503, Ended::Finding),
        ] {
            let mut report = Report::new(Output::plain(Vec::new()), true);
            let answer = Answer {
                outcome: Ok(Said::read(status, b"")),
                took: Duration::ZERO,
            };
            let what = What::default();
            report.line(&Line { what, answer }).unwrap();
            assert_eq!(report.finish().unwrap(), ended);
        }
    }
}
