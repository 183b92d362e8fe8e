//! The consumer that reads for people: its properties, and what it tells of itself.

use std::collections::BTreeMap;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::publish::client::{Quiet, properties};

pub(super) fn consumer(
    kafka: &BTreeMap<String, String>,
) -> Result<BaseConsumer<Watch>, KafkaError> {
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

/// As [`Quiet`], but tells whoever watches that nothing can come at the moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch;

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
