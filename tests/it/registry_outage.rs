//! The registry away: in the middle of a load, over a restart, and from the first second.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::bridge::Bridge;
use crate::harness::load::Load;
use crate::harness::record::Record;
use crate::harness::registry::Registry;
use crate::harness::{calls, kcat, shared_broker, unique, until};

#[test]
fn a_registry_killed_under_load_costs_no_event_and_no_id_also_over_a_restart() {
    let broker = shared_broker().address();
    let mut registry = Registry::start();
    let prefix = unique("outage.");
    let mut bridge = configured(&registry, &broker, &prefix, "header");
    register(&bridge);
    bridge.resume();
    // The first records are made while the registry answers.
    bridge.await_publishing();
    let load = Load::start(bridge.webhooks_address());
    load.await_more(200);
    registry.kill9();
    load.await_more(200);
    // What the registry said is on disk, also for the next start.
    bridge.restart();
    load.await_more(200);
    let ids = load.finish();
    bridge.await_published();
    let records = calls::judge(&broker, &prefix, &ids);
    let without = records
        .iter()
        .filter(|record| record.header(HEADER).is_none());
    assert_eq!(without.count(), 0, "of {} records", records.len());
    let told: BTreeSet<(&str, &str)> = records
        .iter()
        .map(|record| (record.topic.as_str(), record.header(HEADER).unwrap()))
        .collect();
    assert_eq!(told.len(), calls::TOPICS.len(), "one id a topic: {told:?}");
    let log = bridge.log_of_this_start();
    assert_eq!(
        log.matches("the schema ids of the last time are used")
            .count(),
        1,
        "told once: {log}"
    );
    println!(
        "{} records, the registry killed after 200: 0 lost, 0 without a schema id",
        records.len()
    );
}

#[test]
fn while_an_id_was_never_known_headers_are_left_out_and_prefixed_values_wait_in_the_journal() {
    let broker = shared_broker().address();
    let mut registry = Registry::prepare();
    let (plain, held) = (unique("plain."), unique("held."));
    let header = configured(&registry, &broker, &plain, "header").start();
    let mut prefix = configured(&registry, &broker, &held, "prefix").start();
    let topics = [
        format!("{plain}post-conversation"),
        format!("{held}post-conversation"),
    ];
    for bridge in [&header, &prefix] {
        post(bridge, "before");
        assert!(
            bridge.readiness().is_ok(),
            "deliveries are taken all the same"
        );
    }
    let records = kcat::await_count(&broker, &topics[0], 1, LIMIT);
    assert_eq!(records[0].header(HEADER), None);
    until("the alarm", LIMIT, || match prefix.kafka_alarm() {
        Some(alarm) if alarm.contains("cannot reach the registry") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let health = header.health("/readyz").unwrap().json();
    assert_eq!(
        (&health["kafka"]["status"], &health["registry"]["status"]),
        (&json!("ok"), &json!("failing"))
    );
    assert_eq!(kcat::try_read(&broker, &topics[1]).unwrap_or_default(), []);
    // A kill changes nothing: what waits, waits in the journal.
    prefix.restart();

    registry.resume();
    until("the advice", LIMIT, || match prefix.kafka_alarm() {
        Some(alarm) if alarm.contains("run `schemas register`") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    register(&header);
    register(&prefix);
    prefix.await_published();
    until("the header's id", LIMIT, || {
        let health = header.health("/readyz").unwrap().json();
        match health["registry"]["status"].as_str() {
            Some("ok") => Ok(()),
            _ => Err(health.to_string()),
        }
    });
    post(&header, "after");
    let records = kcat::await_count(&broker, &topics[0], 2, LIMIT);
    let after: Vec<&Record> = records
        .iter()
        .filter(|record| record.key() == "after")
        .collect();
    assert!(after[0].header(HEADER).is_some(), "{after:?}");

    // From now on the registry is not needed any more.
    registry.kill9();
    prefix.restart();
    post(&prefix, "without the registry");
    kcat::await_count(&broker, &topics[1], 2, LIMIT);
    for record in kcat::read_bytes(&broker, &topics[1]) {
        assert_eq!(record.value[0], 0, "{record:?}");
        let event: Value = serde_json::from_slice(&record.value[5..]).unwrap();
        assert_eq!(event["type"], "post-conversation");
    }
    assert_eq!(prefix.kafka_alarm(), None);
}

#[test]
fn a_frozen_registry_holds_up_nobody() {
    let broker = shared_broker().address();
    let mut registry = Registry::start();
    let prefix = unique("frozen.");
    registry.stop_signal();
    let bridge = configured(&registry, &broker, &prefix, "header").start();
    post(&bridge, "call");
    let records = kcat::await_count(&broker, &format!("{prefix}post-conversation"), 1, LIMIT);
    assert_eq!(records[0].header(HEADER), None);
}

fn configured(registry: &Registry, broker: &str, prefix: &str, mode: &str) -> Bridge {
    Bridge::new(broker)
        .with("REGISTRY__URL", &registry.url())
        .with("REGISTRY__SCHEMA_ID", mode)
        .with("TOPICS__PREFIX", prefix)
}

fn register(bridge: &Bridge) {
    let output = bridge.run(&["schemas", "register"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

fn post(bridge: &Bridge, call: &str) {
    let body = json!({ "event": "call.end", "call_id": call }).to_string();
    assert_eq!(bridge.post("default", body.as_bytes()).status, 200);
}

const HEADER: &str = "__value_schema_id";
const LIMIT: Duration = Duration::from_secs(30);
