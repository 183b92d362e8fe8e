//! An event that Kafka refuses costs itself and no other.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::harness::bridge::Bridge;
use crate::harness::{java, kcat, ports, shared_broker, unique, until};

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

/// Kafka tells the clock of the bridge's machine and the past that it refuses alike.
#[test]
fn while_kafka_refuses_even_the_present_nothing_is_set_aside() {
    let broker = shared_broker();
    let prefix = format!("{}.", unique("clock"));
    let topic = format!("{prefix}post-conversation");
    let bridge = Bridge::new(&broker.address())
        .with("TOPICS__PREFIX", &prefix)
        .start();
    bridge.await_publishing();
    // Whatever comes is older than that by then: as with a clock that is behind.
    set(
        &broker.address(),
        &topic,
        &["--add-config", &format!("{OLDEST}=0")],
    );
    let mut client = bridge.client();
    for number in 0..3 {
        let answer = crate::harness::bridge::post(&mut client, "default", &body(number));
        assert_eq!(answer.expect("an answer").status, 200);
    }
    until("the clock to be told", LIMIT, || {
        match bridge.kafka_alarm() {
            Some(alarm) if alarm.contains("set this machine's clock") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    set(&broker.address(), &topic, &["--delete-config", OLDEST]);
    bridge.await_published();
    let events = kcat::await_count(&broker.address(), &topic, 3, LIMIT);
    assert_eq!(events.len(), 3, "once each, and none set aside");
    assert_eq!(bridge.kafka_alarm(), None);
}

fn set(broker: &str, topic: &str, change: &[&str]) {
    let alter = ["--alter", "--entity-type", "topics", "--entity-name", topic];
    let arguments = [&alter[..], change].concat();
    java::tool(broker, "kafka.admin.ConfigCommand", &arguments);
}

fn body(number: usize) -> Vec<u8> {
    let size = if number == LARGE { 40_000 } else { 2_000 };
    let body = json!({"event": "call.end", "call_id": format!("CALL-{number}"), "disposition": "x".repeat(size)});
    body.to_string().into_bytes()
}

const LARGE: usize = 150;
const OLDEST: &str = "message.timestamp.before.max.ms";
const LIMIT: Duration = Duration::from_secs(20);
