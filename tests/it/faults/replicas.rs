//! Records that a leader has and its follower has not, when the bridge dies: what a restart cannot see in the topic.
//!
//! A bridge that looked up what had arrived would send them again.

use std::time::Duration;

use serde_json::{Value, json};

use super::oracle::{ALL, Verdict};
use super::sender::{Sender, Sent};
use super::{PREFIX, bridge};
use crate::harness::kafka::Broker;
use crate::harness::{java, kcat, until};

#[test]
fn records_that_a_frozen_follower_has_not_are_there_once_after_a_restart() {
    // Nobody leaves the in-sync replicas while it is frozen, so that the leader's records stay above the high watermark.
    let patient = [
        ("broker.session.timeout.ms", "60000"),
        ("replica.lag.time.max.ms", "60000"),
    ];
    let leader = Broker::start_with(&patient);
    let mut bridge = bridge(&leader).start();
    bridge.await_publishing();
    // Kafka makes its own topics with the first event; they stay with the leader.
    let webhooks = bridge.webhooks_address();
    let mut sent = vec![Sent::event("CALL-first", 0, "post-conversation", 0).post(webhooks)];
    bridge.await_published();
    let mut follower = Broker::prepare_beside(&leader, &patient);
    follower.resume();
    replicate(&leader);

    for trial in 0..TRIALS {
        let sender = Sender::start(webhooks, trial);
        sender.await_more(60);
        let alone_bytes = freeze_behind(&leader, &mut follower, &sender);
        bridge.kill9();
        bridge.resume();
        sender.await_more(30);
        // The successor does what it can without the follower: it cannot end the transaction that it found.
        std::thread::sleep(Duration::from_secs(1));
        follower.cont_signal();
        sent.extend(sender.finish());
        bridge.await_published();
        let verdict = Verdict::of(&leader.address(), PREFIX, &sent);
        println!("{alone_bytes} bytes on the leader alone when the bridge was killed: {verdict}");
        verdict.assert_clean();
    }
}

/// Freezes the follower so that the leader has records which it has not; returns how many bytes of them.
fn freeze_behind(leader: &Broker, follower: &mut Broker, sender: &Sender) -> u64 {
    until("records on the leader alone", LIMIT, || {
        follower.stop_signal();
        sender.await_more(60);
        match leader
            .log_bytes(PREFIX)
            .checked_sub(follower.log_bytes(PREFIX))
        {
            Some(bytes) if bytes > 0 => Ok(bytes),
            Some(_) | None => {
                // It had all of a commit and could not say so any more: nothing further is appended until it can.
                follower.cont_signal();
                sender.await_more(20);
                Err("it has them all".to_owned())
            }
        }
    })
}

/// Gives each partition of the bridge's topics its second replica, and waits until that is in sync.
fn replicate(leader: &Broker) {
    let topics: Vec<String> = [&TOPICS[..], &[ALL]]
        .concat()
        .iter()
        .map(|topic| format!("{PREFIX}{topic}"))
        .collect();
    let partitions: Vec<Value> = topics
        .iter()
        .flat_map(|topic| {
            (0..3).map(move |n| json!({"topic": topic, "partition": n, "replicas": [1, 2]}))
        })
        .collect();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let plan = json!({"version": 1, "partitions": partitions});
    std::fs::write(file.path(), plan.to_string()).expect("it is writable");
    let path = file.path().to_str().expect("UTF-8");
    java::tool(
        &leader.address(),
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
        &["--reassignment-json-file", path, "--execute"],
    );
    until("both replicas to be in sync", LIMIT, || {
        for topic in &topics {
            for isr in kcat::in_sync(&leader.address(), topic)? {
                if isr.len() != 2 {
                    return Err(format!("{isr:?} of {topic}"));
                }
            }
        }
        Ok(())
    });
}

const TOPICS: [&str; 5] = [
    "pre-conversation",
    "post-conversation",
    "analytics-completed",
    "unrecognized",
    "dead-letter",
];
const TRIALS: u64 = 4;
const LIMIT: Duration = Duration::from_secs(90);
