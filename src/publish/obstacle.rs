//! What stands in a batch's way for all to see: a topic that is gone, a partition without a leader.
//!
//! librdkafka waits for either in silence, and an open transaction holds up every reader of its partitions meanwhile.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaErrorCode;

use crate::route::Record;

/// Why a batch cannot be published now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Obstacle {
    #[error(
        "topic {0} is gone; the bridge creates it again if it may, else run `topics ensure` with a principal that may"
    )]
    NoTopic(String),
    #[error(
        "partition {partition} of topic {topic} has no leader; bring back one of the brokers that hold it: {brokers}"
    )]
    NoLeader {
        topic: String,
        partition: i32,
        brokers: String,
    },
}

/// The first obstacle for these records that Kafka tells of; `None` too when it tells nothing.
pub(super) fn find<'r, C: ClientContext>(
    client: &Client<C>,
    records: impl Iterator<Item = &'r Record>,
) -> Option<Obstacle> {
    let mut wanted = BTreeMap::<&str, BTreeSet<i32>>::new();
    for record in records {
        let partition = i32::try_from(record.partition).unwrap_or(i32::MAX);
        wanted.entry(&record.topic).or_default().insert(partition);
    }
    wanted.into_iter().find_map(|(name, partitions)| {
        let metadata = client.fetch_metadata(Some(name), TIMEOUT).ok()?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        let gone = |topic: &&MetadataTopic| {
            topic.error().map(RDKafkaErrorCode::from)
                == Some(RDKafkaErrorCode::UnknownTopicOrPartition)
        };
        match topic {
            None => Some(Obstacle::NoTopic(name.to_owned())),
            Some(topic) if gone(&topic) => Some(Obstacle::NoTopic(name.to_owned())),
            Some(topic) => without_leader(topic, |partition| partitions.contains(&partition)),
        }
    })
}

/// The first of these partitions that has no leader.
pub(super) fn without_leader(
    topic: &MetadataTopic,
    is_wanted: impl Fn(i32) -> bool,
) -> Option<Obstacle> {
    let found = topic
        .partitions()
        .iter()
        .find(|partition| partition.leader() < 0 && is_wanted(partition.id()))?;
    let brokers: Vec<String> = found.replicas().iter().map(i32::to_string).collect();
    Some(Obstacle::NoLeader {
        topic: topic.name().to_owned(),
        partition: found.id(),
        brokers: brokers.join(", "),
    })
}

const TIMEOUT: Duration = Duration::from_secs(1);
