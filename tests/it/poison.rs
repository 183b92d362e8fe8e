//! An event that Kafka refuses costs itself and no other.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::harness::bridge::Bridge;
use crate::harness::{kcat, ports, shared_broker, unique, until};

#[test]
fn an_event_too_large_for_its_topic_is_a_dead_letter_among_300_good_ones() {
    let broker = shared_broker();
    let prefix = format!("{}.", unique("poison"));
    let topic = format!("{prefix}post-conversation");
    broker.create_topic_with(&topic, 2, &[("max.message.bytes", "20000")]);
    // Nothing listens there: so all wait together and go in one batch.
    let nowhere = ports::free_address().to_string();
    let mut bridge = Bridge::new(&nowhere)
        .with("TOPICS__PREFIX", &prefix)
        .start();
    let mut client = bridge.client();
    for number in 0..300 {
        let answer =
            crate::harness::bridge::post(&mut client, "default", &body(number)).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(bridge.pending(), 300);
    bridge.kill9();
    let mut bridge = bridge.with("KAFKA__BOOTSTRAP_SERVERS", &broker.address());
    bridge.resume();
    bridge.await_published();

    let events = kcat::await_count(&broker.address(), &topic, 299, LIMIT);
    let keys: BTreeSet<String> = events.iter().map(|event| event.key().to_owned()).collect();
    assert_eq!((events.len(), keys.len()), (299, 299));
    assert!(!keys.contains(&format!("CALL-{LARGE}")));
    let letters = until("a dead letter", LIMIT, || {
        let letters = kcat::try_read(&broker.address(), &format!("{prefix}dead-letter"))?;
        if letters.is_empty() {
            Err("none".to_owned())
        } else {
            Ok(letters)
        }
    });
    let [letter] = letters.as_slice() else {
        panic!("one dead letter: {letters:?}")
    };
    assert_eq!(letter.value, body(LARGE));
    assert_eq!(letter.key(), format!("CALL-{LARGE}"));
    assert_eq!(letter.header("error.stage"), Some("publish"));
    assert_eq!(letter.header("error.reason"), Some("too-large-for-kafka"));
    assert_eq!(
        letter.header("bridge.seq"),
        Some((LARGE + 1).to_string().as_str())
    );
    assert_eq!(bridge.kafka_alarm(), None, "the surroundings are well");
}

fn body(number: usize) -> Vec<u8> {
    let size = if number == LARGE { 40_000 } else { 2_000 };
    let body = json!({"event": "call.end", "call_id": format!("CALL-{number}"), "disposition": "x".repeat(size)});
    body.to_string().into_bytes()
}

const LARGE: usize = 150;
const LIMIT: Duration = Duration::from_secs(10);
