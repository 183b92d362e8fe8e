//! How the bridge talks to librdkafka: properties, records, log lines, delivery reports.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, ProducerContext};
use rdkafka::types::{RDKafkaConfRes, RDKafkaErrorCode};

use super::{Stop, poison};
use crate::metrics::KafkaMetrics;
use crate::route::Record;

/// Properties of every client: what was configured, over defaults that fit a bridge.
pub fn properties(configured: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in DEFAULTS {
        config.set(*name, *value);
    }
    for (name, value) in configured {
        config.set(name, value);
    }
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

/// Properties of a producer of events.
pub(super) fn producer_properties(
    configured: &BTreeMap<String, String>,
    max_message_bytes: u64,
) -> ClientConfig {
    let mut config = properties(configured);
    let is_set = |name: &str| configured.contains_key(name);
    if !is_set("linger.ms") && !is_set("queue.buffering.max.ms") {
        config.set("linger.ms", "0");
    }
    if !is_set("statistics.interval.ms") {
        config.set("statistics.interval.ms", STATISTICS_MS);
    }
    config.set("message.max.bytes", max_message_bytes.to_string());
    config
}

/// Why librdkafka makes no client of the configured properties; unlike its own words without their values, which may be
/// secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PropertyError(String);

impl From<KafkaError> for PropertyError {
    fn from(error: KafkaError) -> Self {
        let KafkaError::ClientConfig(kind, _, key, _) = error else {
            // What does not fit together, and files that are named.
            return Self(error.to_string());
        };
        Self(if kind == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN {
            format!("librdkafka has no property {key}")
        } else {
            format!("librdkafka does not take the value of {key}")
        })
    }
}

/// About as often as Prometheus asks.
const STATISTICS_MS: &str = "15000";
/// Where Confluent's deserializers look for the id of a value's schema.
const SCHEMA_ID_HEADER: &str = "__value_schema_id";
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "atoms-kafka-bridge"),
    // A broker that comes back is met within a second.
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.keepalive.enable", "true"),
    // A mistyped topic is an error, not a new topic.
    ("allow.auto.create.topics", "false"),
    // With 100 ms, the default, each transaction may wait that long.
    ("retry.backoff.ms", "5"),
];

/// Asks Kafka again and again for at most `limit`, each time for a short while: a process that is to stop does not wait
/// for a Kafka that does not answer.
pub(super) fn in_steps<T>(
    limit: Duration,
    stop: &Stop,
    ask: impl Fn(Duration) -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let deadline = Instant::now() + limit;
    loop {
        match ask(STEP) {
            Err(error) if may_pass(&error) && Instant::now() < deadline && !stop.is_set() => {}
            result => return result,
        }
    }
}

/// How long one question may take.
pub(super) const STEP: Duration = Duration::from_secs(1);

/// Whether it is only that no answer came in time.
pub(super) fn may_pass(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut)
}

/// Passes librdkafka's log lines and errors on to ours; they name brokers and topics, never a record's content.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka reports an error");
    }
}

impl rdkafka::consumer::ConsumerContext for Quiet {}

fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        // What librdkafka calls an error or fatal is tried again, by it or by us, and the publisher tells the operator.
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::debug!(facility, "librdkafka: {line}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::trace!(facility, "librdkafka: {line}");
        }
    }
}

/// A record as librdkafka takes it, with its row's position.
pub(super) fn message(row: usize, record: &Record) -> BaseRecord<'_, String, Vec<u8>, usize> {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len() + 1);
    for (key, value) in &record.headers {
        headers = headers.insert(Header {
            key,
            value: Some(value),
        });
    }
    if let Some(id) = &record.schema_id {
        headers = headers.insert(Header {
            key: SCHEMA_ID_HEADER,
            value: Some(id),
        });
    }
    let message = BaseRecord::with_opaque_to(&record.topic, row)
        .partition(i32::try_from(record.partition).unwrap_or(i32::MAX))
        .timestamp(record.timestamp.unix_ms())
        .headers(headers)
        .payload(&record.value);
    match &record.key {
        Some(key) => message.key(key),
        None => message,
    }
}

/// A record as it was read, to be sent again to where it lies.
pub(super) fn copy(read: &OwnedMessage) -> BaseRecord<'_, [u8], [u8], usize> {
    let mut copy = BaseRecord::with_opaque_to(read.topic(), 0).partition(read.partition());
    if let Some(key) = read.key() {
        copy = copy.key(key);
    }
    if let Some(value) = read.payload() {
        copy = copy.payload(value);
    }
    if let Some(headers) = read.headers() {
        copy = copy.headers(headers.clone());
    }
    copy
}

/// Counts the records that librdkafka has not reported on, and keeps what it reports as failed.
#[derive(Debug, Clone)]
pub struct Reports {
    shared: Arc<(Mutex<Counts>, Condvar)>,
    metrics: KafkaMetrics,
}

#[derive(Debug, Default)]
struct Counts {
    outstanding: usize,
    failed: Vec<Failed>,
}

/// A record that Kafka did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// What was given with the record: the row's position in the batch.
    pub row: usize,
    /// Why.
    pub code: RDKafkaErrorCode,
}

impl Reports {
    /// Nothing is on its way; statistics go to `metrics`.
    pub fn new(metrics: KafkaMetrics) -> Self {
        Self {
            shared: Arc::default(),
            metrics,
        }
    }

    /// One more record is on its way.
    pub fn expect(&self) {
        self.counts().outstanding += 1;
    }

    /// The record that was expected last was not taken on after all.
    pub fn forget(&self) {
        self.counts().outstanding -= 1;
    }

    /// Waits until every record was reported on; false when that takes longer than `timeout`.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut counts = self.counts();
        while counts.outstanding > 0 {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            let waited = self.shared.1.wait_timeout(counts, left);
            counts = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Takes what failed since the last time: the causes, if there are any among what only fell with them.
    pub fn take_failed(&self) -> Vec<Failed> {
        let failed = std::mem::take(&mut self.counts().failed);
        // One refused record ends the transaction, and librdkafka then purges all that it has not sent.
        let (purged, causes): (Vec<_>, Vec<_>) = failed
            .into_iter()
            .partition(|failed| poison::is_purge(failed.code));
        if causes.is_empty() { purged } else { causes }
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        // A count is whole even if its holder panicked.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn stats(&self, statistics: rdkafka::Statistics) {
        self.metrics.told(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka reports an error");
    }
}

impl ProducerContext<NoCustomPartitioner> for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, row: usize) {
        let mut counts = self.counts();
        counts.outstanding = counts.outstanding.saturating_sub(1);
        if let Err((error, message)) = result {
            let code = error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown);
            tracing::debug!(topic = message.topic(), %code, "Kafka did not take a record");
            counts.failed.push(Failed { row, code });
        }
        if counts.outstanding == 0 {
            self.shared.1.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_property_is_named_without_its_value() {
        for (name, part) in [
            ("sasl.pasword", "has no property"),
            ("acks", "the value of"),
        ] {
            let configured = BTreeMap::from([(name.to_owned(), "s3cret-of-mine".to_owned())]);
            let made = properties(&configured).create_with_context(Quiet);
            let made: Result<rdkafka::consumer::BaseConsumer<Quiet>, KafkaError> = made;
            let told = PropertyError::from(made.err().unwrap()).to_string();
            assert!(told.contains(part) && told.contains(name), "{told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
    }
}
