//! `topics.all`: one topic on which every event but dead letters lies as well, in order within each call.

use std::time::Duration;

use serde_json::json;

use crate::harness::bridge::Bridge;
use crate::harness::{kcat, shared_broker, unique};

#[test]
fn the_topic_for_all_has_every_event_but_dead_letters_in_order() {
    let broker = shared_broker().address();
    let prefix = unique("all.");
    let all = format!("{prefix}everything");
    let bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__ALL", &all)
        .start();
    let events = [
        "call.start",
        "call.end",
        "analytics.completed",
        "call.transferred",
    ];
    for call in 0..5 {
        for event in events {
            let body = json!({ "event": event, "call_id": format!("call-{call}") });
            assert_eq!(
                bridge.post("default", body.to_string().as_bytes()).status,
                200
            );
        }
    }
    assert_eq!(bridge.post("default", b"not JSON").status, 200);
    kcat::await_count(&broker, &format!("{prefix}dead-letter"), 1, LIMIT);
    let records = kcat::await_count(&broker, &all, 20, LIMIT);
    assert_eq!(records.len(), 20, "no dead letter among them");
    for call in 0..5 {
        let of_call = records
            .iter()
            .filter(|record| record.key() == format!("call-{call}"));
        let types: Vec<String> = of_call
            .map(|record| record.json()["source"]["event"].to_string())
            .collect();
        assert_eq!(types, events.map(|event| format!("\"{event}\"")));
    }
    let own = kcat::read(&broker, &format!("{prefix}post-conversation"));
    assert_eq!(own.len(), 5, "and each is on its own topic too");
}

const LIMIT: Duration = Duration::from_secs(30);
