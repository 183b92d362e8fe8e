//! A second producer takes the bridge's `transactional.id` in the middle of a transaction: a fatal error.
//!
//! The transaction is gone and the producer with it; a new one must go on from the mark, not from behind the batch.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::oracle::Verdict;
use super::sender::{Sender, Sent};
use super::{PREFIX, await_drained, bridge};
use crate::harness::kafka::Broker;
use crate::harness::{kcat, until};

#[test]
fn a_producer_that_is_fenced_within_a_transaction_gives_way_to_one_that_goes_on_from_the_mark() {
    let broker = Broker::start();
    let mut bridge = bridge(&broker).start();
    let first = Sent::event("CALL-first", 0, "post-conversation", 0);
    let first = first.post(bridge.webhooks_address());
    bridge.await_published();
    let topic = format!("{PREFIX}post-conversation");
    let records = kcat::await_count(&broker.address(), &topic, 1, LIMIT);
    let journal = records[0].header("bridge.journal").expect("its journal");
    let id = format!("atoms-bridge-{journal}");
    let sender = Sender::start(bridge.webhooks_address(), 0);
    for step in STEPS {
        bridge.kill9();
        bridge.arm(&format!("{step}=pause:1500ms@3"));
        bridge.resume();
        bridge.await_failpoint(step);
        fence(&broker, &id);
        let told = "not publishing, deliveries are kept in the journal";
        until("the bridge to tell", LIMIT, || {
            let log = bridge.log_of_this_start();
            if log.contains(told) { Ok(()) } else { Err(log) }
        });
        sender.await_more(30);
        await_drained(&bridge, LIMIT);
    }
    let mut sent = sender.finish();
    sent.push(first);
    bridge.await_published();
    assert_eq!(bridge.kafka_alarm(), None);
    let verdict = Verdict::of(&broker.address(), PREFIX, &sent);
    println!(
        "{} times fenced within a transaction: {verdict}",
        STEPS.len()
    );
    verdict.assert_clean();
}

/// Does what a second bridge on a copy of the journal would do first.
fn fence(broker: &Broker, id: &str) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("transactional.id", id)
        .create()
        .expect("a producer");
    producer.init_transactions(LIMIT).expect("it is let in");
}

/// Where the batch is in Kafka's hands, more and more of it.
const STEPS: [&str; 4] = [
    "publish.transaction-begun",
    "publish.records-sent",
    "publish.before-mark",
    "publish.before-commit",
];
const LIMIT: Duration = Duration::from_secs(50);
