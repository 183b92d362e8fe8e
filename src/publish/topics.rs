//! What the topics should be and are; creates what is missing.

mod counts;
mod plan;
pub mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaErrorCode;

pub use self::plan::{Plan, max_message_bytes};

use self::counts::{common, enough, more};
use super::Stop;
use super::client::{PropertyError, Quiet, in_steps, properties};

/// Why the topics are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// Kafka did not answer or refused.
    #[error("cannot read the topics' metadata: {0}; {advice}", advice = advice(.0))]
    Metadata(#[source] KafkaError),
    /// A client could not be made.
    #[error("cannot use the [kafka] properties: {0}")]
    Properties(#[source] PropertyError),
    /// A topic could not be created.
    #[error(
        "cannot create topic {topic}: {code}; create it with {partitions} partitions, or let the bridge's principal create topics"
    )]
    Create {
        /// Its name.
        topic: String,
        /// Kafka's answer.
        code: RDKafkaErrorCode,
        /// How many partitions it should have.
        partitions: u32,
    },
    /// Partition counts differ, so that the keys of one call would not meet.
    #[error(
        "the topics' partition counts differ ({counts}): the events of one call would lie in partitions of different numbers, and consumers that join topics (Kafka Streams, Flink) would miss them without a word; Kafka can only raise a count, so raise the others to {most}: {commands}; do it while nothing is pending, since a call goes on in another partition afterwards"
    )]
    Unequal {
        /// Each topic and its count.
        counts: String,
        /// The highest.
        most: u32,
        /// What raises the others.
        commands: String,
    },
    /// A topic's settings cannot be read.
    #[error(
        "cannot read the settings of topic {topic}: {why}; let the principal DescribeConfigs on it"
    )]
    Settings {
        /// Its name.
        topic: String,
        /// Kafka's answer.
        why: String,
    },
    /// The Kafka inside a `dev` has none.
    #[error(
        "the embedded Kafka of `dev` does not tell what its topics are set to; nothing is to be done about it"
    )]
    NoSettings,
    /// A topic's settings cannot be altered.
    #[error(
        "cannot alter the settings of topic {topic}: {why}; let the principal AlterConfigs on it, or set it yourself: kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {changes}"
    )]
    Alter {
        /// Its name.
        topic: String,
        /// Kafka's answer.
        why: String,
        /// What was to be set.
        changes: String,
    },
    /// A topic has fewer partitions than this journal publishes into.
    #[error(
        "topic {topic} has {found} partitions, but this journal publishes into {frozen}, and a call must stay in its partition; raise it: kafka-topics.sh --alter --topic {topic} --partitions {frozen}"
    )]
    Fewer {
        /// Its name.
        topic: String,
        /// What the journal has.
        frozen: u32,
        /// What Kafka has.
        found: u32,
    },
}

fn advice(error: &KafkaError) -> &'static str {
    error.rdkafka_error_code().map_or(
        "check bootstrap.servers and that the brokers run",
        super::poison::advice,
    )
}

/// The topics, all there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensured {
    /// Into how many partitions calls are placed.
    pub partitions: u32,
    /// What was missing and is there now.
    pub created: Vec<String>,
    /// What somebody must see to, though nothing keeps the bridge from publishing.
    pub finding: Option<String>,
}

/// What a topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// How many partitions it has.
    pub partitions: u32,
    /// How many replicas the partition with the fewest has.
    pub replication: u32,
}

impl Found {
    fn of(topic: &MetadataTopic) -> Self {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let replicas = topic
            .partitions()
            .iter()
            .map(|partition| partition.replicas().len());
        Self {
            partitions: count(topic.partitions().len()),
            replication: count(replicas.min().unwrap_or(0)),
        }
    }
}

/// Reads and creates topics.
pub struct Topics {
    admin: AdminClient<Quiet>,
    stop: Stop,
}

impl Topics {
    /// Makes a client; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// When librdkafka refuses a property.
    pub fn connect(kafka: &BTreeMap<String, String>) -> Result<Self, TopicsError> {
        let admin = properties(kafka)
            .create_with_context(Quiet)
            .map_err(|error| TopicsError::Properties(error.into()))?;
        let stop = Stop::default();
        Ok(Self { admin, stop })
    }

    /// Gives up waiting for Kafka when the process is to stop.
    pub(super) fn until(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// What those topics are that exist.
    ///
    /// # Errors
    ///
    /// When Kafka does not answer or refuses to tell.
    pub fn describe(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Found>, TopicsError> {
        let mut all = BTreeMap::new();
        for name in names {
            let client = self.admin.inner();
            let metadata = in_steps(TIMEOUT, &self.stop, |step| {
                client.fetch_metadata(Some(name), step)
            });
            let metadata = metadata.map_err(TopicsError::Metadata)?;
            let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
                continue;
            };
            match topic.error().map(RDKafkaErrorCode::from) {
                None => drop(all.insert(name.clone(), Found::of(topic))),
                Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
                Some(code) => return Err(TopicsError::Metadata(KafkaError::MetadataFetch(code))),
            }
        }
        Ok(all)
    }

    /// The partition counts of those topics that exist.
    ///
    /// # Errors
    ///
    /// As [`Topics::describe`].
    pub fn partitions(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, u32>, TopicsError> {
        let found = self.describe(names)?;
        let counts = found
            .into_iter()
            .map(|(name, found)| (name, found.partitions));
        Ok(counts.collect())
    }

    /// That all topics have one partition count.
    ///
    /// # Errors
    ///
    /// When they differ.
    pub fn equal(found: &BTreeMap<String, Found>) -> Result<(), TopicsError> {
        let counts = found.iter();
        let counts = counts.map(|(name, found)| (name.clone(), found.partitions));
        common(&counts.collect()).map(drop)
    }

    /// Creates what is missing of `plan`.
    ///
    /// A journal that has published goes on with the count that it has `frozen`: topics with more partitions are a finding,
    /// since a call stays where its earlier events are.
    ///
    /// # Errors
    ///
    /// When the counts differ and none is frozen, a topic has fewer partitions than that, or cannot be created.
    pub fn ensure(&self, plan: &Plan, frozen: Option<u32>) -> Result<Ensured, TopicsError> {
        let found = self.partitions(&plan.names)?;
        let partitions = match frozen {
            Some(frozen) => enough(&found, frozen)?,
            None => common(&found)?.unwrap_or(plan.partitions),
        };
        let missing = |name: &&String| !found.contains_key(*name);
        let created: Vec<String> = plan.names.iter().filter(missing).cloned().collect();
        if !created.is_empty() {
            self.create(&created, partitions, plan)?;
            self.look_again(plan, partitions, frozen)?;
        }
        Ok(Ensured {
            partitions,
            created,
            finding: more(&found, partitions),
        })
    }

    /// Waits until every topic is seen: what somebody else created a moment ago may have another count.
    fn look_again(&self, plan: &Plan, count: u32, frozen: Option<u32>) -> Result<(), TopicsError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let found = self.partitions(&plan.names)?;
            if frozen.is_none() {
                common(&found)?;
            }
            if found.len() == plan.names.len() {
                return enough(&found, count).map(drop);
            }
            if Instant::now() > deadline || self.stop.wait(LOOK_AGAIN) {
                let code = RDKafkaErrorCode::UnknownTopicOrPartition;
                return Err(TopicsError::Metadata(KafkaError::MetadataFetch(code)));
            }
        }
    }

    fn create(&self, names: &[String], partitions: u32, plan: &Plan) -> Result<(), TopicsError> {
        let count = i32::try_from(partitions).unwrap_or(i32::MAX);
        let replication =
            || TopicReplication::Fixed(plan.replication.map_or(BROKERS_DEFAULT, i32::from));
        let topics: Vec<NewTopic<'_>> = names
            .iter()
            .map(|name| {
                let topic = NewTopic::new(name, count, replication());
                let settings = plan.settings(name);
                settings.fold(topic, |topic, (key, value)| topic.set(key, value))
            })
            .collect();
        let failed = |topic: &str, code| TopicsError::Create {
            topic: topic.to_owned(),
            code,
            partitions,
        };
        let answers = answer_of(self.admin.create_topics(&topics, &options()))
            .map_err(|code| failed(&names.join(", "), code))?;
        for answer in answers {
            match answer {
                // Another bridge was faster.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(failed(&topic, code)),
            }
        }
        tracing::info!(topics = names.join(", "), partitions, "topics created");
        Ok(())
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(TIMEOUT))
        .request_timeout(Some(TIMEOUT))
}

/// Waits for an answer where there is no runtime, as on the publisher's thread: this happens seldom.
fn answer_of<T>(
    request: impl Future<Output = Result<T, KafkaError>>,
) -> Result<T, RDKafkaErrorCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(request),
        Err(_) => Err(KafkaError::Canceled),
    };
    answer.map_err(|error| {
        let code = error.rdkafka_error_code();
        code.unwrap_or(RDKafkaErrorCode::Unknown)
    })
}

const LOOK_AGAIN: Duration = Duration::from_millis(50);
const BROKERS_DEFAULT: i32 = -1;
const TIMEOUT: Duration = Duration::from_secs(10);
