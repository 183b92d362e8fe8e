//! Reads the topics for people: from now, from a moment or from the beginning, and on and on or to their present end.
//!
//! Reads only what was committed. Belongs to no consumer group's life: partitions are assigned by hand and nothing is
//! committed, so that looking changes nothing. What is produced after [`Follower::connect`] has answered is never missed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::client::{Quiet, properties};
use crate::time::Timestamp;

/// A record as it was read. Key and headers are text; bytes that are not UTF-8 are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The topic's whole name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The record's timestamp.
    pub timestamp: Option<Timestamp>,
    /// The key, if it has one.
    pub key: Option<String>,
    /// Name and value, in order.
    pub headers: Vec<(String, String)>,
    /// The value, byte for byte.
    pub value: Vec<u8>,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At what comes next.
    Now,
    /// At the first record with this timestamp or a later one. The embedded cluster of `dev` cannot tell and begins now.
    Since(Timestamp),
    /// At the oldest that is kept.
    Beginning,
}

/// Where reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Nowhere.
    Forever,
    /// At what was there when it began; one topic after another, in the order given.
    End,
}

/// What the next look gave.
#[derive(Debug)]
pub enum Next {
    /// A record.
    Record(Followed),
    /// None within the timeout.
    Nothing,
    /// None, and none will come.
    End,
}

/// Why the topics cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// librdkafka refuses the configuration.
    #[error("cannot use the [kafka] properties")]
    Properties(#[source] KafkaError),
    /// A topic is not there.
    #[error("there is no topic {0}; create it with `topics ensure`, or check topics.prefix")]
    NoTopic(String),
    /// Kafka did not answer or refused.
    #[error(
        "cannot read topic {topic}; check bootstrap.servers, and that the bridge's principal may read it"
    )]
    Kafka {
        /// Its name.
        topic: String,
        /// Why not.
        #[source]
        source: KafkaError,
    },
    /// Reading ended with an error that does not pass by itself.
    #[error("cannot go on reading")]
    Broken(#[source] KafkaError),
}

/// A reader of topics.
pub struct Follower {
    consumer: BaseConsumer<Watch>,
    until: Until,
    /// Topics that are read after the one under way.
    waiting: VecDeque<Topic>,
    /// The one under way.
    topic: String,
    /// Its partitions that have not reached their end, with that end.
    open: BTreeMap<i32, i64>,
}

/// A topic's partitions: where each begins, and where it ended when that was asked.
#[derive(Debug)]
struct Topic {
    name: String,
    partitions: BTreeMap<i32, (Offset, i64)>,
}

impl Follower {
    /// Connects, and settles where each partition begins.
    ///
    /// # Errors
    ///
    /// Kafka does not answer in 10 s, refuses, or has no such topic.
    pub fn connect(
        kafka: &BTreeMap<String, String>,
        topics: &[String],
        from: From,
        until: Until,
    ) -> Result<Self, FollowError> {
        let consumer = consumer(kafka).map_err(FollowError::Properties)?;
        let mut found = VecDeque::new();
        for name in topics {
            found.push_back(Topic::find(&consumer, name, from)?);
        }
        let mut follower = Self {
            consumer,
            until,
            waiting: VecDeque::new(),
            topic: String::new(),
            open: BTreeMap::new(),
        };
        match until {
            Until::Forever => follower.assign(found.iter())?,
            Until::End => follower.waiting = found,
        }
        Ok(follower)
    }

    /// Waits for a record, up to `timeout`.
    ///
    /// # Errors
    ///
    /// One that does not pass by itself. A broker that is away is waited for.
    pub fn next(&mut self, timeout: Duration) -> Result<Next, FollowError> {
        if self.until == Until::End && !self.begin_topic()? {
            return Ok(Next::End);
        }
        let polled = self.consumer.poll(timeout);
        let polled = polled.map(|message| message.map(|message| followed(&message)));
        match polled {
            None => Ok(Next::Nothing),
            Some(Ok(record)) => Ok(self.passed(record)),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.open.remove(&partition);
                Ok(Next::Nothing)
            }
            Some(Err(error)) if passes(&error) => {
                tracing::debug!(%error, "reading goes on after an error");
                Ok(Next::Nothing)
            }
            Some(Err(error)) => Err(FollowError::Broken(error)),
        }
    }

    /// Whether there is a topic under way; begins the next one when the last has reached its end.
    fn begin_topic(&mut self) -> Result<bool, FollowError> {
        while self.open.is_empty() {
            let Some(topic) = self.waiting.pop_front() else {
                return Ok(false);
            };
            let ends = topic
                .partitions
                .iter()
                .map(|(partition, (_, end))| (*partition, *end));
            self.open = ends.filter(|(_, end)| *end > 0).collect();
            if !self.open.is_empty() {
                self.assign([&topic].into_iter())?;
                self.topic = topic.name;
            }
        }
        Ok(true)
    }

    /// Leaves away what came after the end that counts.
    fn passed(&mut self, record: Followed) -> Next {
        if self.until == Until::Forever {
            return Next::Record(record);
        }
        let open = self.open.get(&record.partition).copied();
        let Some(end) = open.filter(|_| record.topic == self.topic) else {
            return Next::Nothing;
        };
        if record.offset + 1 >= end {
            self.open.remove(&record.partition);
        }
        if record.offset < end {
            Next::Record(record)
        } else {
            Next::Nothing
        }
    }

    fn assign<'t>(&self, topics: impl Iterator<Item = &'t Topic>) -> Result<(), FollowError> {
        let mut list = TopicPartitionList::new();
        for topic in topics {
            for (partition, (begin, _)) in &topic.partitions {
                list.add_partition_offset(&topic.name, *partition, *begin)
                    .map_err(FollowError::Broken)?;
            }
        }
        self.consumer.assign(&list).map_err(FollowError::Broken)
    }
}

impl Topic {
    fn find(consumer: &BaseConsumer<Watch>, name: &str, from: From) -> Result<Self, FollowError> {
        let failed = |source| FollowError::Kafka {
            topic: name.to_owned(),
            source,
        };
        let mut topic = Self {
            name: name.to_owned(),
            partitions: BTreeMap::new(),
        };
        for partition in partitions(consumer, name)? {
            let watermarks = consumer.fetch_watermarks(name, partition, TIMEOUT);
            let (_, end) = watermarks.map_err(failed)?;
            // The end as a number: resolved later, it would lie behind what comes until then.
            let begin = match from {
                From::Now | From::Since(_) => Offset::Offset(end),
                From::Beginning => Offset::Beginning,
            };
            topic.partitions.insert(partition, (begin, end));
        }
        if let From::Since(since) = from {
            topic.begin_since(consumer, since).map_err(failed)?;
        }
        Ok(topic)
    }

    /// Partitions without so late a record begin at their end.
    fn begin_since(
        &mut self,
        consumer: &BaseConsumer<Watch>,
        since: Timestamp,
    ) -> Result<(), KafkaError> {
        let mut asked = TopicPartitionList::new();
        for partition in self.partitions.keys() {
            asked.add_partition_offset(
                &self.name,
                *partition,
                Offset::Offset(since.unix_ms().max(0)),
            )?;
        }
        let told = consumer.offsets_for_times(asked, TIMEOUT)?;
        for element in told.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset()
                && let Some((begin, _)) = self.partitions.get_mut(&element.partition())
            {
                *begin = Offset::Offset(offset);
            }
        }
        Ok(())
    }
}

fn partitions(consumer: &BaseConsumer<Watch>, name: &str) -> Result<Vec<i32>, FollowError> {
    let failed = |source| FollowError::Kafka {
        topic: name.to_owned(),
        source,
    };
    let metadata = consumer
        .fetch_metadata(Some(name), TIMEOUT)
        .map_err(failed)?;
    let found = metadata.topics().iter().find(|topic| topic.name() == name);
    let Some(topic) = found else {
        return Err(FollowError::NoTopic(name.to_owned()));
    };
    match topic.error().map(RDKafkaErrorCode::from) {
        None => Ok(topic
            .partitions()
            .iter()
            .map(|partition| partition.id())
            .collect()),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
            Err(FollowError::NoTopic(name.to_owned()))
        }
        Some(code) => Err(failed(KafkaError::MetadataFetch(code))),
    }
}

fn consumer(kafka: &BTreeMap<String, String>) -> Result<BaseConsumer<Watch>, KafkaError> {
    let mut config = properties(kafka);
    if config.get("fetch.wait.max.ms").is_none() {
        // The end of a partition is only told after an empty answer.
        config.set("fetch.wait.max.ms", "100");
    }
    // librdkafka assigns only within a group; nothing is ever stored under it.
    config.set("group.id", "atoms-kafka-bridge-tail");
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "true");
    config.set("isolation.level", "read_committed");
    // What retention deleted before it was read is not read; what is left is.
    config.set("auto.offset.reset", "earliest");
    config.create_with_context(Watch)
}

fn followed(message: &BorrowedMessage<'_>) -> Followed {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    Followed {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().map(Timestamp::from_unix_ms),
        key: message.key().map(text),
        headers: headers
            .map(|header| {
                (
                    header.key.to_owned(),
                    text(header.value.unwrap_or_default()),
                )
            })
            .collect(),
        value: message.payload().unwrap_or_default().to_vec(),
    }
}

/// Whether librdkafka tries again by itself.
fn passes(error: &KafkaError) -> bool {
    let Some(code) = error.rdkafka_error_code() else {
        return false;
    };
    [
        RDKafkaErrorCode::AllBrokersDown,
        RDKafkaErrorCode::BrokerTransportFailure,
        RDKafkaErrorCode::Resolve,
        RDKafkaErrorCode::OperationTimedOut,
        RDKafkaErrorCode::LeaderNotAvailable,
        RDKafkaErrorCode::NotLeaderForPartition,
        // Only the group's coordinator asks for this right, and nothing here needs it.
        RDKafkaErrorCode::GroupAuthorizationFailed,
    ]
    .contains(&code)
}

impl Followed {
    /// The last header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().rev().find(|(header, _)| header == name);
        header.map(|(_, value)| value.as_str())
    }
}

/// As [`Quiet`], but tells whoever watches that nothing can come at the moment.
#[derive(Debug, Clone, Copy)]
struct Watch;

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Quiet.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            tracing::warn!("no broker can be reached; waiting for one");
        }
        Quiet.error(error, reason);
    }
}

impl ConsumerContext for Watch {}

/// How long Kafka may take to answer a question.
const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    use super::*;

    type Cluster = MockCluster<'static, rdkafka::producer::DefaultProducerContext>;

    fn cluster() -> (Cluster, BTreeMap<String, String>) {
        let cluster = MockCluster::new(1).unwrap();
        for topic in ["a", "b"] {
            cluster.create_topic(topic, 2, 1).unwrap();
        }
        let kafka = BTreeMap::from([("bootstrap.servers".to_owned(), cluster.bootstrap_servers())]);
        (cluster, kafka)
    }

    fn produce(kafka: &BTreeMap<String, String>, topic: &str, values: &[&str]) {
        let producer: BaseProducer = properties(kafka).create().unwrap();
        for (value, partition) in values.iter().zip([0, 1].into_iter().cycle()) {
            let record = BaseRecord::to(topic)
                .partition(partition)
                .key("k")
                .payload(*value);
            producer.send(record).unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn values(follower: &mut Follower, count: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut values = Vec::new();
        while values.len() < count {
            assert!(Instant::now() < deadline, "only {values:?}");
            match follower.next(Duration::from_millis(100)).unwrap() {
                Next::Record(record) => values.push(String::from_utf8(record.value).unwrap()),
                Next::Nothing => {}
                Next::End => break,
            }
        }
        values.sort();
        values
    }

    #[test]
    fn from_now_shows_what_comes_and_nothing_before() {
        let (_cluster, kafka) = cluster();
        produce(&kafka, "a", &["old", "older"]);
        let mut follower =
            Follower::connect(&kafka, &names(&["a", "b"]), From::Now, Until::Forever).unwrap();
        produce(&kafka, "a", &["1", "2"]);
        produce(&kafka, "b", &["3"]);
        assert_eq!(values(&mut follower, 3), ["1", "2", "3"]);
    }

    #[test]
    fn until_the_end_reads_everything_once_and_stops() {
        let (_cluster, kafka) = cluster();
        produce(&kafka, "a", &["1", "2", "3"]);
        produce(&kafka, "b", &["4"]);
        let mut follower =
            Follower::connect(&kafka, &names(&["b", "a"]), From::Beginning, Until::End).unwrap();
        produce(&kafka, "a", &["after", "after"]);
        assert_eq!(values(&mut follower, usize::MAX), ["1", "2", "3", "4"]);
        assert!(matches!(follower.next(Duration::ZERO), Ok(Next::End)));
    }

    #[test]
    fn a_topic_that_is_not_there_is_named() {
        let (_cluster, kafka) = cluster();
        let found = Follower::connect(&kafka, &names(&["a", "nowhere"]), From::Now, Until::Forever);
        assert!(matches!(found, Err(FollowError::NoTopic(name)) if name == "nowhere"));
    }
}
