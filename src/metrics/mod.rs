//! What the bridge counts, for Prometheus; served as `/metrics` beside health.
//!
//! Names by Prometheus' conventions: base units, `_total` on what only grows, and no label whose values come from a
//! delivery: no call, no number, no agent. What a sender can make up (types, field names) is counted under a bounded set of
//! names. All series that are known at the start are there from the start, with 0, so that a rate sees the first event.

mod fields;
mod kafka;
mod reconcile;
mod spans;
mod state;
mod totals;

use std::time::{Duration, Instant};

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::time::Timestamp;
use crate::verify::Refusal;
use fields::Fields;
pub use kafka::KafkaMetrics;
pub use reconcile::{ReconcileMetrics, Window};
pub use spans::SpanMetrics;
pub use state::{Observed, Watched};
pub use totals::Totals;

/// Everything that is counted. Clones share it.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    deliveries: IntCounterVec,
    signatures: IntCounterVec,
    receipt_to_journal: Histogram,
    events: IntCounterVec,
    dead_letters: IntCounterVec,
    receipt_to_kafka: Histogram,
    occurred_to_kafka: HistogramVec,
    transactions: IntCounterVec,
    reloads: IntCounterVec,
    reload_refused: IntGauge,
    fields: Fields,
    kafka: KafkaMetrics,
    reconcile: ReconcileMetrics,
}

/// A metric with the same name and labels is a mistake in this file, which every test of it would show.
const DISTINCT: &str = "names are distinct and well formed";

impl Metrics {
    /// Counts nothing yet.
    pub fn new() -> Self {
        let registry = Registry::new();
        let build = IntGaugeVec::new(
            opts("build_info", "1, with the version of the bridge as label."),
            &["version"],
        )
        .expect(DISTINCT);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build)).expect(DISTINCT);
        let metrics = Self {
            deliveries: counter_vec(
                &registry,
                "deliveries_total",
                "Requests to a webhook, by what became of them: stored, duplicate, or why it was refused.",
                &["webhook", "outcome"],
            ),
            signatures: counter_vec(
                &registry,
                "signatures_total",
                "Deliveries with a right signature, by the place of the secret that made it, counted from 1. A rotation is \
                 over when the old place stands still.",
                &["webhook", "secret"],
            ),
            receipt_to_journal: histogram(
                &registry,
                "receipt_to_journal_seconds",
                "From a delivery's last byte to the end of the commit that holds it.",
                JOURNAL_BUCKETS,
            ),
            events: counter_vec(
                &registry,
                "events_total",
                "Events committed to Kafka, by webhook, the sender's dialect, and type (`other` for types without a topic of their own).",
                &["webhook", "dialect", "type"],
            ),
            dead_letters: counter_vec(
                &registry,
                "dead_letters_total",
                "Deliveries committed to the dead-letter topic, and those that not even it took, by reason.",
                &["webhook", "reason"],
            ),
            receipt_to_kafka: histogram(
                &registry,
                "receipt_to_kafka_seconds",
                "From a delivery's last byte to the end of the transaction that holds its event.",
                KAFKA_BUCKETS,
            ),
            occurred_to_kafka: histogram_vec(
                &registry,
                "occurred_to_kafka_seconds",
                "From the sender's own time of an event (occurredAt) to the end of the transaction that holds it.",
                &["type"],
                OCCURRED_BUCKETS,
            ),
            transactions: counter_vec(
                &registry,
                "transactions_total",
                "Kafka transactions that held events, by outcome; refused ones are sent again.",
                &["outcome"],
            ),
            reloads: counter_vec(
                &registry,
                "config_reloads_total",
                "Configurations that were there while the bridge ran, by whether they were taken up.",
                &["outcome"],
            ),
            reload_refused: gauge(
                &registry,
                "config_reload_refused",
                "1 while the configuration on disk is wrong and the bridge goes on with an older one.",
            ),
            fields: Fields::new(&registry),
            kafka: KafkaMetrics::new(&registry),
            reconcile: ReconcileMetrics::new(&registry),
            registry,
        };
        for outcome in [COMMITTED, REFUSED] {
            metrics.transactions.with_label_values(&[outcome]);
        }
        for outcome in [APPLIED, REFUSED] {
            metrics.reloads.with_label_values(&[outcome]);
        }
        metrics
    }

    /// What is counted of one webhook with so many secrets.
    pub fn webhook(&self, name: &str, secrets: usize) -> WebhookMetrics {
        let outcome = |outcome: &str| self.deliveries.with_label_values(&[name, outcome]);
        WebhookMetrics {
            stored: outcome("stored"),
            duplicate: outcome("duplicate"),
            unsigned: outcome(Refusal::NoSignature.reason()),
            wrongly_signed: outcome(Refusal::WrongSignature.reason()),
            without_factor: outcome(Refusal::SecondFactor.reason()),
            not_read: outcome("not-read"),
            too_large: outcome("too-large"),
            too_slow: outcome("too-slow"),
            no_room: outcome("no-room"),
            other_method: outcome("other-method"),
            not_stored: outcome("not-stored"),
            signatures: (1..=secrets)
                .map(|place| {
                    self.signatures
                        .with_label_values(&[name, &place.to_string()])
                })
                .collect(),
            receipt_to_journal: self.receipt_to_journal.clone(),
        }
    }

    /// Requests that met no webhook, such as those of scanners.
    pub fn no_such_webhook(&self) -> IntCounter {
        self.deliveries.with_label_values(&["", "no-such-webhook"])
    }

    /// An event is in Kafka.
    pub fn published(&self, event: &Published<'_>, now: Timestamp) {
        let labels = [event.webhook, event.dialect, event.kind];
        self.events.with_label_values(&labels).inc();
        self.receipt_to_kafka
            .observe(seconds(event.received_at, now));
        self.occurred_to_kafka
            .with_label_values(&[event.kind])
            .observe(seconds(event.occurred_at, now));
        self.fields.saw(event.dialect, event.unmapped);
    }

    /// A delivery is a dead letter.
    pub fn dead_letter(&self, webhook: &str, reason: &str) {
        self.dead_letters
            .with_label_values(&[webhook, reason])
            .inc();
    }

    /// A transaction with events was committed.
    pub fn transaction_committed(&self) {
        self.transactions.with_label_values(&[COMMITTED]).inc();
    }

    /// A transaction with events was not committed.
    pub fn transaction_refused(&self) {
        self.transactions.with_label_values(&[REFUSED]).inc();
    }

    /// Another configuration is gone on with.
    pub fn reloaded(&self) {
        self.reloads.with_label_values(&[APPLIED]).inc();
        self.reload_refused.set(0);
    }

    /// Another configuration is wrong, and the old one is gone on with.
    pub fn not_reloaded(&self) {
        self.reloads.with_label_values(&[REFUSED]).inc();
        self.reload_refused.set(1);
    }

    /// What librdkafka tells of itself.
    pub fn kafka(&self) -> KafkaMetrics {
        self.kafka.clone()
    }

    /// What reconciliation counts.
    pub fn reconcile(&self) -> ReconcileMetrics {
        self.reconcile.clone()
    }

    /// What becomes of spans; asked for once, and only when there are traces.
    pub fn spans(&self) -> SpanMetrics {
        SpanMetrics::new(&self.registry)
    }

    /// Adds what is looked up when somebody asks.
    pub fn watch(&self, watched: Watched) {
        self.registry
            .register(Box::new(state::Collector::new(watched)))
            .expect(DISTINCT);
        #[cfg(target_os = "linux")]
        self.registry
            .register(Box::new(
                prometheus::process_collector::ProcessCollector::for_self(),
            ))
            .expect(DISTINCT);
    }

    /// Everything, in Prometheus' text format. Reads the journal: it may block.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(TEXT_BYTES);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot write the metrics"
            );
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// What is counted of one webhook: one counter for each way that a request can end.
#[derive(Debug, Clone)]
pub struct WebhookMetrics {
    /// New, and on disk.
    pub stored: IntCounter,
    /// On disk before.
    pub duplicate: IntCounter,
    unsigned: IntCounter,
    wrongly_signed: IntCounter,
    without_factor: IntCounter,
    /// The connection ended within the body.
    pub not_read: IntCounter,
    /// The body is larger than `listen.max_body`.
    pub too_large: IntCounter,
    /// The body took longer than `listen.read_timeout`.
    pub too_slow: IntCounter,
    /// Bodies under way filled the memory set aside for them.
    pub no_room: IntCounter,
    /// Not a POST.
    pub other_method: IntCounter,
    /// The journal did not take it.
    pub not_stored: IntCounter,
    signatures: Vec<IntCounter>,
    receipt_to_journal: Histogram,
}

impl WebhookMetrics {
    /// A delivery did not prove itself.
    pub fn refused(&self, refusal: Refusal) {
        match refusal {
            Refusal::NoSignature => self.unsigned.inc(),
            Refusal::WrongSignature => self.wrongly_signed.inc(),
            Refusal::SecondFactor => self.without_factor.inc(),
        }
    }

    /// The secret at this place, counted from 0, made a delivery's signature.
    pub fn signed_by(&self, place: usize) {
        if let Some(signatures) = self.signatures.get(place) {
            signatures.inc();
        }
    }

    /// The commit that holds a delivery is on disk.
    pub fn durable_since(&self, received: Instant) {
        self.receipt_to_journal
            .observe(received.elapsed().as_secs_f64());
    }
}

/// An event in Kafka, by what is counted of it.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// The webhook that received it.
    pub webhook: &'a str,
    /// The sender's dialect.
    pub dialect: &'static str,
    /// The end of its topic's name, or `other`.
    pub kind: &'static str,
    /// When the bridge had received it.
    pub received_at: Timestamp,
    /// The sender's own time.
    pub occurred_at: Timestamp,
    /// The places, in the body, of fields that the canonical event does not know.
    pub unmapped: &'a [String],
}

/// Clocks differ, and are set back: what seems to lie in the future took no time.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    let ms = to.unix_ms().saturating_sub(from.unix_ms()).max(0);
    Duration::from_millis(ms.unsigned_abs()).as_secs_f64()
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("{PREFIX}{name}"), help)
}

fn counter_vec(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counters = IntCounterVec::new(opts(name, help), labels).expect(DISTINCT);
    registry
        .register(Box::new(counters.clone()))
        .expect(DISTINCT);
    counters
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    let gauge = IntGauge::with_opts(opts(name, help)).expect(DISTINCT);
    registry.register(Box::new(gauge.clone())).expect(DISTINCT);
    gauge
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let opts = HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets.to_vec());
    let histogram = Histogram::with_opts(opts).expect(DISTINCT);
    registry
        .register(Box::new(histogram.clone()))
        .expect(DISTINCT);
    histogram
}

fn histogram_vec(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> HistogramVec {
    let opts = HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets.to_vec());
    let histograms = HistogramVec::new(opts, labels).expect(DISTINCT);
    registry
        .register(Box::new(histograms.clone()))
        .expect(DISTINCT);
    histograms
}

const PREFIX: &str = "atoms_bridge_";
const COMMITTED: &str = "committed";
const REFUSED: &str = "refused";
const APPLIED: &str = "applied";
const TEXT_BYTES: usize = 32 * 1024;
// Seconds. A commit takes what an fsync takes; an event takes a transaction, or an outage; calls last minutes.
const JOURNAL_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const KAFKA_BUCKETS: &[f64] = &[
    0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0,
    86400.0,
];
const OCCURRED_BUCKETS: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0,
    604800.0,
];

#[cfg(test)]
mod tests;
