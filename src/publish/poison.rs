//! Tells a record that Kafka will never take from surroundings that are not well.
//!
//! A record is poison only when it is refused alone: Kafka judges the size of a batch, not of a record.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "librdkafka's codes grow; what nobody knows is the surroundings' fault"
)]

use rdkafka::types::RDKafkaErrorCode;

use super::client::Failed;

/// Whether a refusal may be about the record itself. Everything else, known or not, is the surroundings' fault.
pub(super) fn is_about_the_record(code: RDKafkaErrorCode) -> bool {
    is_size(code)
        || is_timestamp(code)
        || code == RDKafkaErrorCode::InvalidRecord
        || code == RDKafkaErrorCode::BadMessage
}

/// Whether nothing but the records themselves may be at fault.
pub(super) fn are_about_records(failed: &[Failed]) -> bool {
    failed.iter().all(|failed| is_about_the_record(failed.code))
}

/// Whether the broker refuses the record's timestamp; it is then sent with the present.
pub(super) fn is_timestamp(code: RDKafkaErrorCode) -> bool {
    code == RDKafkaErrorCode::InvalidTimestamp
}

/// Whether a record only fell with its transaction.
pub(super) fn is_purge(code: RDKafkaErrorCode) -> bool {
    code == RDKafkaErrorCode::PurgeQueue || code == RDKafkaErrorCode::PurgeInflight
}

fn is_size(code: RDKafkaErrorCode) -> bool {
    code == RDKafkaErrorCode::MessageSizeTooLarge
        || code == RDKafkaErrorCode::MessageBatchTooLarge
        || code == RDKafkaErrorCode::InvalidMessageSize
}

/// A stable word for a refusal.
pub(super) fn reason(code: RDKafkaErrorCode) -> &'static str {
    if is_size(code) {
        "too-large-for-kafka"
    } else {
        "refused-by-kafka"
    }
}

/// What to do about a refusal that is the surroundings' fault.
pub(super) fn advice(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            "give the bridge's principal Write, Read, Describe and (to create topics) Create on the topics"
        }
        RDKafkaErrorCode::GroupAuthorizationFailed => {
            "give the bridge's principal Read on the groups with the prefix atoms-bridge-"
        }
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
            "give the bridge's principal Write and Describe on the transactional ids with the prefix atoms-bridge-"
        }
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "give the bridge's principal IdempotentWrite on the cluster"
        }
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownPartition => {
            "a topic is missing; the bridge creates it if it may, else run `topics ensure` with a principal that may"
        }
        RDKafkaErrorCode::BrokerTransportFailure
        | RDKafkaErrorCode::AllBrokersDown
        | RDKafkaErrorCode::OperationTimedOut
        | RDKafkaErrorCode::MessageTimedOut => {
            "check that the brokers of bootstrap.servers run and can be reached from here"
        }
        RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::ProducerFenced
        | RDKafkaErrorCode::InvalidProducerEpoch => {
            "if this comes again and again, another process runs with a copy of this journal: stop one of them"
        }
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
            "check sasl.username and sasl.password"
        }
        RDKafkaErrorCode::NotEnoughReplicas | RDKafkaErrorCode::NotEnoughReplicasAfterAppend => {
            "too few replicas are in sync; bring the missing brokers back"
        }
        RDKafkaErrorCode::InvalidTimestamp => {
            "even of this moment: set this machine's clock (chrony, NTP), or widen message.timestamp.after.max.ms and .before.max.ms of the topic"
        }
        _ => "deliveries are kept in the journal and published once this has passed",
    }
}
