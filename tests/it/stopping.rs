//! SIGTERM under load: answers under way are given, nothing is lost, and the process is gone within 10 s with code 0.

use std::time::{Duration, Instant};

use crate::harness::bridge::Bridge;
use crate::harness::load::Load;
use crate::harness::{calls, ports, shared_broker, unique};

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

fn end(bridge: &mut Bridge, how: &str) {
    let began = Instant::now();
    let code = bridge.term(Duration::from_secs(10));
    assert_eq!(code, 0, "{}", bridge.log());
    println!("ended {:?} after SIGTERM {how}", began.elapsed());
}
