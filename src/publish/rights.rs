//! Tries what the bridge's principal may do, and leaves nothing that a reader would see.
//!
//! Every transaction is aborted. The right to write is tried with a record whose timestamp lies beyond what the topic
//! takes: Kafka asks for the right first, and then refuses the record. Where a topic takes any timestamp, as before
//! Apache Kafka 4, writing is not tried. A record that is taken all the same tells that this machine's clock is behind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Quiet, Reports, properties};
use super::poison;
use super::topics::{Topics, TopicsError};
use crate::event::BRIDGE_CHECK;
use crate::metrics::Metrics;
use crate::time::Timestamp;

/// What a right is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Right {
    /// Transactions under ids that begin as the bridge's do.
    Transactions,
    /// To keep the mark for groups that begin as the bridge's do, on this topic.
    Mark(String),
    /// To write to a topic.
    Write(String),
}

/// A right that is missing, or could not be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub right: Right,
    /// Kafka's answer.
    pub why: String,
    /// What to do.
    pub advice: &'static str,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// What is missing.
    pub missing: Vec<Missing>,
    /// Topics on which writing was not tried, since a record would stay there.
    pub untried: Vec<String>,
    /// Partitions without a leader, as `topic: partition`.
    pub leaderless: Vec<String>,
    /// What the present showed of the clocks.
    pub clock: Clock,
}

/// This machine's clock beside the brokers', as far as their limit of timestamps tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// It does not tell.
    #[default]
    Unknown,
    /// It is not behind by more than [`CLOCK_MARGIN`].
    NotBehind,
    /// It is.
    Behind,
}

/// A clock that is behind by more shows; so much further than allowed are the timestamps that must be refused.
pub const CLOCK_MARGIN: Duration = Duration::from_secs(600);

/// Tries every right, on topics that exist; the mark's is the first.
///
/// # Errors
///
/// librdkafka refuses a property.
pub fn try_rights(
    kafka: &BTreeMap<String, String>,
    mark_topic: &str,
    topics: &[String],
) -> Result<Rights, TopicsError> {
    let admin = Topics::connect(kafka)?;
    let trial = Trial::start(kafka).map_err(|error| TopicsError::Properties(error.into()))?;
    let mut rights = Rights::default();
    if let Err(missing) = trial.judge(Right::Transactions, |trial| trial.fence()) {
        rights.missing.push(missing);
        return Ok(rights);
    }
    if topics.iter().any(|topic| topic == mark_topic) {
        let mark = Right::Mark(mark_topic.to_owned());
        let marked = trial.judge(mark, |trial| trial.mark(mark_topic));
        rights.missing.extend(marked.err());
    }
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let limits = admin.settings(&names, &[LATEST_TIMESTAMP]);
    for topic in topics {
        let leaderless = trial.leaderless(topic);
        let limit = limits
            .get(topic)
            .and_then(|told| told.get(LATEST_TIMESTAMP));
        let beyond = limit.and_then(|limit| beyond(limit, Timestamp::now()));
        match beyond {
            Some(beyond) if leaderless.is_empty() && rights.clock != Clock::Behind => {
                trial.try_write(topic, beyond, &mut rights);
            }
            Some(_) | None => rights.untried.push(topic.clone()),
        }
        rights.leaderless.extend(leaderless);
    }
    Ok(rights)
}

/// Whether a topic refuses records of now, since this machine's clock is further ahead than the brokers allow.
///
/// The record lies in an aborted transaction when it is not refused.
///
/// # Errors
///
/// librdkafka refuses a property.
pub fn is_present_refused(
    kafka: &BTreeMap<String, String>,
    topic: &str,
) -> Result<bool, TopicsError> {
    let trial = Trial::start(kafka).map_err(|error| TopicsError::Properties(error.into()))?;
    let now_ms = Timestamp::now().unix_ms();
    let written = trial.fence().and_then(|()| trial.write(topic, now_ms));
    let refused = written.err().and_then(|error| error.rdkafka_error_code());
    Ok(refused == Some(REFUSED_TIMESTAMP))
}

/// A timestamp that the topic refuses, unless the clocks differ; `None` when it takes any.
fn beyond(limit_ms: &str, now: Timestamp) -> Option<i64> {
    let limit_ms: i64 = limit_ms.parse().ok().filter(|ms| *ms <= LONGEST_LIMIT_MS)?;
    let margin_ms = i64::try_from(CLOCK_MARGIN.as_millis()).ok()?;
    Some(now.unix_ms() + limit_ms + margin_ms)
}

struct Trial {
    producer: ThreadedProducer<Reports>,
    reports: Reports,
    consumer: BaseConsumer<Quiet>,
}

impl Trial {
    fn start(kafka: &BTreeMap<String, String>) -> Result<Self, KafkaError> {
        // An id of its own: the running bridge's would be fenced off.
        let id = format!("atoms-bridge-check-{}", uuid::Uuid::new_v4());
        let reports = Reports::new(Metrics::new().kafka());
        let mut config = properties(kafka);
        config.set("transactional.id", &id);
        let producer = config.create_with_context(reports.clone())?;
        let mut config = properties(kafka);
        config.set("group.id", &id);
        config.set("enable.auto.commit", "false");
        Ok(Self {
            producer,
            reports,
            consumer: config.create_with_context(Quiet)?,
        })
    }

    fn judge(
        &self,
        right: Right,
        attempt: impl Fn(&Self) -> Result<(), KafkaError>,
    ) -> Result<(), Missing> {
        attempt(self).map_err(|error| missing(right, &error))
    }

    fn fence(&self) -> Result<(), KafkaError> {
        insist(|| self.producer.init_transactions(STEP))
    }

    /// Sends the mark in a transaction that is aborted.
    fn mark(&self, topic: &str) -> Result<(), KafkaError> {
        self.producer.begin_transaction()?;
        let sent = self.send_mark(topic);
        let aborted = insist(|| self.producer.abort_transaction(STEP));
        sent.and(aborted)
    }

    fn send_mark(&self, topic: &str) -> Result<(), KafkaError> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, 0, Offset::Offset(0))?;
        let group = self.consumer.group_metadata();
        let group = group.ok_or(KafkaError::Canceled)?;
        insist(|| {
            self.producer
                .send_offsets_to_transaction(&offsets, &group, STEP)
        })
    }

    fn try_write(&self, topic: &str, timestamp_ms: i64, rights: &mut Rights) {
        match self.write(topic, timestamp_ms) {
            Err(error) if error.rdkafka_error_code() == Some(REFUSED_TIMESTAMP) => {
                rights.clock = Clock::NotBehind;
            }
            Ok(()) => rights.clock = Clock::Behind,
            // It was allowed, and refused for something else.
            Err(error)
                if error
                    .rdkafka_error_code()
                    .is_some_and(poison::is_about_the_record) => {}
            Err(error) => rights
                .missing
                .push(missing(Right::Write(topic.to_owned()), &error)),
        }
    }

    /// Sends a record in a transaction that is aborted; the error is what the topic says to it.
    fn write(&self, topic: &str, timestamp_ms: i64) -> Result<(), KafkaError> {
        self.producer.begin_transaction()?;
        self.reports.expect();
        let record = BaseRecord::<str, str, usize>::with_opaque_to(topic, 0)
            .partition(0)
            .timestamp(timestamp_ms)
            .key(BRIDGE_CHECK)
            .payload(BRIDGE_CHECK);
        let sent = self.producer.send(record).map_err(|(error, _)| error);
        let answer = sent.and_then(|()| self.answer(topic));
        insist(|| self.producer.abort_transaction(STEP))?;
        self.reports.wait(STEP);
        answer
    }

    fn answer(&self, topic: &str) -> Result<(), KafkaError> {
        if !self.reports.wait(WRITE_WITHIN) {
            return Err(KafkaError::MessageProduction(
                RDKafkaErrorCode::OperationTimedOut,
            ));
        }
        match self.reports.take_failed().first() {
            None => Ok(()),
            // A record that was only purged does not say why; the transaction does.
            Some(failed) if poison::is_purge(failed.code) => self
                .send_mark(topic)
                .and(Err(KafkaError::MessageProduction(failed.code))),
            Some(failed) => Err(KafkaError::MessageProduction(failed.code)),
        }
    }

    fn leaderless(&self, topic: &str) -> Vec<String> {
        let metadata = self.producer.client().fetch_metadata(Some(topic), STEP * 5);
        let metadata = metadata.ok();
        let topics = metadata.iter().flat_map(|metadata| metadata.topics());
        let partitions = topics
            .filter(|found| found.name() == topic)
            .flat_map(|found| found.partitions());
        let leaderless = partitions.filter(|partition| partition.leader() < 0);
        leaderless
            .map(|partition| format!("{topic}: {}", partition.id()))
            .collect()
    }
}

fn missing(right: Right, error: &KafkaError) -> Missing {
    let code = error.rdkafka_error_code();
    let code = code.unwrap_or(RDKafkaErrorCode::Unknown);
    Missing {
        right,
        why: code.to_string(),
        advice: poison::advice(code),
    }
}

/// Makes a call again as long as it says that this may help.
fn insist(call: impl Fn() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let deadline = Instant::now() + INSIST_FOR;
    loop {
        match call() {
            Err(KafkaError::Transaction(error))
                if error.is_retriable()
                    && !error.txn_requires_abort()
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(BETWEEN_CALLS);
            }
            answer => return answer,
        }
    }
}

const LATEST_TIMESTAMP: &str = "message.timestamp.after.max.ms";
const REFUSED_TIMESTAMP: RDKafkaErrorCode = RDKafkaErrorCode::InvalidTimestamp;
/// A longer limit than a year is none.
const LONGEST_LIMIT_MS: i64 = 366 * 86_400_000;
const STEP: Duration = Duration::from_secs(1);
const WRITE_WITHIN: Duration = Duration::from_secs(5);
const INSIST_FOR: Duration = Duration::from_secs(8);
const BETWEEN_CALLS: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_beyond_only_where_there_is_a_limit() {
        let now = Timestamp::from_unix_ms(1_000);
        assert_eq!(beyond("3600000", now), Some(1_000 + 3_600_000 + 600_000));
        assert_eq!(beyond("9223372036854775807", now), None);
        assert_eq!(beyond("", now), None);
    }
}
