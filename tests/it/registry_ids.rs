//! What a record says of its schema, read back by a client that is not ours.

use std::time::Duration;

use serde_json::json;

use crate::harness::bridge::Bridge;
use crate::harness::record::Record;
use crate::harness::registry::{Registry, shared_registry};
use crate::harness::{kcat, shared_broker, unique};

#[test]
fn a_record_says_its_schema_where_it_was_asked_for_and_a_dead_letter_nowhere() {
    let (broker, registry) = (shared_broker().address(), shared_registry());
    for mode in ["header", "prefix", "none"] {
        let prefix = unique(&format!("ids-{mode}."));
        let all = format!("{prefix}everything");
        let bridge = Bridge::new(&broker)
            .with("REGISTRY__URL", &registry.url())
            .with("REGISTRY__SCHEMA_ID", mode)
            .with("TOPICS__PREFIX", &prefix)
            .with("TOPICS__ALL", &all);
        let registered = bridge.run(&["schemas", "register"]);
        assert_eq!(registered.status.code(), Some(0), "{registered:?}");
        let bridge = bridge.start();
        for event in EVENTS {
            let body = json!({ "event": event, "call_id": "call-1" }).to_string();
            assert_eq!(bridge.post("default", body.as_bytes()).status, 200);
        }
        // What begins as a framed event does must come out as it came in.
        assert_eq!(bridge.post("default", b"\0\0\0\0\x01{").status, 200);
        for topic in [
            "pre-conversation",
            "post-conversation",
            "analytics-completed",
            "unrecognized",
        ] {
            let topic = format!("{prefix}{topic}");
            kcat::await_count(&broker, &topic, 1, LIMIT);
            let id = id_of(registry, &topic);
            for record in kcat::read_bytes(&broker, &topic) {
                assert_framed(&record, mode, id);
            }
        }
        kcat::await_count(&broker, &all, EVENTS.len(), LIMIT);
        let id = id_of(registry, &all);
        for record in kcat::read_bytes(&broker, &all) {
            assert_framed(&record, mode, id);
        }
        let letters = format!("{prefix}dead-letter");
        kcat::await_count(&broker, &letters, 1, LIMIT);
        let letter = kcat::read_bytes(&broker, &letters).remove(0);
        assert_eq!(
            (letter.header(HEADER), letter.value.as_slice()),
            (None, &b"\0\0\0\0\x01{"[..])
        );
        tail_reads_it(&bridge);
    }
}

/// Our own reader shows the event in every framing.
fn tail_reads_it(bridge: &Bridge) {
    let output = bridge.run(&["tail", "post-conversation", "-e", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error} in {text:?}"));
    assert!(line.to_string().contains("\"callId\":\"call-1\""), "{line}");
}

fn assert_framed(record: &Record, mode: &str, id: u32) {
    let frame = [&[0], &id.to_be_bytes()[..]].concat();
    let (header, value) = match mode {
        "header" => (Some(frame.clone()), record.value.as_slice()),
        "prefix" => (
            None,
            record
                .value
                .strip_prefix(frame.as_slice())
                .expect("an id before the value"),
        ),
        _ => (None, record.value.as_slice()),
    };
    // Small ids are text of four zeros and a control character.
    assert_eq!(
        record.header(HEADER).map(|text| text.as_bytes().to_vec()),
        header,
        "{mode}"
    );
    let event: serde_json::Value = serde_json::from_slice(value).unwrap();
    assert_eq!(event["callId"], "call-1");
}

fn id_of(registry: &Registry, topic: &str) -> u32 {
    let found = registry
        .get(&format!("/subjects/{topic}-value/versions/1"))
        .json();
    u32::try_from(found["id"].as_u64().unwrap()).unwrap()
}

const EVENTS: [&str; 4] = [
    "call.start",
    "call.end",
    "analytics.completed",
    "call.transferred",
];
const HEADER: &str = "__value_schema_id";
const LIMIT: Duration = Duration::from_secs(30);
