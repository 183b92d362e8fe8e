//! Calls made for tests, and the judge who reads from the topics whether each delivery is there once and in order.
//!
//! A delivery's id says its call and its step, so that what is on a topic can be judged without knowing what was sent when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use super::record::Record;
use super::{kcat, until};

/// One delivery of a call; the body of a realistic size.
pub(crate) fn delivery(call: &str, step: usize) -> Vec<u8> {
    let event_type = TYPES[step % TYPES.len()];
    let turn = json!({"role": "user", "content": "Ja, das passt. ठीक है। 好的。".repeat(20), "timestamp": "2026-05-08T07:52:05.123Z"});
    let body = json!({
        "url": "https://example.com/webhook",
        "description": "Collections",
        "event": format!("agent.{event_type}"),
        "id": id(call, step),
        "metadata": {
            "agentId": "69fc7dd072a0c1d28d948ace", "eventType": event_type, "callId": call,
            "conversationType": "telephonyOutbound", "transcript": [turn], "variables": {"step": step.to_string()},
        },
    });
    body.to_string().into_bytes()
}

/// The id of [`delivery`].
pub(crate) fn id(call: &str, step: usize) -> String {
    format!("{call}.{step:04}")
}

/// Waits until all of `ids` are committed, and judges: each once, nothing else, in the order of the journal within each
/// partition and of the steps within each call.
pub(crate) fn judge(broker: &str, prefix: &str, ids: &BTreeSet<String>) -> Vec<Record> {
    let mut records = Vec::new();
    until(&format!("{} events", ids.len()), LIMIT, || {
        records = read_all(broker, prefix)?;
        if records.len() >= ids.len() {
            Ok(())
        } else {
            Err(format!("{} events", records.len()))
        }
    });
    each_once(&records, ids);
    in_order(&records);
    records
}

/// Every record that is no dead letter; there must be none of those.
fn read_all(broker: &str, prefix: &str) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    for topic in TOPICS {
        records.append(&mut kcat::try_read(broker, &format!("{prefix}{topic}"))?);
    }
    let dead = kcat::try_read(broker, &format!("{prefix}dead-letter"))?;
    assert!(dead.is_empty(), "dead letters: {dead:?}");
    Ok(records)
}

fn each_once(records: &[Record], ids: &BTreeSet<String>) {
    let mut counts = BTreeMap::<&str, usize>::new();
    for record in records {
        *counts.entry(event_id(record)).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    let missing: Vec<_> = ids
        .iter()
        .filter(|id| !counts.contains_key(id.as_str()))
        .collect();
    let unknown: Vec<_> = counts.keys().filter(|id| !ids.contains(**id)).collect();
    assert!(
        twice.is_empty() && missing.is_empty() && unknown.is_empty(),
        "twice {twice:?}, missing {missing:?}, never sent {unknown:?}"
    );
}

/// Records stand as kcat's reader sorted them: by topic, partition and offset.
fn in_order(records: &[Record]) {
    let mut last_seq = BTreeMap::<(&str, i32), u64>::new();
    let mut last_step = BTreeMap::<(&str, &str), &str>::new();
    for record in records {
        let seq: u64 = record
            .header("bridge.seq")
            .and_then(|seq| seq.parse().ok())
            .expect("a number");
        let before = last_seq.insert((&record.topic, record.partition), seq);
        assert!(
            before < Some(seq),
            "{} behind {before:?} in {record:?}",
            seq
        );
        let id = event_id(record);
        let before = last_step.insert((&record.topic, record.key()), id);
        assert!(
            before < Some(id),
            "{id} behind {before:?} on {}",
            record.topic
        );
        assert_eq!(
            id.rsplit_once('.').map(|(call, _)| call),
            Some(record.key()),
            "the key of {id}"
        );
    }
}

fn event_id(record: &Record) -> &str {
    record.header("ce_id").expect("every event has its id")
}

/// A producer of somebody else's, amid a transaction on every partition of every topic of events.
pub(crate) fn open_transaction(broker: &str, prefix: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("transactional.id", format!("{prefix}somebody"))
        .create()
        .unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    for topic in TOPICS {
        let topic = format!("{prefix}{topic}");
        for partition in 0..2 {
            let record = BaseRecord::<str, str>::to(&topic).partition(partition);
            producer.send(record.payload("never committed")).unwrap();
        }
    }
    producer.flush(LIMIT).unwrap();
    producer
}

/// Most steps meet others of their call on the same topic.
pub(crate) const TYPES: [&str; 5] = [
    "pre-conversation",
    "post-conversation",
    "post-conversation",
    "analytics-completed",
    "something-new",
];
/// Where events go, behind the prefix.
pub(crate) const TOPICS: [&str; 4] = [
    "pre-conversation",
    "post-conversation",
    "analytics-completed",
    "unrecognized",
];
const LIMIT: Duration = Duration::from_secs(60);
