//! Order and exactly once while things come and go: a backlog drains as new events come and the broker dies, freezes and
//! leaves; the bridge itself freezes for longer than its transaction lives.

use std::thread;
use std::time::Duration;

use crate::harness::bridge::Bridge;
use crate::harness::calls;
use crate::harness::kafka::Broker;
use crate::harness::load::Load;

#[test]
fn order_holds_while_a_backlog_drains_new_events_come_and_the_broker_comes_and_goes() {
    let mut broker = Broker::start();
    let bridge = Bridge::new(&broker.address())
        .with("TOPICS__PARTITIONS", "4")
        .start();
    bridge.await_publishing();
    let load = Load::start_paced(bridge.webhooks_address());
    let publishes_again = || {
        bridge.await_publishing();
        load.await_more(300);
    };
    broker.kill9();
    load.await_more(3000);
    for _ in 0..2 {
        // Killed as soon as it answers, and once the backlog is on its way.
        broker.resume();
        broker.kill9();
        load.await_more(300);
        broker.resume();
        publishes_again();
        broker.kill9();
    }
    broker.resume();
    for _ in 0..4 {
        publishes_again();
        // What froze is ended while the cluster forgets its only broker; clients do too, for a moment.
        for _ in 0..3 {
            broker.stop_signal();
            load.await_more(300);
            broker.cont_signal();
            load.await_more(300);
        }
        broker.term();
        load.await_more(300);
        broker.resume();
    }
    publishes_again();
    let ids = load.finish();
    bridge.await_published();
    calls::judge(&broker.address(), "atoms.", &ids);
}

#[test]
fn a_bridge_frozen_until_its_transaction_has_expired_goes_on_from_the_mark() {
    let broker = Broker::start_with(&[(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "100",
    )]);
    let mut bridge = Bridge::new(&broker.address())
        .with("TOPICS__PARTITIONS", "4")
        .with("KAFKA__TRANSACTION_TIMEOUT_MS", "1000")
        .start();
    bridge.await_publishing();
    let load = Load::start(bridge.webhooks_address());
    let mut freezes = 0;
    let ended = |bridge: &Bridge| bridge.log().matches("not publishing").count();
    while ended(&bridge) < PRODUCERS_ENDED {
        assert!(
            freezes < MOST_FREEZES,
            "no freeze meets an open transaction"
        );
        load.await_more(50 + 13 * freezes);
        bridge.running().signal("STOP");
        // The fault itself: longer than the transaction may last.
        thread::sleep(Duration::from_millis(1500));
        bridge.running().signal("CONT");
        freezes += 1;
        load.await_more(100);
    }
    let ids = load.finish();
    bridge.await_published();
    calls::judge(&broker.address(), "atoms.", &ids);
    println!("{freezes} freezes ended {} producers", ended(&bridge));
}

/// Only a freeze within a transaction is one that matters.
const PRODUCERS_ENDED: usize = 3;
const MOST_FREEZES: usize = 60;
