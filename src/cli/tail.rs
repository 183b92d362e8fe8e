//! `tail [TYPE…]`: follows the topics and prints events, a readable line each or as they are.
//!
//! It shows personal data on purpose: this is the operator's own terminal. Nothing of it goes to a log, and nothing in it can
//! steer the terminal.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde::Serialize;

use super::output::{Output, OutputError, printable};
use super::{Common, Ended, UsageError, when};
use crate::config::{Config, TOPIC_NAMES};
use crate::event::Stage;
use crate::event::json::{Document, Kind, Value};
use crate::publish::follow::{Followed, Follower, From, Next, Until};
use crate::route::DEAD_LETTER;
use crate::time::Timestamp;

/// Arguments of `tail`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// pre-conversation, post-conversation, analytics-completed, unrecognized or dead-letter [default: all]
    #[arg(value_name = "TYPE")]
    pub types: Vec<String>,
    /// Only events of this call
    #[arg(long, value_name = "ID")]
    pub call: Option<String>,
    /// Begin with what was received since: 24h (back from now) or RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = when::time_arg)]
    pub since: Option<Timestamp>,
    /// Only what was received until then, and stop once that was read; without --since, begin with the oldest, or now if
    /// it is yet to come
    #[arg(long, value_name = "TIME", value_parser = when::time_arg)]
    pub until: Option<Timestamp>,
    /// Stop at the present end of the topics; without --since, begin with the oldest
    #[arg(short = 'e', long)]
    pub until_end: bool,
    /// Stop after so many
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// The canonical event as it is, one a line; of a dead letter, its reason and body
    #[arg(long)]
    pub json: bool,
}

/// Runs `tail`.
///
/// # Errors
///
/// A wrong use or configuration, Kafka does not answer or refuses, or stdout refuses.
pub fn run(args: &Args, common: &Common) -> anyhow::Result<Ended> {
    let types = types(&args.types)?;
    let config = common.load()?.require_kafka()?;
    let now = Timestamp::now();
    let mut follower = Follower::connect(
        &config.kafka,
        &topics(&config, &types),
        args.from(now),
        args.end(now),
    )?;
    if args.since.or(args.until).is_some() && !follower.keeps_times() {
        tracing::info!(
            "this Kafka keeps no times of records; events are chosen by their receivedAt"
        );
    }
    let mut reading = Reading {
        args,
        ends_at: args.until.filter(|until| !args.until_end && *until > now),
        left: args.limit.unwrap_or(u64::MAX),
    };
    reading.run(&mut follower, &mut Output::stdout())?;
    Ok(Ended::Done)
}

impl Args {
    fn from(&self, now: Timestamp) -> From {
        let is_over = self.until.is_some_and(|until| until <= now);
        match self.since {
            Some(since) => From::Since(since),
            None if is_over || self.until_end => From::Beginning,
            None => From::Now,
        }
    }

    fn end(&self, now: Timestamp) -> Until {
        match self.until {
            Some(until) if until <= now => Until::End,
            Some(_) | None if self.until_end => Until::End,
            Some(_) | None => Until::Forever,
        }
    }

    /// Whether a record is one that was asked for; what does not tell its time is.
    fn wants(&self, record: &Followed, keeps_times: bool) -> bool {
        let received = || match keeps_times {
            true => record.timestamp,
            false => received_at(record),
        };
        let is_of_time = |received: Timestamp| {
            self.since.is_none_or(|since| received >= since)
                && self.until.is_none_or(|until| received <= until)
        };
        is_of_call(record, self.call.as_deref())
            && (self.since.or(self.until).is_none() || received().is_none_or(is_of_time))
    }
}

/// What is still to be read.
struct Reading<'a> {
    args: &'a Args,
    /// When to end with what is there then.
    ends_at: Option<Timestamp>,
    left: u64,
}

impl Reading<'_> {
    fn run(
        &mut self,
        follower: &mut Follower,
        output: &mut Output<impl Write>,
    ) -> anyhow::Result<()> {
        while self.left > 0 {
            self.end_in_time(follower)?;
            match follower.next(WAIT)? {
                Next::Record(record) if self.args.wants(&record, follower.keeps_times()) => {
                    write(output, &record, self.args.json)?;
                    self.left -= 1;
                }
                Next::Record(_) | Next::Nothing => {}
                Next::End => break,
            }
        }
        Ok(())
    }

    fn end_in_time(&mut self, follower: &mut Follower) -> anyhow::Result<()> {
        let is_over = |at: &mut Timestamp| Timestamp::now().unix_ms() > at.unix_ms() + LATE_MS;
        if self.ends_at.take_if(is_over).is_some() {
            follower.end_here()?;
        }
        Ok(())
    }
}

/// When an event was received, by its own word.
fn received_at(record: &Followed) -> Option<Timestamp> {
    let document = Document::parse(&record.value).ok()?;
    let event = document.root();
    let is_event = event.kind() == Kind::Object && !is_dead_letter(record);
    is_event.then(|| Timestamp::parse(&text(event, "receivedAt")?))?
}

/// The types that were named, in the order in which they happen.
fn types(named: &[String]) -> Result<Vec<&'static str>, UsageError> {
    if let Some(unknown) = named
        .iter()
        .find(|name| !TOPIC_NAMES.contains(&name.as_str()))
    {
        return Err(UsageError(format!(
            "no type {}; there are {}",
            printable(unknown),
            TOPIC_NAMES.join(", ")
        )));
    }
    let wanted = |name: &&str| named.is_empty() || named.iter().any(|n| n == name);
    Ok(TOPIC_NAMES.into_iter().filter(wanted).collect())
}

/// The topics of these types, of every prefix that is configured.
fn topics(config: &Config, types: &[&str]) -> Vec<String> {
    let own = config
        .webhooks
        .values()
        .filter_map(|webhook| webhook.topic_prefix.as_deref());
    let prefixes: BTreeSet<&str> = own.chain([config.topics.prefix.as_str()]).collect();
    let of_type = |name: &&str| {
        prefixes
            .iter()
            .map(move |prefix| format!("{prefix}{name}"))
            .collect()
    };
    types
        .iter()
        .flat_map(|name| -> Vec<String> { of_type(name) })
        .collect()
}

fn is_of_call(record: &Followed, call: Option<&str>) -> bool {
    call.is_none_or(|call| record.key.as_deref() == Some(call))
}

fn write(
    output: &mut Output<impl Write>,
    record: &Followed,
    json: bool,
) -> Result<(), OutputError> {
    if !json {
        return output.line(&line(record));
    }
    match event_text(record) {
        Some(text) if io::stdout().is_terminal() => output.line(&inert(&text)),
        Some(text) => output.line(&text),
        None => {
            let letter = serde_json::to_string(&Letter::of(record)).map_err(io::Error::from)?;
            output.line(&inert(&letter))
        }
    }
}

/// An event's own text, on one line: valid JSON holds line ends only between its parts. `None` for a dead letter, and for
/// what somebody else has put on the topic.
fn event_text(record: &Followed) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(&record.value).ok()?;
    let is_event = !is_dead_letter(record) && Document::parse(text.as_bytes()).is_ok();
    is_event.then(|| match text.contains(['\n', '\r']) {
        true => Cow::Owned(text.replace(['\n', '\r'], " ")),
        false => Cow::Borrowed(text),
    })
}

/// The same JSON without a character that could steer a terminal.
fn inert(json: &str) -> String {
    let mut inert = String::with_capacity(json.len());
    for c in json.chars() {
        let mut utf8 = [0; 4];
        let shown = printable(c.encode_utf8(&mut utf8));
        if shown.chars().eq([c]) {
            inert.push(c);
        } else {
            inert.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    inert
}

/// A dead letter for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Letter<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// Of a body that is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
}

impl<'a> Letter<'a> {
    fn of(record: &'a Followed) -> Self {
        let text = std::str::from_utf8(&record.value);
        Self {
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            call_id: record.key.as_deref(),
            id: record.header("ce_id"),
            webhook: record.header("source.webhook"),
            stage: record.header("error.stage"),
            reason: record.header("error.reason"),
            message: record.header("error.message"),
            body: text.ok(),
            body_hex: text.is_err().then(|| hex::encode(&record.value)),
        }
    }
}

/// A record as one line for people: when, what, which call, which way, how it ended, and what matters of the rest.
pub fn line(record: &Followed) -> String {
    let time = record
        .timestamp
        .map_or_else(|| "-".to_owned(), |time| time.to_string());
    let document = Document::parse(&record.value)
        .ok()
        .filter(|_| !is_dead_letter(record));
    let rest = match document.as_ref().map(Document::root) {
        Some(event) if event.kind() == Kind::Object => event_parts(event),
        Some(_) | None => letter_parts(record),
    };
    let parts: Vec<String> = rest
        .into_iter()
        .filter(|part| !part.trim().is_empty())
        .collect();
    printable(&format!("{time}  {}", parts.join("  "))).into_owned()
}

fn event_parts(event: Value<'_>) -> Vec<String> {
    let call = member(event, "call");
    let of_call = |name: &str| call.and_then(|call| text(call, name)).unwrap_or_default();
    let (from, to) = (of_call("fromNumber"), of_call("toNumber"));
    let numbers = if from.is_empty() && to.is_empty() {
        String::new()
    } else {
        format!("{from} → {to}")
    };
    let way = match of_call("direction") {
        direction if direction.is_empty() => of_call("channel"),
        direction => direction,
    };
    let seconds = call.and_then(|call| member(call, "durationSeconds"));
    let mut parts = vec![
        format!(
            "{:<9}",
            short_type(&text(event, "type").unwrap_or_default())
        ),
        format!("{:<25}", text(event, "callId").unwrap_or_default()),
        way,
        numbers,
        of_call("status"),
        of_call("disposition"),
        seconds
            .map(|seconds| duration(seconds.raw()))
            .unwrap_or_default(),
    ];
    parts.extend(origin(event));
    parts.extend(contents(event));
    parts
}

/// Where it came from, if not from a webhook alone.
fn origin(event: Value<'_>) -> Option<String> {
    let source = member(event, "source")?;
    if text(source, "origin").as_deref() == Some("reconcile") {
        return Some("reconciled".to_owned());
    }
    member(source, "replaces").map(|_| "replaces a reconciled one".to_owned())
}

/// What an event brought: how much of each part, and the beginning of what was said of or in the call.
fn contents(event: Value<'_>) -> Vec<String> {
    let count = |list: Value<'_>, one: &str, many: &str| match list.elements().count() {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let mut parts = Vec::new();
    let transcript = member(event, "transcript");
    parts.extend(transcript.map(|turns| count(turns, "turn", "turns")));
    let analytics = member(event, "analytics");
    let metrics = analytics.and_then(|analytics| member(analytics, "metrics"));
    parts.extend(metrics.map(|metrics| count(metrics, "metric", "metrics")));
    if let Some(unmapped) = member(event, "unmapped") {
        parts.push(format!("{} unmapped", unmapped.members().count()));
    }
    let summary = analytics.and_then(|analytics| text(analytics, "summary"));
    // What the person said first tells more than the agent's greeting.
    let said = transcript.and_then(|turns| {
        let of_user = |turn: &Value<'_>| text(*turn, "role").as_deref() == Some("user");
        text(turns.elements().find(of_user)?, "content")
    });
    parts.extend(
        summary
            .or(said)
            .map(|words| format!("\"{}\"", beginning(&words))),
    );
    parts
}

fn letter_parts(record: &Followed) -> Vec<String> {
    let header = |name: &str| record.header(name).unwrap_or_default().to_owned();
    let kind = if is_dead_letter(record) {
        DEAD_LETTER
    } else {
        "not an event"
    };
    vec![
        kind.to_owned(),
        record.key.clone().unwrap_or_default(),
        header("error.reason"),
        header("error.message"),
        format!("{} bytes", record.value.len()),
    ]
}

fn is_dead_letter(record: &Followed) -> bool {
    record.topic.ends_with(DEAD_LETTER)
}

/// `pre`, `post`, `analytics`, or as it is.
fn short_type(name: &str) -> &str {
    match Stage::ALL.into_iter().find(|stage| stage.name() == name) {
        Some(stage) => stage.name().split('-').next().unwrap_or(name),
        None => name,
    }
}

/// Seconds with one decimal at most.
fn duration(digits: &str) -> String {
    match digits.parse::<f64>() {
        Ok(seconds) if seconds.fract() == 0.0 => format!("{seconds:.0} s"),
        Ok(seconds) => format!("{seconds:.1} s"),
        Err(_) => digits.to_owned(),
    }
}

fn beginning(words: &str) -> String {
    match words.char_indices().nth(SNIPPET_CHARS) {
        Some((end, _)) => format!("{}…", words.split_at(end).0),
        None => words.to_owned(),
    }
}

fn member<'d>(object: Value<'d>, name: &str) -> Option<Value<'d>> {
    let found = object
        .members()
        .find(|(key, _)| key.text().is_some_and(|key| key == name));
    found.map(|(_, value)| value)
}

fn text(object: Value<'_>, name: &str) -> Option<String> {
    Some(member(object, name)?.text()?.into_owned())
}

/// How long a look waits; only how soon a stop is seen depends on it.
const WAIT: Duration = Duration::from_millis(200);
/// What was received at the last moment is on its topic so much later.
const LATE_MS: i64 = 1000;
/// So much of a summary fits beside the rest.
const SNIPPET_CHARS: usize = 60;

#[cfg(test)]
mod tests;
