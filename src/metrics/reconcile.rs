//! What is counted of reconciliation, and how complete calls are.
//!
//! Windows, types, origins and reasons are fixed words, so that the number of series is too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{DISTINCT, counter_vec, gauge, opts};
use crate::atoms::client::Requests;
use crate::event::{Origin, Stage};
use crate::journal::AppendedKind;
use crate::journal::ledger::{Completeness, Why};
use crate::time::Timestamp;

/// What reconciliation counts. Clones share it.
#[derive(Debug, Clone)]
pub struct ReconcileMetrics {
    fetched: IntCounterVec,
    requests: IntCounterVec,
    /// Requests as they were counted last: answered, throttled, failed.
    counted: Arc<[AtomicU64; 3]>,
    elected: IntGauge,
    scanned_at: IntGauge,
    waiting: IntGauge,
    ended: IntGaugeVec,
    complete: IntGaugeVec,
    events: IntGaugeVec,
    missing: IntGaugeVec,
}

/// The calls that ended in the last hour, or day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The last hour.
    Hour,
    /// The last day.
    Day,
}

impl Window {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl ReconcileMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let metrics = Self {
            fetched: counter_vec(
                registry,
                "reconciled_total",
                "Events that no webhook had brought, fetched from the sender's API and stored, by type.",
                &["type"],
            ),
            requests: counter_vec(
                registry,
                "api_requests_total",
                "Requests to the sender's API, by what became of them: answered, throttled (429), or failed.",
                &["outcome"],
            ),
            counted: Arc::default(),
            elected: gauge(
                registry,
                "reconcile_elected",
                "Whether this bridge is the one of those on its topics that reconciles (1).",
            ),
            scanned_at: gauge(
                registry,
                "reconcile_scanned_timestamp_seconds",
                "When the list of calls was last gone through to its end, as Unix time; 0 if never.",
            ),
            waiting: gauge(
                registry,
                "reconcile_waiting_calls",
                "Calls that are looked at again: that settle, or whose evaluation has not come.",
            ),
            ended: gauge_vec(
                registry,
                "calls_ended",
                "Calls that ended in the last hour or day, of agents whose events are expected; as the elected bridge knows.",
                &["window"],
            ),
            complete: gauge_vec(
                registry,
                "calls_complete",
                "Of these, calls that have every expected event on the topics.",
                &["window"],
            ),
            events: gauge_vec(
                registry,
                "calls_events",
                "Of these calls, events on the topics, by type and by what brought them: webhook, or reconcile alone.",
                &["window", "type", "origin"],
            ),
            missing: gauge_vec(
                registry,
                "calls_missing_events",
                "Of these calls, expected events that are not on the topics, by type and reason.",
                &["window", "type", "reason"],
            ),
        };
        for stage in Stage::ALL {
            metrics.fetched.with_label_values(&[stage.name()]);
        }
        for outcome in OUTCOMES {
            metrics.requests.with_label_values(&[outcome]);
        }
        metrics.forget_completeness();
        metrics
    }

    /// An event was fetched and given to the journal.
    pub fn appended(&self, origin: Origin, kind: AppendedKind) {
        if let (Origin::Reconcile(stage), AppendedKind::Stored) = (origin, kind) {
            self.fetched.with_label_values(&[stage.name()]).inc();
        }
    }

    /// What a client has asked until now.
    pub fn requests(&self, requests: &Requests) {
        let now = [requests.answered(), requests.throttled(), requests.failed()];
        for ((outcome, counted), now) in OUTCOMES.iter().zip(self.counted.iter()).zip(now) {
            let before = counted.swap(now, Ordering::Relaxed);
            let counter = self.requests.with_label_values(&[outcome]);
            counter.inc_by(now.saturating_sub(before));
        }
    }

    /// Whether this bridge is the one that reconciles.
    pub fn elected(&self, is_elected: bool) {
        self.elected.set(is_elected.into());
    }

    /// How far it has come.
    pub fn stands(&self, scanned_at: Option<Timestamp>, waiting: u64) {
        let seconds = scanned_at.map_or(0, |at| at.unix_ms() / 1000);
        self.scanned_at.set(seconds);
        self.waiting.set(whole(waiting));
    }

    /// How complete the calls of a window are.
    pub fn completeness(&self, window: Window, told: &Completeness) {
        let window = window.word();
        self.ended
            .with_label_values(&[window])
            .set(whole(told.ended));
        let complete = self.complete.with_label_values(&[window]);
        complete.set(whole(told.complete));
        for (stage, of) in Stage::ALL.into_iter().zip(&told.stages) {
            for (origin, count) in [(WEBHOOK, of.webhook), (RECONCILE, of.reconciled)] {
                let labels = [window, stage.name(), origin];
                self.events.with_label_values(&labels).set(whole(count));
            }
            for why in Why::ALL {
                let found = told
                    .missing
                    .iter()
                    .find(|(of, because, _)| *of == stage && *because == why);
                let count = found.map_or(0, |(_, _, count)| *count);
                let labels = [window, stage.name(), why.word()];
                self.missing.with_label_values(&labels).set(whole(count));
            }
        }
    }

    /// Another bridge knows how complete calls are.
    pub fn forget_completeness(&self) {
        for window in Window::ALL {
            self.completeness(window, &Completeness::default());
        }
    }
}

fn gauge_vec(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    let gauges = IntGaugeVec::new(opts(name, help), labels).expect(DISTINCT);
    registry.register(Box::new(gauges.clone())).expect(DISTINCT);
    gauges
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

const OUTCOMES: [&str; 3] = ["answered", "throttled", "failed"];
const WEBHOOK: &str = "webhook";
const RECONCILE: &str = "reconcile";
