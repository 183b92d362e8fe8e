//! Records are CloudEvents to those who know nothing of the bridge: the specification's own SDKs, in Python and JavaScript,
//! read every attribute; and a trace goes on across Kafka.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::bridge::{Bridge, post_with};
use crate::harness::record::Record;
use crate::harness::{foreign, kcat, shared_broker, unique};

#[test]
fn the_cloudevents_sdks_read_every_attribute() {
    let broker = shared_broker().address();
    let prefix = unique("cloud-events") + ".";
    let _bridge = bridge(&broker, &prefix);
    let topics = TOPICS.map(|topic| format!("{prefix}{topic}"));
    let count = (EVENTS.len() + 1).to_string();
    let mut arguments = vec![broker.as_str(), &count];
    arguments.extend(topics.iter().map(String::as_str));

    let by_python = foreign::python("cloud_events", &arguments);
    let by_node = foreign::node("cloud_events", &arguments);
    for (sdk, records) in [("Python", by_python), ("JavaScript", by_node)] {
        assert_eq!(records.len(), EVENTS.len() + 1, "{sdk}");
        for record in records {
            let attributes = &record["attributes"];
            let topic = record["topic"].as_str().unwrap();
            let topic = topic.strip_prefix(&prefix).unwrap();
            if topic == "dead-letter" {
                assert_eq!(attributes["type"], "ai.smallest.atoms.dead-letter.v1");
                assert_eq!(attributes["source"], "/atoms/agents");
                assert_eq!(record["key"], Value::Null);
                continue;
            }
            let event = &record["data"];
            let told = json!({
                "specversion": "1.0",
                "id": event["id"],
                "source": source(event),
                "type": format!("ai.smallest.atoms.{}.v1", event["type"].as_str().unwrap()),
                "subject": event["callId"],
                "time": event["occurredAt"],
                "dataschema": format!("urn:atoms-kafka-bridge:schema:{topic}.v1"),
                "datacontenttype": "application/json",
            });
            assert_eq!(attributes, &told, "{sdk}");
            // The SDKs take a record's key for this extension.
            assert_eq!(record["partitionkey"], event["callId"], "{sdk}");
            assert_eq!(record["key"], event["callId"], "{sdk}");
            if let Some(old) = record.get("old") {
                assert_eq!(old, &told, "the Python SDK's first interface");
                // What the README warns of. When this is no longer so, take the warning away.
                assert_eq!(record["takesBinaryHeaders"], false);
            }
        }
    }
}

#[test]
fn a_requests_trace_goes_on_in_kafka_and_where_there_is_none_one_is_made() {
    let broker = shared_broker().address();
    let prefix = unique("trace") + ".";
    let _bridge = bridge(&broker, &prefix);
    let mut traces = BTreeMap::new();
    for topic in TOPICS {
        for record in kcat::read_bytes(&broker, &format!("{prefix}{topic}")) {
            let id = record.header("ce_id").unwrap().to_owned();
            traces.insert(id, trace(&record).to_owned());
        }
    }
    assert_eq!(traces.len(), EVENTS.len() + 1);
    for (position, (id, trace)) in traces.iter().enumerate() {
        assert_eq!(*id, delivery_id(position));
        let carried = *trace == sent_trace(position);
        assert_eq!(carried, position % 2 == 0, "{traces:?}");
    }
    let mut all: Vec<_> = traces.into_values().collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), EVENTS.len() + 1, "no two share one");
}

/// A bridge to which each of [`EVENTS`] was sent, every second one without a trace, and a delivery without a call.
fn bridge(broker: &str, prefix: &str) -> Bridge {
    let bridge = Bridge::new(broker).with("TOPICS__PREFIX", prefix).start();
    let mut client = bridge.client();
    let cases = EVENTS.iter().chain(["odd/test-button"].iter());
    for (position, case) in cases.enumerate() {
        let trace = sent_trace(position);
        let headers = [("traceparent", trace.as_str())];
        let headers = if position % 2 == 0 { &headers[..] } else { &[] };
        let answer = post_with(&mut client, "default", headers, &body(case, position)).unwrap();
        assert_eq!(answer.status, 200, "{case}");
    }
    bridge.await_published();
    let count = EVENTS.len();
    let events = TOPICS.map(|topic| kcat::read_bytes(broker, &format!("{prefix}{topic}")).len());
    assert_eq!(events.iter().sum::<usize>(), count + 1, "{events:?}");
    bridge
}

/// A recorded request, as a delivery of its own.
fn body(case: &str, position: usize) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let recorded = fs::read(fixtures.join(case).join("body.json")).unwrap();
    let mut body: Value = serde_json::from_slice(&recorded).unwrap();
    body["id"] = delivery_id(position).into();
    body.to_string().into_bytes()
}

fn delivery_id(position: usize) -> String {
    format!("delivery-{position}")
}

fn sent_trace(position: usize) -> String {
    format!("00-4bf92f3577b34da6a3ce929d0e0e47{position:02x}-00f067aa0ba902b7-01")
}

/// A record's trace, which must be one.
fn trace(record: &Record) -> &str {
    let trace = record.header("traceparent").unwrap();
    let parts: Vec<usize> = trace.split('-').map(str::len).collect();
    assert_eq!(parts, [2, 32, 16, 2], "{trace}");
    trace
}

/// The specification wants a URI reference: what may not stand in one is percent-encoded.
fn source(event: &Value) -> String {
    match event["agentId"].as_str() {
        Some(agent) => format!("/atoms/agents/{agent}"),
        None => "/atoms/agents".to_owned(),
    }
}

const TOPICS: [&str; 5] = [
    "pre-conversation",
    "post-conversation",
    "analytics-completed",
    "unrecognized",
    "dead-letter",
];
/// Every topic of events, every dialect, an event without an agent, and texts in other scripts.
const EVENTS: [&str; 8] = [
    "envelope/pre-conversation",
    "envelope/post-conversation",
    "envelope/post-japanese",
    "envelope/unknown-type",
    "flat/call-start",
    "flat/call-end-hindi",
    "older/analytics-without-agent",
    "settings/analytics-completed",
];
