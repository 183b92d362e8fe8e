//! Properties that cannot be set, since a promise of the bridge or the sense of its transactions rests on them.

/// Why a property cannot be set; `None` when it can.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    Some(match name {
        "acks" | "request.required.acks" => {
            "an event counts as published when all in-sync replicas have it (acks = all)"
        }
        "enable.idempotence" => "exactly once rests on the transactional, idempotent producer",
        "enable.gapless.guarantee" | "message.timeout.ms" | "delivery.timeout.ms" => {
            "no event is given up: what fails is sent again in order from the journal, in a transaction with its own limit"
        }
        "retries" | "message.send.max.retries" => {
            "no event is given up: librdkafka sends again for as long as the transaction may last"
        }
        "transactional.id" => {
            "it is made from the journal's uuid, so that a restart fences the producer before it"
        }
        "partitioner" | "partitioner_cb" | "msg_order_cmp" => {
            "the bridge picks the partition by Java's rule, so that a call's events stay in order and meet other clients' keys"
        }
        "max.in.flight" | "max.in.flight.requests.per.connection" => {
            "order within a call rests on the producer's own limit"
        }
        "queuing.strategy" => "order within a call rests on first in, first out",
        "delivery.report.only.error" => {
            "a transaction is committed when Kafka has confirmed each of its records"
        }
        "message.max.bytes" => {
            "it follows listen.max_body, as the topics' max.message.bytes does unless topics.max_message_bytes says otherwise"
        }
        "topic.blacklist" => "the bridge must see its topics",
        "isolation.level" => "the bridge reads only what was committed",
        "group.id" | "group.instance.id" | "group.protocol" => {
            "groups are the bridge's own: the mark of what is published is kept under one made from the journal's uuid"
        }
        "enable.auto.commit" | "auto.commit.enable" => {
            "the mark of what is published is committed with the events themselves, in one transaction"
        }
        "enabled_events" | "log.queue" => "the bridge listens to librdkafka in its own way",
        _ if name.starts_with("test.mock.") => {
            "events would go to a cluster inside this process and be gone with it"
        }
        _ => return None,
    })
}
