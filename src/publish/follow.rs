//! Reads the topics for people: from now, from a moment or from the beginning, and on and on or to their present end.
//!
//! Reads only what was committed. Belongs to no consumer group's life: partitions are assigned by hand and nothing is
//! committed, so that looking changes nothing. What is produced after [`Follower::connect`] has answered is never missed.

mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use self::watch::{Watch, consumer};
use super::client::PropertyError;
use super::embedded::is_embedded;
use crate::registry::framing::unframed;
use crate::route::DEAD_LETTER;
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
    /// The value, byte for byte, without the schema's id that may stand before an event.
    pub value: Vec<u8>,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At what comes next.
    Now,
    /// At the first record with this timestamp or a later one; at the oldest where Kafka does not keep them, as
    /// [`Follower::keeps_times`] tells.
    Since(Timestamp),
    /// At the oldest that is kept.
    Beginning,
}

/// Where reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Nowhere.
    Forever,
    /// At what was there when it began, or when [`Follower::end_here`] was called; one topic after another, in the order
    /// given.
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
    Properties(#[source] PropertyError),
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
    keeps_times: bool,
    /// Topics that are read after the one under way.
    waiting: VecDeque<Topic>,
    /// Topics that are read without end, all at once.
    followed: Vec<Topic>,
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
        let consumer = consumer(kafka).map_err(|error| FollowError::Properties(error.into()))?;
        let found: Result<Vec<Topic>, _> = topics
            .iter()
            .map(|name| Topic::find(&consumer, name))
            .collect();
        let mut follower = Self {
            keeps_times: !topics
                .first()
                .is_some_and(|topic| is_embedded(consumer.client(), topic)),
            consumer,
            until,
            waiting: VecDeque::new(),
            followed: Vec::new(),
            topic: String::new(),
            open: BTreeMap::new(),
        };
        let mut found = found?;
        for topic in &mut found {
            topic.begin(&follower.consumer, follower.beginning(from))?;
        }
        match until {
            Until::Forever => {
                follower.assign(found.iter())?;
                follower.followed = found;
            }
            Until::End => follower.waiting = found.into(),
        }
        Ok(follower)
    }

    fn beginning(&self, from: From) -> From {
        match from {
            From::Since(_) if !self.keeps_times => From::Beginning,
            From::Now | From::Since(_) | From::Beginning => from,
        }
    }

    /// Whether records have the timestamps that they were given.
    pub fn keeps_times(&self) -> bool {
        self.keeps_times
    }

    /// From now on reads what is there now, and ends with it.
    ///
    /// # Errors
    ///
    /// As [`Follower::connect`].
    pub fn end_here(&mut self) -> Result<(), FollowError> {
        let positions = self.consumer.position().map_err(FollowError::Broken)?;
        for mut topic in std::mem::take(&mut self.followed) {
            let ends = Topic::find(&self.consumer, &topic.name)?.partitions;
            for (partition, (begin, end)) in &mut topic.partitions {
                let read = positions.find_partition(&topic.name, *partition);
                if let Some(Offset::Offset(next)) = read.map(|read| read.offset()) {
                    *begin = Offset::Offset(next);
                }
                *end = ends.get(partition).map_or(*end, |(_, end)| *end);
            }
            self.waiting.push_back(topic);
        }
        self.until = Until::End;
        Ok(())
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
    fn find(consumer: &BaseConsumer<Watch>, name: &str) -> Result<Self, FollowError> {
        let mut topic = Self {
            name: name.to_owned(),
            partitions: BTreeMap::new(),
        };
        for partition in partitions(consumer, name)? {
            let watermarks = insist(|| consumer.fetch_watermarks(name, partition, TIMEOUT));
            let (_, end) = watermarks.map_err(|source| topic.failed(source))?;
            // The end as a number: resolved later, it would lie behind what comes until then.
            let begin = Offset::Offset(end);
            topic.partitions.insert(partition, (begin, end));
        }
        Ok(topic)
    }

    fn begin(&mut self, consumer: &BaseConsumer<Watch>, from: From) -> Result<(), FollowError> {
        match from {
            From::Now => Ok(()),
            From::Since(since) => {
                let begun = self.begin_since(consumer, since);
                begun.map_err(|source| self.failed(source))
            }
            From::Beginning => {
                for (begin, _) in self.partitions.values_mut() {
                    *begin = Offset::Beginning;
                }
                Ok(())
            }
        }
    }

    fn failed(&self, source: KafkaError) -> FollowError {
        FollowError::Kafka {
            topic: self.name.clone(),
            source,
        }
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
        let told = insist(|| consumer.offsets_for_times(asked.clone(), TIMEOUT))?;
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
    let metadata = insist(|| consumer.fetch_metadata(Some(name), TIMEOUT)).map_err(failed)?;
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

fn followed(message: &BorrowedMessage<'_>) -> Followed {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    let value = message.payload().unwrap_or_default();
    let value = match message.topic().ends_with(DEAD_LETTER) {
        true => value,
        false => unframed(value),
    };
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
        value: value.to_vec(),
    }
}

/// Asks again while the answer is one that passes: a topic that was just made has no leader yet, and a new client no
/// connection.
fn insist<T>(ask: impl Fn() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match ask() {
            Err(error) if passes(&error) && Instant::now() < deadline => {
                tracing::debug!(%error, "asking Kafka again");
                std::thread::sleep(BETWEEN_QUESTIONS);
            }
            answer => return answer,
        }
    }
}

/// Whether it is over after a while by itself.
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

/// How long Kafka may take to answer a question.
const TIMEOUT: Duration = Duration::from_secs(10);
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
