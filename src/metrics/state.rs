//! What is looked up when somebody asks: how the journal, the quarantine and the publisher stand.

use prometheus::core::Desc;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntGauge};

use super::{DISTINCT, opts};

/// Looks how things stand. It reads files and may block.
pub type Watched = Box<dyn Fn() -> Observed + Send + Sync>;

/// How things stand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Whether a delivery can be made durable now.
    pub accepting: bool,
    /// Whether nothing keeps the publisher from publishing.
    pub publishing: bool,
    /// Whether somebody must see to something while publishing goes on.
    pub wants_attention: bool,
    /// Deliveries that wait for Kafka.
    pub pending_rows: u64,
    /// Their bodies, in bytes.
    pub pending_bytes: u64,
    /// How long the first of them has waited.
    pub pending_seconds: f64,
    /// The journal's files, in bytes.
    pub journal_bytes: u64,
    /// Of these, the WAL.
    pub wal_bytes: u64,
    /// `journal.max_bytes`.
    pub journal_max_bytes: u64,
    /// What is left on the journal's disk, in bytes.
    pub free_bytes: u64,
    /// Refused deliveries written to the quarantine.
    pub quarantined: u64,
    /// Refused deliveries that found no room there.
    pub not_quarantined: u64,
    /// The quarantine's file, in bytes.
    pub quarantine_bytes: u64,
}

/// Makes metrics of [`Observed`].
pub(super) struct Collector {
    watched: Watched,
    gauges: Vec<(IntGauge, Field)>,
    seconds: Gauge,
    counters: Vec<(IntCounter, Field)>,
}

impl Collector {
    pub(super) fn new(watched: Watched) -> Self {
        let gauge = |(name, help, read): Read| {
            let gauge = IntGauge::with_opts(opts(name, help)).expect(DISTINCT);
            (gauge, read)
        };
        let counter = |(name, help, read): Read| {
            let counter = IntCounter::with_opts(opts(name, help)).expect(DISTINCT);
            (counter, read)
        };
        Self {
            watched,
            gauges: GAUGES.into_iter().map(gauge).collect(),
            seconds: Gauge::with_opts(opts(
                "journal_pending_seconds",
                "How long the first delivery that waits for Kafka has waited; 0 when none waits.",
            ))
            .expect(DISTINCT),
            counters: COUNTERS.into_iter().map(counter).collect(),
        }
    }
}

impl prometheus::core::Collector for Collector {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges.iter().flat_map(|(gauge, _)| gauge.desc());
        let counters = self.counters.iter().flat_map(|(counter, _)| counter.desc());
        gauges.chain(self.seconds.desc()).chain(counters).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let observed = (self.watched)();
        self.seconds.set(observed.pending_seconds);
        let mut families = self.seconds.collect();
        for (gauge, read) in &self.gauges {
            gauge.set(i64::try_from(read(&observed)).unwrap_or(i64::MAX));
            families.extend(gauge.collect());
        }
        for (counter, read) in &self.counters {
            // Counted elsewhere since the process began, and never less than before.
            counter.reset();
            counter.inc_by(read(&observed));
            families.extend(counter.collect());
        }
        families
    }
}

/// One of the numbers.
type Field = fn(&Observed) -> u64;
/// Name, help, and where the number is.
type Read = (&'static str, &'static str, Field);

const GAUGES: [Read; 10] = [
    (
        "accepting",
        "Whether a delivery can be made durable now (1) or would be refused (0), as /readyz says.",
        |now| now.accepting.into(),
    ),
    (
        "publishing",
        "Whether nothing keeps the bridge from publishing (1); with 0 deliveries are kept in the journal.",
        |now| now.publishing.into(),
    ),
    (
        "wants_attention",
        "Whether somebody must see to something while publishing goes on (1): /readyz says to what.",
        |now| now.wants_attention.into(),
    ),
    (
        "journal_pending_rows",
        "Deliveries in the journal that wait for Kafka.",
        |now| now.pending_rows,
    ),
    (
        "journal_pending_bytes",
        "Their bodies; above 20,000 rows an estimate from the oldest and the newest 10,000.",
        |now| now.pending_bytes,
    ),
    (
        "journal_bytes",
        "The journal's files, with what is reused in them.",
        |now| now.journal_bytes,
    ),
    (
        "journal_wal_bytes",
        "Of these, the write-ahead log.",
        |now| now.wal_bytes,
    ),
    (
        "journal_max_bytes",
        "journal.max_bytes: at this size deliveries are refused.",
        |now| now.journal_max_bytes,
    ),
    (
        "journal_free_bytes",
        "What is left on the journal's disk.",
        |now| now.free_bytes,
    ),
    ("quarantine_bytes", "The quarantine's file.", |now| {
        now.quarantine_bytes
    }),
];

const COUNTERS: [Read; 2] = [
    (
        "quarantine_kept_total",
        "Unverified deliveries that were written to the quarantine.",
        |now| now.quarantined,
    ),
    (
        "quarantine_dropped_total",
        "Unverified deliveries that found no room in the quarantine.",
        |now| now.not_quarantined,
    ),
];
