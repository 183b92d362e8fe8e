//! The whole road on the real broker: what is posted signed is on its topic, once, in order, whatever is killed between.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::bridge::Bridge;
use crate::harness::{java, kcat, shared_broker, unique};

#[test]
fn a_signed_delivery_is_on_its_topic_with_key_headers_and_timestamp() {
    let broker = shared_broker();
    let prefix = unique("road.");
    let bridge = Bridge::new(&broker.address())
        .with("TOPICS__PREFIX", &prefix)
        .start();
    let body = json!({
        "event": "call.end", "timestamp": "2024-07-15T14:35:00Z", "agent_id": "agent_abc123",
        "call_id": "call_xyz789", "duration_seconds": 300,
    });
    let answer = bridge.post("default", body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let records = kcat::await_count(
        &broker.address(),
        &format!("{prefix}post-conversation"),
        1,
        LIMIT,
    );
    println!("{records:#?}");
    println!("{}", bridge.log());
}

const LIMIT: Duration = Duration::from_secs(30);
