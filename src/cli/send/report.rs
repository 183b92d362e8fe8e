//! What is printed of deliveries: a line each as they are answered, and a summary.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use super::Body;
use crate::cli::Ended;
use crate::cli::output::{Output, OutputError, printable};
use crate::dialect::{Arrival, parse};
use crate::event::Origin;
use crate::event::json::{Document, peek_id};
use crate::sender::post::{Answer, innermost};
use crate::sender::samples::Dialect;
use crate::time::Timestamp;

/// What a body says of itself, as the bridge will read it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct What {
    #[serde(skip_serializing_if = "Option::is_none")]
    dialect: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
}

impl What {
    pub(super) fn of(body: &Body) -> Self {
        let sample = body.dialect.map(Dialect::name);
        let id = peek_id(&body.bytes).unwrap_or_default();
        let arrival = Arrival {
            webhook: "",
            id: &id,
            received_at: Timestamp::from_unix_ms(0),
            origin: Origin::Webhook,
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

/// What was sent, and what came of it.
pub(super) struct Line {
    pub(super) what: What,
    pub(super) answer: Answer,
}

/// Prints answers as they come, and counts them.
pub(super) struct Report<W> {
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
    ms: f64,
}

impl<W: Write> Report<W> {
    pub(super) fn new(output: Output<W>, json: bool) -> Self {
        Self {
            output,
            json,
            outcomes: BTreeMap::new(),
            took: Vec::new(),
            all_taken: true,
        }
    }

    pub(super) fn line(&mut self, line: &Line) -> Result<(), OutputError> {
        let Line { what, answer } = line;
        let outcome = answer.to_string();
        self.all_taken &= answer.is_taken();
        self.took.push(answer.took);
        *self.outcomes.entry(outcome.clone()).or_default() += 1;
        if self.json {
            let said = answer.outcome.as_ref().ok();
            return self.output.json(&JsonLine {
                status: said.map(|said| said.status),
                answer: said.map(|said| said.word.as_str()),
                id: said.and_then(|said| said.id.as_deref()),
                error: answer.outcome.as_ref().err().map(innermost),
                what,
                ms: ms(answer.took),
            });
        }
        let or_dash = |text: Option<&str>| printable(text.unwrap_or("-")).into_owned();
        self.output.line(&format!(
            "{:<14}  {:<9}  {:<19}  {:<25}  {:>6.1} ms",
            outcome,
            or_dash(what.dialect),
            or_dash(what.event.as_deref()),
            or_dash(what.call_id.as_deref()),
            ms(answer.took),
        ))
    }

    /// The summary, for people.
    pub(super) fn finish(mut self) -> anyhow::Result<Ended> {
        if !self.json {
            self.took.sort();
            let outcomes = self
                .outcomes
                .iter()
                .map(|(outcome, count)| format!("{count} × {outcome}"));
            let outcomes = outcomes.collect::<Vec<_>>().join(", ");
            let at = |at: usize| ms(self.took.get(at).copied().unwrap_or_default());
            let (count, last) = (self.took.len(), self.took.len().saturating_sub(1));
            let (median, slowest) = (at(last / 2), at(last));
            let deliveries = if count == 1 { "delivery" } else { "deliveries" };
            self.output.line(&format!(
                "{count} {deliveries}: {outcomes}; median {median:.1} ms, slowest {slowest:.1} ms"
            ))?;
        }
        Ok(if self.all_taken {
            Ended::Done
        } else {
            Ended::Finding
        })
    }
}

/// Milliseconds to a tenth.
fn ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sender::post::Said;

    #[test]
    fn what_is_no_2xx_is_a_finding() {
        for (status, ended) in [
            (200, Ended::Done),
            (204, Ended::Done),
            (503, Ended::Finding),
        ] {
            let mut report = Report::new(Output::plain(Vec::new()), true);
            let said = Said {
                status,
                word: String::new(),
                id: None,
            };
            let answer = Answer {
                outcome: Ok(said),
                took: Duration::ZERO,
            };
            let what = What::default();
            report.line(&Line { what, answer }).unwrap();
            assert_eq!(report.finish().unwrap(), ended);
        }
    }
}
