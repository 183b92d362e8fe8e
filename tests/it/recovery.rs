//! Nothing is lost and nothing comes twice, whatever is killed: the bridge, the broker, one after the other.
//!
//! The judge is kcat, reading committed records.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::harness::bridge::Bridge;
use crate::harness::kafka::Broker;
use crate::harness::load::Load;
use crate::harness::{calls, shared_broker, unique, until};

#[test]
fn what_was_accepted_in_an_outage_survives_a_kill_and_a_broker_may_die_under_load() {
    let mut broker = Broker::prepare(&[]);
    let mut bridge = Bridge::new(&broker.address())
        .with("TOPICS__PARTITIONS", "4")
        .start();
    let mut ids = post_calls(&bridge);
    assert_eq!(bridge.pending(), 1000);
    bridge.kill9();
    broker.resume();
    bridge.resume();
    calls::judge(&broker.address(), "atoms.", &ids);

    let load = Load::start(bridge.webhooks_address());
    load.await_more(200);
    bridge.await_publishing();
    load.await_more(200);
    broker.kill9();
    load.await_more(400);
    broker.resume();
    load.await_more(200);
    ids.append(&mut load.finish());
    bridge.await_published();
    calls::judge(&broker.address(), "atoms.", &ids);
}

#[test]
fn a_bridge_killed_ten_times_under_load_loses_and_repeats_nothing() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("killed"));
    let mut bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "4")
        .start();
    let load = Load::start(bridge.webhooks_address());
    for kill in 0..10 {
        // Every other time right after the start, while the publisher fences and reads its mark.
        if kill % 2 == 0 {
            bridge.await_publishing();
        }
        load.await_more(60 + 17 * kill);
        bridge.restart();
    }
    let ids = load.finish();
    bridge.await_published();
    calls::judge(&broker, &prefix, &ids);
}

#[test]
fn what_kafka_has_and_the_journal_does_not_know_is_not_sent_again() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("mark"));
    let mut bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2")
        .with("WEBHOOKS__DEFAULT__ACK", "kafka")
        .start();
    // The answer comes with Kafka's commit, and the journal's own mark a little later: a kill between the two leaves
    // rows that look pending, and only the mark in Kafka tells that they are not.
    let mut unsettled = 0;
    for step in 0..10 {
        bridge.await_publishing();
        let answer = bridge.post("default", &calls::delivery("CALL-mark", step));
        bridge.kill9();
        assert_eq!(answer.status, 200, "{}", answer.text());
        unsettled += bridge.pending();
        bridge.resume();
    }
    assert!(unsettled > 0, "no kill came in time to prove anything");
    bridge.await_published();
    let ids = (0..10).map(|step| calls::id("CALL-mark", step)).collect();
    calls::judge(&broker, &prefix, &ids);
    println!("{unsettled} of 10 kills came between Kafka's commit and the journal's");
}

/// Five deliveries of each of 200 calls, each call on one of eight connections; all must be accepted.
fn post_calls(bridge: &Bridge) -> BTreeSet<String> {
    let deliveries = |lane: usize| -> Vec<(String, usize)> {
        let calls = (0..200).filter(|call| call % 8 == lane);
        let steps = |call: usize| (0..5).map(move |step| (format!("CALL-{call}"), step));
        calls.flat_map(steps).collect()
    };
    let lanes: Vec<_> = (0..8).map(deliveries).collect();
    let bodies = |lane: &Vec<(String, usize)>| {
        lane.iter()
            .map(|(call, step)| calls::delivery(call, *step))
            .collect()
    };
    let bodies: Vec<Vec<Vec<u8>>> = lanes.iter().map(bodies).collect();
    for answer in bridge.post_lanes("default", &bodies).into_iter().flatten() {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    lanes
        .iter()
        .flatten()
        .map(|(call, step)| calls::id(call, *step))
        .collect()
}

#[test]
fn a_publisher_that_panics_is_told_and_begins_anew() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("panic"));
    let mut bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2");
    // Often enough that the pauses between them are seconds, in which somebody can look.
    let panics: Vec<String> = (2..=5)
        .map(|hit| format!("publish.record-sent=panic@{hit}"))
        .collect();
    bridge.arm(&panics.join(","));
    let bridge = bridge.start();
    let ids: BTreeSet<String> = (0..3)
        .map(|step| {
            let answer = bridge.post("default", &calls::delivery("CALL-panic", step));
            assert_eq!(answer.status, 200, "{}", answer.text());
            calls::id("CALL-panic", step)
        })
        .collect();
    until("the panic to be told", Duration::from_secs(20), || {
        let alarm = bridge.kafka_alarm().unwrap_or_default();
        let metrics = bridge.health("/metrics").expect("metrics").text();
        let told = alarm.contains("the publisher panicked") && alarm.contains("[kafka]");
        match told && metrics.contains("atoms_bridge_publishing 0") {
            true => Ok(()),
            false => Err(alarm),
        }
    });
    bridge.await_published();
    bridge.await_publishing();
    calls::judge(&broker, &prefix, &ids);
    let log = bridge.log();
    assert!(log.contains("not publishing"), "{log}");
}
