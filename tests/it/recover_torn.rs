//! A transaction that Kafka counts as committed and whose markers it has withheld (KAFKA-20734): whichever partitions are
//! without one, each delivery can be read once and in order in the end.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::harness::bridge::Bridge;
use crate::harness::kafka::Broker;
use crate::harness::{calls, markers, ports};

#[test]
fn what_nobody_can_read_is_published_again() {
    let mut torn = Torn::without_markers(&[PREFIX, MARKS]);
    torn.bridge.resume();
    torn.bridge.await_published();
    torn.judge();
    torn.was_told("published again");
    torn.goes_on();
}

#[test]
fn what_the_mark_says_is_committed_comes_out_with_the_next_event() {
    let mut torn = Torn::without_markers(&[PREFIX]);
    torn.bridge.resume();
    torn.goes_on();
    torn.was_told("can be read once the next event");
}

#[test]
fn what_some_can_read_comes_out_with_the_next_event() {
    let mut torn = Torn::without_markers(&["events.post-conversation", MARKS]);
    torn.bridge.resume();
    torn.goes_on();
    torn.was_told("can be read once the next event");
}

#[test]
fn a_mark_that_stays_open_is_committed_anew() {
    let mut torn = Torn::without_markers(&[MARKS]);
    torn.bridge.resume();
    torn.goes_on();
}

#[test]
fn a_bridge_with_nothing_to_do_notices_what_nobody_can_read() {
    let mut torn = Torn::without_markers_while_it_runs(&[PREFIX, MARKS]);
    torn.judge();
    torn.was_told("published again");
    torn.goes_on();
}

#[test]
fn a_crash_amid_the_mending_loses_nothing() {
    let mut torn = Torn::published();
    for failpoint in [
        "publish.transaction-begun",
        "publish.before-abort",
        "publish.after-abort",
    ] {
        let since = torn.one_more_transaction();
        assert_eq!(torn.bridge.term(Duration::from_secs(10)), 0);
        torn.withhold(&since, &[PREFIX, MARKS]);
        torn.bridge.arm(&format!("{failpoint}=kill@1"));
        torn.bridge.launch();
        torn.bridge.await_failpoint(failpoint);
        torn.bridge.await_crash();
        torn.bridge.arm("");
        torn.bridge.resume();
        torn.bridge.await_published();
        torn.judge();
    }
}

/// A bridge and its broker, whose last transaction has lost markers.
struct Torn {
    broker: Broker,
    bridge: Bridge,
    ids: BTreeSet<String>,
}

impl Torn {
    /// The bridge is not running.
    fn without_markers(of: &[&str]) -> Self {
        let mut torn = Self::published();
        let since = torn.one_more_transaction();
        assert_eq!(torn.bridge.term(Duration::from_secs(10)), 0);
        torn.withhold(&since, of);
        torn
    }

    fn without_markers_while_it_runs(of: &[&str]) -> Self {
        let mut torn = Self::published();
        let since = torn.one_more_transaction();
        torn.withhold(&since, of);
        torn
    }

    fn published() -> Self {
        let broker = Broker::start();
        let bridge = Bridge::new(&broker.address())
            .with("TOPICS__PREFIX", PREFIX)
            .with("TOPICS__PARTITIONS", "2")
            .start();
        let mut torn = Self {
            broker,
            bridge,
            ids: BTreeSet::new(),
        };
        torn.post();
        torn.bridge.await_published();
        torn
    }

    /// Five events on four topics, gathered while Kafka cannot be reached.
    fn one_more_transaction(&mut self) -> markers::Lengths {
        assert_eq!(self.bridge.term(Duration::from_secs(10)), 0);
        let nowhere = ports::free_address().to_string();
        self.bridge.set("KAFKA__BOOTSTRAP_SERVERS", &nowhere);
        self.bridge.resume();
        self.post();
        assert_eq!(self.bridge.term(Duration::from_secs(10)), 0);
        let since = self.broker.logs(&[PREFIX, MARKS]);
        let there = self.broker.address();
        self.bridge.set("KAFKA__BOOTSTRAP_SERVERS", &there);
        self.bridge.resume();
        self.bridge.await_published();
        since
    }

    fn withhold(&mut self, since: &markers::Lengths, of: &[&str]) {
        self.broker.kill9();
        let cut = markers::withhold(since, &self.broker.logs(of));
        assert!(cut > 0, "nothing grew of {of:?}");
        self.broker.resume();
    }

    /// One call's next five events.
    fn post(&mut self) {
        let first = self.ids.len();
        for step in first..first + calls::TYPES.len() {
            let answer = self.bridge.post("default", &calls::delivery(CALL, step));
            assert_eq!(answer.status, 200, "{}", answer.text());
            self.ids.insert(calls::id(CALL, step));
        }
    }

    fn goes_on(&mut self) {
        self.post();
        self.bridge.await_published();
        self.judge();
    }

    fn judge(&self) {
        calls::judge(&self.broker.address(), PREFIX, &self.ids);
    }

    fn was_told(&self, what: &str) {
        let log = self.bridge.log();
        assert!(log.contains(what), "{log}");
    }
}

const PREFIX: &str = "events.";
const MARKS: &str = "__consumer_offsets-";
const CALL: &str = "CALL-torn";
