//! The mark: how far the journal has been committed, as Kafka itself remembers it.
//!
//! It is the offset of a consumer group of the journal's own, committed in the same transaction as the records. Nothing ever
//! consumes with that group.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::Stop;
use super::client::{Quiet, in_steps, properties};

/// Reads the mark of one journal.
pub(super) struct Marks {
    consumer: BaseConsumer<Quiet>,
    topic: String,
}

impl Marks {
    pub(super) fn connect(
        kafka: &BTreeMap<String, String>,
        group: &str,
        topic: &str,
    ) -> Result<Self, KafkaError> {
        let mut config = properties(kafka);
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        // A transaction that is being ended must be over before its mark is read.
        config.set("isolation.level", "read_committed");
        Ok(Self {
            consumer: config.create_with_context(Quiet)?,
            topic: topic.to_owned(),
        })
    }

    /// What a producer's `send_offsets_to_transaction` wants.
    pub(super) fn group(&self) -> Result<ConsumerGroupMetadata, KafkaError> {
        self.consumer.group_metadata().ok_or(KafkaError::Canceled)
    }

    /// The first `out_seq` that is not in Kafka; `None` when Kafka remembers nothing.
    pub(super) fn read(&self, stop: &Stop) -> Result<Option<u64>, KafkaError> {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition(&self.topic, 0);
        let committed = in_steps(TIMEOUT, stop, |step| {
            self.consumer.committed_offsets(partitions.clone(), step)
        })?;
        let offset = committed
            .find_partition(&self.topic, 0)
            .map(|partition| partition.offset());
        Ok(match offset {
            Some(Offset::Offset(mark)) => u64::try_from(mark).ok(),
            Some(
                Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::Invalid
                | Offset::OffsetTail(_),
            )
            | None => None,
        })
    }
}

const TIMEOUT: Duration = Duration::from_secs(15);
