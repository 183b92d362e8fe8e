//! What a dead bridge sent arrives after its successor has gone on: a network may hold bytes for so long.
//!
//! A producer that is not fenced writes its records a second time here, or commits them a second time.

use std::time::Duration;

use super::oracle::Verdict;
use super::sender::{Sender, Sent};
use super::{PREFIX, await_drained, bridge};
use crate::harness::hop::{Hop, Request};
use crate::harness::kafka::Broker;

#[test]
fn bytes_of_a_dead_producer_that_come_after_the_restart_change_nothing() {
    let hop = Hop::start();
    let advertised = format!("PLAINTEXT://{}", hop.address());
    let mut broker = Broker::prepare(&[("advertised.listeners", &advertised)]);
    hop.lead_to(broker.address().parse().expect("an address"));
    broker.resume();
    let mut bridge = bridge(&broker).start();
    bridge.await_publishing();
    let mut sent = Vec::new();
    for (trial, kind) in HELD.iter().enumerate() {
        let sender = Sender::start(bridge.webhooks_address(), trial as u64);
        sender.await_more(60);
        hop.hold(*kind);
        hop.await_held();
        // These wait behind what is on the way to Kafka.
        sender.await_more(60);
        bridge.kill9();
        hop.await_left_behind();
        bridge.resume();
        sender.await_more(30);
        let mut now_sent = sender.finish();
        // The restart ends the transaction that it finds; one that waits for Kafka to do so waits for 60 s.
        await_drained(&bridge, WELL_WITHIN);
        bridge.await_published();
        hop.release();
        let after = Sent::event(&format!("AFTER-{trial}"), 0, "post-conversation", 0);
        now_sent.push(after.post(bridge.webhooks_address()));
        bridge.await_published();
        sent.append(&mut now_sent);
        let verdict = Verdict::of(&broker.address(), PREFIX, &sent);
        println!("{kind:?} held until after the restart: {verdict}");
        verdict.assert_clean();
    }
}

/// The steps that bring a transaction about.
const HELD: [Request; 3] = [Request::Produce, Request::TxnOffsetCommit, Request::EndTxn];
const WELL_WITHIN: Duration = Duration::from_secs(50);
