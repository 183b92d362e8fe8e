//! `send`: signs sample calls, or files, and posts them to any URL as the sender's platform would.
//!
//! The bytes of a file are signed and sent exactly as they are. Redirects are not followed and nothing is tried again, as
//! the platform does neither. A delivery counts as taken by the platform's own rule: any 2xx within 30 s.

mod report;
mod target;

use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use reqwest::header::{HeaderName, HeaderValue};
use tokio::sync::mpsc;

use self::report::{Line, Report, What};
use self::target::complete;
pub use self::target::{headers, receiver};
use super::output::{Output, OutputError, printable};
use super::{Common, Ended, UsageError};
use crate::config::{Config, Need, process_environment};
use crate::receive::delivery::WebhookName;
pub use crate::sender::post::{Answer, Poster, Said};
use crate::sender::samples::{self, Dialect};
use crate::time::Timestamp;

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
    let loaded = Config::load(common.config.as_deref(), environment);
    loaded
        .and_then(|loaded| loaded.require(&[need]))
        .with_context(|| format!("cannot use --secret (read as {variable})"))
}

fn poster(args: &Args, config: &Config, name: &WebhookName) -> anyhow::Result<Poster> {
    let url = match &args.url {
        Some(url) => complete(url, name)?,
        None if config.listen.tls.is_some() => {
            let port = config.listen.webhooks.port();
            return Err(UsageError(format!(
                "the receiver speaks TLS, for the names in its certificate: give one as in `send https://your.host:{port}`"
            ))
            .into());
        }
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
    let calls = Arc::new(Mutex::new(calls));
    let (lines, mut told) = mpsc::channel(usize::from(lanes));
    for _ in 0..lanes {
        let (poster, calls, lines) = (poster.clone(), Arc::clone(&calls), lines.clone());
        tokio::spawn(async move {
            loop {
                let next = calls.lock().unwrap_or_else(PoisonError::into_inner).next();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_split_at_the_first_colon() {
        let (name, value) = header("X-Api-Key: a:b").unwrap();
        assert_eq!(
            (name.as_str(), value.to_str().unwrap()),
            ("x-api-key", "a:b")
        );
        assert!(header("no colon").is_err());
    }
}
