//! SIGTERM under load: answers under way are given, nothing is lost, and the process is gone within 10 s with code 0.

use std::time::{Duration, Instant};

use crate::harness::bridge::{Bridge, post};
use crate::harness::http::Client;
use crate::harness::kafka::Broker;
use crate::harness::load::Load;
use crate::harness::{calls, ports, shared_broker, unique, until};

#[test]
fn a_bridge_under_load_ends_in_good_order_with_kafka_up() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("stopping"));
    let mut bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2")
        .start();
    let load = Load::start(bridge.webhooks_address());
    bridge.await_publishing();
    for _ in 0..3 {
        load.await_more(100);
        end(&mut bridge, "with Kafka up");
        bridge.resume();
    }
    let ids = load.finish();
    bridge.await_published();
    calls::judge(&broker, &prefix, &ids);
}

#[test]
fn a_bridge_under_load_ends_in_good_order_with_kafka_down() {
    let mut bridge = Bridge::new(&ports::free_address().to_string()).start();
    let load = Load::start(bridge.webhooks_address());
    load.await_more(200);
    end(&mut bridge, "with Kafka down");
    bridge.resume();
    let ids = load.finish();
    assert_eq!(bridge.pending(), u64::try_from(ids.len()).expect("fits"));
}

#[test]
fn a_bridge_under_load_ends_in_good_order_with_a_frozen_broker() {
    let mut broker = Broker::start();
    let mut bridge = Bridge::new(&broker.address())
        .with("TOPICS__PARTITIONS", "2")
        .start();
    bridge.await_publishing();
    let load = Load::start(bridge.webhooks_address());
    load.await_more(100);
    broker.stop_signal();
    load.await_more(100);
    end(&mut bridge, "with a frozen broker");
    bridge.resume();
    load.await_more(100);
    end(&mut bridge, "that has only met a frozen broker");
    broker.cont_signal();
    bridge.resume();
    let ids = load.finish();
    bridge.await_published();
    calls::judge(&broker.address(), "atoms.", &ids);
}

#[test]
fn answers_under_way_are_given_also_those_that_wait_for_a_kafka_that_is_away() {
    let mut bridge = Bridge::new(&ports::free_address().to_string())
        .with("WEBHOOKS__DEFAULT__ACK", "kafka")
        .start();
    std::thread::scope(|scope| {
        let mut clients: Vec<_> = (0..20).map(|_| bridge.client()).collect();
        let post = |(call, client): (usize, &mut Client)| {
            let body = calls::delivery(&format!("CALL-{call}"), 0);
            post(client, "default", &body).expect("an answer").status
        };
        let answers: Vec<_> = clients
            .drain(..)
            .enumerate()
            .map(|(call, mut client)| scope.spawn(move || post((call, &mut client))))
            .collect();
        until(
            "20 deliveries to wait",
            Duration::from_secs(10),
            || match bridge.pending() {
                20 => Ok(()),
                pending => Err(format!("{pending}")),
            },
        );
        end(&mut bridge, "with 20 answers under way");
        for answer in answers {
            assert_eq!(answer.join().expect("a lane does not panic"), 200);
        }
    });
}

fn end(bridge: &mut Bridge, how: &str) {
    let began = Instant::now();
    let code = bridge.term(Duration::from_secs(10));
    assert_eq!(code, 0, "{}", bridge.log());
    println!("ended {:?} after SIGTERM {how}", began.elapsed());
}
