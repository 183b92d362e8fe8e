//! Nothing that was answered 200 is lost, comes twice or out of order, whatever is killed or frozen, and wherever.
//!
//! `rounds` is the long run of random faults (`tests/run faults --rounds N --seed S`), `replicas` and `late` are the two
//! cases in which a producer without fencing duplicates, `fenced` is the fatal error, `commit` the answer's place. They need a
//! build with the feature `failpoints`, which `tests/run` makes.

mod chance;
mod commit;
mod fenced;
mod late;
mod oracle;
mod replicas;
mod rounds;
mod sender;

use std::time::Duration;

use crate::harness::bridge::Bridge;
use crate::harness::kafka::Broker;

/// A bridge with few partitions, so that calls share them, and with the topic of all events.
fn bridge(broker: &Broker) -> Bridge {
    if !cfg!(feature = "failpoints") {
        panic!(
            "built without failpoints: run tests/run, or cargo test --release --features failpoints"
        );
    }
    Bridge::new(&broker.address())
        .with("TOPICS__PARTITIONS", "3")
        .with("TOPICS__ALL", &format!("{PREFIX}{}", oracle::ALL))
}

/// Waits until little more than what just came waits for Kafka.
fn await_drained(bridge: &Bridge, limit: Duration) {
    crate::harness::until("the backlog to drain", limit, || match bridge.pending() {
        pending if pending <= UNDER_WAY => Ok(()),
        pending => Err(format!("{pending} pending; {:?}", bridge.kafka_alarm())),
    });
}

/// The prefix of the topics, as by default: these tests have brokers of their own.
const PREFIX: &str = "atoms.";
/// Under load so many may be pending at any moment.
const UNDER_WAY: u64 = 30;
