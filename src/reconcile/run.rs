//! What somebody who asks for a reconciliation says and hears: the same over the control socket and within a process.

use serde::{Deserialize, Serialize};

use crate::event::{Stage, Stages};
use crate::time::Timestamp;

/// What is to be reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Calls that were made at this moment or later, in Unix milliseconds.
    pub since_ms: i64,
    /// Only those made before this moment.
    pub until_ms: Option<i64>,
    /// Whether anything is changed.
    pub mode: Mode,
    /// What becomes of calls that the ledger does not reach.
    pub beyond: Beyond,
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It says what it would do.
    DryRun,
    /// It does it.
    Fill,
}

/// What becomes of calls that are older than the ledger reaches, of which it cannot tell what was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beyond {
    /// Nothing is done.
    Refuse,
    /// They are fetched; what was published of them long ago is published again.
    Force,
}

/// What became of a call that lacks something, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The call.
    pub call_id: String,
    /// The agent that held it, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// When it was made, in Unix milliseconds.
    pub created_ms: i64,
    /// Which events this is about, by their types.
    pub events: Vec<String>,
    /// What became of them.
    pub what: What,
    /// When they are looked at again, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<i64>,
}

/// What became of missing events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// They would be fetched.
    WouldFetch,
    /// They were fetched, and are in the journal.
    Fetched,
    /// They may come by themselves yet.
    Settling,
    /// The API has no evaluation yet.
    NoAnalyticsYet,
    /// It never had one, as long as it was asked.
    NoAnalytics,
    /// The API does not know the call any more.
    UnknownToApi,
    /// The API refuses to tell of the call.
    ApiRefuses,
    /// The API could not be asked; the call is asked for again.
    Postponed,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Pages of the list that were looked at.
    pub pages: u64,
    /// The page that it went on from, after a run over the same span that ended early; 0 if it began at the first.
    pub resumed_at_page: u64,
    /// Calls of the span, further tries included.
    pub calls: u64,
    /// Of these, calls that have everything that is expected.
    pub complete: u64,
    /// Calls that go on.
    pub going_on: u64,
    /// Calls of agents that subscribe to nothing here.
    pub not_ours: u64,
    /// Calls that are older than the ledger reaches, and were left alone.
    pub beyond_reach: u64,
    /// Calls that lack something.
    pub incomplete: u64,
    /// Events that were fetched, or would be.
    pub fetched: u64,
    /// Calls that wait: for the settling time, or for their evaluation.
    pub waiting: u64,
    /// Calls of which something is missing for good.
    pub given_up: u64,
    /// Requests that were made for it.
    pub requests: u64,
    /// The oldest moment at which a listed call was made, in Unix milliseconds.
    pub reached_ms: Option<i64>,
}

/// How things stand with a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What became of calls since the last report.
    pub outcomes: Vec<Outcome>,
    /// How far it has come.
    pub progress: Progress,
    /// What holds it up at the moment.
    pub held_up: Option<String>,
    /// Whether it is over.
    pub ended: Option<Ended>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// It came to the end of its span.
    Done,
    /// It could not go on.
    Failed(String),
}

impl Job {
    pub(super) fn since(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.since_ms)
    }

    pub(super) fn until(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.until_ms.unwrap_or(i64::MAX))
    }
}

impl Outcome {
    pub(super) fn of(
        (call_id, agent_id): (&str, Option<&str>),
        created_at: Timestamp,
        stages: Stages,
        (what, next_at): (What, Option<Timestamp>),
    ) -> Self {
        Self {
            call_id: call_id.to_owned(),
            agent_id: agent_id.map(str::to_owned),
            created_ms: created_at.unix_ms(),
            events: stages.iter().map(|stage| stage.name().to_owned()).collect(),
            what,
            next_ms: next_at.map(Timestamp::unix_ms),
        }
    }

    /// Which events this is about.
    pub fn stages(&self) -> Stages {
        let parse = |event: &String| Stage::parse(event);
        self.events.iter().filter_map(parse).collect()
    }
}

impl Progress {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        match outcome.what {
            What::WouldFetch | What::Fetched => {
                self.fetched += u64::from(outcome.stages().count());
            }
            What::Settling | What::NoAnalyticsYet | What::Postponed => self.waiting += 1,
            What::NoAnalytics | What::UnknownToApi | What::ApiRefuses => self.given_up += 1,
        }
    }
}
