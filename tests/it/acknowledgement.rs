//! What a 200 means with `ack = "kafka"`: the event is committed, or Kafka did not answer in time and the journal has it.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::bridge::{Bridge, post};
use crate::harness::calls::{delivery, id, judge};
use crate::harness::kafka::Broker;
use crate::harness::until;

#[test]
fn an_answer_waits_for_kafkas_commit_but_not_for_ever() {
    let mut broker = Broker::start();
    let mut bridge = Bridge::new(&broker.address())
        .with("TOPICS__PARTITIONS", "2")
        .with("WEBHOOKS__DEFAULT__ACK", "kafka")
        .with("WEBHOOKS__DEFAULT__ACK_TIMEOUT", "25s")
        .start();
    assert_eq!(bridge.post("default", &delivery("CALL-ack", 0)).status, 200);
    judge(&broker.address(), "atoms.", &ids(1));

    // While Kafka hangs, so does the answer; when it goes on, the answer comes long before the timeout.
    broker.stop_signal();
    let mut client = bridge.client();
    let waiting = thread::spawn(move || post(&mut client, "default", &delivery("CALL-ack", 1)));
    until("the delivery in the journal", LIMIT, || {
        match bridge.pending() {
            1 => Ok(()),
            pending => Err(format!("{pending} pending")),
        }
    });
    assert!(!waiting.is_finished(), "an answer although Kafka hangs");
    broker.cont_signal();
    assert_eq!(
        waiting.join().expect("no panic").expect("an answer").status,
        200
    );
    judge(&broker.address(), "atoms.", &ids(2));

    assert_eq!(bridge.term(LIMIT), 0);
    let mut bridge = bridge.with("WEBHOOKS__DEFAULT__ACK_TIMEOUT", "1s");
    bridge.resume();
    bridge.await_publishing();
    broker.stop_signal();
    let began = Instant::now();
    assert_eq!(bridge.post("default", &delivery("CALL-ack", 2)).status, 200);
    let took = began.elapsed();
    assert!((1..3).contains(&took.as_secs()), "answered after {took:?}");

    // Kafka still hangs, a transaction is under way: the bridge ends in good order, and soon.
    let began = Instant::now();
    assert_eq!(bridge.term(Duration::from_secs(10)), 0);
    println!("ended after {:?} with a frozen broker", began.elapsed());
    broker.cont_signal();
    bridge.resume();
    bridge.await_published();
    judge(&broker.address(), "atoms.", &ids(3));
}

fn ids(steps: usize) -> std::collections::BTreeSet<String> {
    (0..steps).map(|step| id("CALL-ack", step)).collect()
}

const LIMIT: Duration = Duration::from_secs(20);
