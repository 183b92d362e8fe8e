//! What `dev` reads back from its topics, prints and counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Finished;
use crate::cli::output::Output;
use crate::cli::{Ended, tail};
use crate::publish::follow::{Follower, From, Next, Until};
use crate::time::Timestamp;

/// What was answered and what came back.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    stored: u64,
    refused: u64,
    /// On the way, on purpose.
    lost: u64,
    /// Events that came from the API in their place.
    reconciled: u64,
    records: BTreeMap<String, u64>,
    latencies_ms: Vec<i64>,
}

impl Seen {
    pub(super) fn answered(&self, taken: bool) {
        let mut counts = self.counts();
        if taken {
            counts.stored += 1
        } else {
            counts.refused += 1
        }
    }

    pub(super) fn lost(&self) {
        self.counts().lost += 1;
    }

    fn read(&self, topic: &str, received: Option<Timestamp>, is_reconciled: bool) {
        let mut counts = self.counts();
        counts.reconciled += u64::from(is_reconciled);
        *counts.records.entry(topic.to_owned()).or_default() += 1;
        if let Some(received) = received {
            counts
                .latencies_ms
                .push(Timestamp::now().unix_ms() - received.unix_ms());
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        let counts = self.counts();
        counts.records.values().sum::<u64>() >= counts.stored + counts.lost
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints what arrives on the topics.
pub(super) struct Reader {
    pub(super) kafka: BTreeMap<String, String>,
    pub(super) topics: Vec<String>,
    pub(super) seen: Seen,
    pub(super) stopped: watch::Receiver<()>,
}

impl Reader {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut follower =
            Follower::connect(&self.kafka, &self.topics, From::Beginning, Until::Forever)?;
        // Locked for a line at a time, so that Ctrl-C's summary can be written.
        while self.stopped.has_changed().is_ok() {
            if let Next::Record(mut record) = follower.next(LOOK)? {
                let received = serde_json::from_slice::<Received>(&record.value).ok();
                let is_reconciled = received
                    .as_ref()
                    .is_some_and(|event| event.source.origin == "reconcile");
                let received = received.and_then(|event| Timestamp::parse(&event.received_at));
                self.seen.read(&record.topic, received, is_reconciled);
                // The embedded cluster does not keep timestamps.
                record.timestamp = received;
                Output::stdout().line(&tail::line(&record))?;
            }
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    received_at: String,
    source: Source,
}

#[derive(serde::Deserialize)]
struct Source {
    origin: String,
}

pub(super) fn summary(seen: &Seen, finished: Finished) -> anyhow::Result<Ended> {
    let mut counts = seen.counts();
    counts.latencies_ms.sort_unstable();
    let mut out = Output::stdout();
    out.line("")?;
    out.line(&format!(
        "deliveries answered 200: {}, refused: {}",
        counts.stored, counts.refused
    ))?;
    if counts.lost > 0 {
        out.line(&format!(
            "lost on the way: {}; fetched from the API in their place: {}",
            counts.lost, counts.reconciled
        ))?;
    }
    for (topic, records) in &counts.records {
        out.line(&format!("{records:>7}  {topic}"))?;
    }
    let middle = counts.latencies_ms.get(counts.latencies_ms.len() / 2);
    if let (Some(middle), Some(slowest)) = (middle, counts.latencies_ms.last()) {
        out.line(&format!(
            "from receipt to read back from Kafka: median {middle} ms, slowest {slowest} ms"
        ))?;
    }
    if finished == Finished::Incomplete {
        out.line("some events were not read back in time; run again with -v to see why")?;
    }
    let whole = finished != Finished::Incomplete && counts.refused == 0;
    Ok(if whole { Ended::Done } else { Ended::Finding })
}

/// How often the reader looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);
