//! A transaction that Kafka counts as committed and whose markers it has withheld (KAFKA-20734): whichever partitions are
//! without one, each delivery can be read once and in order in the end.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::producer::Producer as _;

use crate::harness::bridge::Bridge;
use crate::harness::kafka::Broker;
use crate::harness::{calls, java, kcat, markers, ports, until};

#[test]
fn what_nobody_can_read_is_published_again() {
    Torn::published().mends(&[PREFIX, MARKS]);
}

#[test]
fn what_nobody_can_read_is_published_again_though_some_of_its_transaction_can_be_read() {
    Torn::published().mends(&["events.post-conversation", MARKS]);
}

#[test]
fn what_nobody_can_read_is_published_again_though_the_mark_says_that_it_is_published() {
    Torn::published().mends(&[PREFIX]);
}

#[test]
fn a_commit_whose_answer_never_came_counts_if_any_of_it_can_be_read() {
    for of in [&[MARKS][..], &["events.post-conversation", MARKS]] {
        let mut torn = Torn::published();
        torn.tear(of, Some("publish.after-commit=kill@2"));
        // The transaction that commits the mark anew falls, and with it what was open.
        torn.dies_at("publish.before-commit");
        torn.resume();
        torn.judge();
        torn.goes_on();
    }
}

#[test]
fn a_mark_that_stays_open_is_committed_anew() {
    let mut torn = Torn::published();
    torn.tear(&[MARKS], None);
    torn.resume();
    torn.was_told("committed anew");
    torn.goes_on();
}

#[test]
fn a_row_that_can_be_read_on_one_of_its_two_topics_comes_out_on_the_other_with_the_next_event() {
    let mut torn = Torn::published_with(|bridge| bridge.with("TOPICS__ALL", ALL));
    torn.tear(&[ALL, MARKS], None);
    torn.resume();
    torn.was_told("can be read once the next event");
    torn.goes_on();
    let records = kcat::read(&torn.broker.address(), ALL);
    let ids: BTreeSet<_> = records.iter().filter_map(|it| it.header("ce_id")).collect();
    assert_eq!((records.len(), ids.len()), (torn.ids.len(), torn.ids.len()));
}

#[test]
fn what_hangs_behind_somebodys_open_transaction_is_published_again() {
    let mut torn = Torn::published();
    let address = torn.broker.address();
    let somebody = calls::open_transaction(&address, PREFIX);
    torn.tear(&[PREFIX, MARKS], None);
    torn.bridge.resume();
    until("the bridge to wait", LIMIT, || {
        let log = torn.bridge.log();
        let waits = log.contains("waiting for somebody else's transaction");
        if waits { Ok(()) } else { Err(log) }
    });
    somebody.abort_transaction(LIMIT).unwrap();
    torn.comes_out();
}

#[test]
fn what_hangs_on_a_partition_without_a_leader_is_mended_once_it_has_one() {
    let (mut torn, mut second) = Torn::beside_a_second_broker();
    // Kafka withholds the marker of the abort by itself: there is no leader to send it to.
    torn.one_more_transaction(Some("publish.before-commit=kill@2"));
    second.kill9();
    // It comes back when the bridge has looked at all the others and is about to send.
    torn.bridge.arm("publish.rows-read=pause:10000ms@1");
    torn.bridge.resume();
    torn.bridge.await_failpoint("publish.rows-read");
    second.resume();
    torn.comes_out();
}

#[test]
fn what_counts_and_hangs_on_a_partition_without_a_leader_is_published_again_once_it_has_one() {
    let (mut torn, mut second) = Torn::beside_a_second_broker();
    let since = second.logs(&[OF_SECOND]);
    torn.one_more_transaction(None);
    torn.end();
    markers::await_written(&since, || second.logs(&[OF_SECOND]));
    second.kill9();
    assert_eq!(markers::withhold(&since, &second.logs(&[OF_SECOND])), 1);
    torn.bridge.resume();
    torn.bridge.await_publishing();
    second.resume();
    torn.comes_out();
}

#[test]
fn what_has_arrived_is_looked_up_once_every_partition_has_a_leader() {
    let (mut torn, mut second) = Torn::beside_a_second_broker();
    let since_second = second.logs(&[OF_SECOND]);
    let since = torn.one_more_transaction(Some("publish.after-commit=kill@2"));
    markers::await_written(&since_second, || second.logs(&[OF_SECOND]));
    second.kill9();
    assert_eq!(
        markers::withhold(&since_second, &second.logs(&[OF_SECOND])),
        1
    );
    torn.withhold(&since, &[MARKS]);
    torn.bridge.resume();
    until("the partition to be missed", LIMIT, || {
        match torn.bridge.kafka_alarm() {
            Some(alarm) if alarm.contains("has no leader; bring back") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    second.resume();
    torn.comes_out();
}

#[test]
fn a_bridge_with_nothing_to_do_notices_what_nobody_can_read() {
    let mut torn = Torn::published();
    let since = torn.one_more_transaction(None);
    torn.withhold(&since, &[PREFIX, MARKS]);
    torn.comes_out();
}

#[test]
fn a_crash_amid_the_mending_loses_and_repeats_nothing() {
    let mut torn = Torn::published();
    for failpoint in FAILPOINTS {
        torn.crashes_at(failpoint, &[PREFIX, MARKS]);
    }
}

#[test]
fn a_crash_amid_the_mending_of_a_part_loses_and_repeats_nothing() {
    let mut torn = Torn::published();
    for failpoint in FAILPOINTS {
        torn.crashes_at(failpoint, &["events.post-conversation"]);
    }
}

/// A bridge and its broker, whose last transaction has lost markers.
struct Torn {
    broker: Broker,
    bridge: Bridge,
    ids: BTreeSet<String>,
}

impl Torn {
    fn published() -> Self {
        Self::published_with(|bridge| bridge)
    }

    fn published_with(configure: impl FnOnce(Bridge) -> Bridge) -> Self {
        Self::at(Broker::start(), configure)
    }

    /// The first broker of two has the journal's mark and all topics but one.
    fn beside_a_second_broker() -> (Self, Broker) {
        let first = Broker::start();
        // The internal topics are made while the first broker is alone, and so stay on it.
        let alone = Bridge::new(&first.address()).with("TOPICS__PREFIX", "before.");
        let alone = alone.start();
        alone.post("default", &calls::delivery(CALL, 0));
        alone.await_published();
        let mut second = Broker::prepare_beside(&first, &[]);
        second.resume();
        for topic in calls::TOPICS.into_iter().chain(["dead-letter"]) {
            let name = format!("{PREFIX}{topic}");
            let at = if name == OF_SECOND { "2,2" } else { "1,1" };
            let assignment = ["--create", "--topic", &name, "--replica-assignment", at];
            java::tool(&first.address(), TOPIC_COMMAND, &assignment);
        }
        (Self::at(first, |bridge| bridge), second)
    }

    fn at(broker: Broker, configure: impl FnOnce(Bridge) -> Bridge) -> Self {
        let bridge = Bridge::new(&broker.address())
            .with("TOPICS__PREFIX", PREFIX)
            .with("TOPICS__PARTITIONS", "2");
        let bridge = configure(bridge).start();
        let mut torn = Self {
            broker,
            bridge,
            ids: BTreeSet::new(),
        };
        torn.post();
        torn.bridge.await_published();
        torn
    }

    /// Five events in one transaction more, which then loses its markers on these partitions; the bridge has ended, as
    /// asked or at a failpoint.
    fn tear(&mut self, of: &[&str], failpoint: Option<&str>) {
        let since = self.one_more_transaction(failpoint);
        if failpoint.is_none() {
            self.end();
        }
        self.withhold(&since, of);
    }

    fn mends(&mut self, of: &[&str]) {
        self.tear(of, None);
        self.resume();
        self.comes_out();
    }

    /// Everything is there once and in order in the end, and what comes next too.
    fn comes_out(&mut self) {
        self.bridge.await_published();
        self.judge();
        self.was_told("published again");
        self.goes_on();
    }

    fn crashes_at(&mut self, failpoint: &str, of: &[&str]) {
        self.tear(of, None);
        self.dies_at(failpoint);
        self.resume();
        self.judge();
    }

    fn dies_at(&mut self, failpoint: &str) {
        self.bridge.arm(&format!("{failpoint}=kill@1"));
        self.bridge.launch();
        self.bridge.await_failpoint(failpoint);
        self.bridge.await_crash();
        self.bridge.arm("");
    }

    /// Five events on four topics, gathered while Kafka cannot be reached. How long the logs were before.
    fn one_more_transaction(&mut self, failpoint: Option<&str>) -> markers::Lengths {
        self.end();
        let nowhere = ports::free_address().to_string();
        self.bridge.set("KAFKA__BOOTSTRAP_SERVERS", &nowhere);
        self.bridge.resume();
        self.post();
        self.end();
        let since = self.broker.logs(&[PREFIX, MARKS]);
        let there = self.broker.address();
        self.bridge.set("KAFKA__BOOTSTRAP_SERVERS", &there);
        self.bridge.arm(failpoint.unwrap_or_default());
        if failpoint.is_some() {
            self.bridge.launch();
            self.bridge.await_crash();
        } else {
            self.resume();
        }
        self.bridge.arm("");
        since
    }

    fn end(&mut self) {
        assert_eq!(self.bridge.term(Duration::from_secs(10)), 0);
    }

    fn resume(&mut self) {
        self.bridge.resume();
        self.bridge.await_publishing();
        self.bridge.await_published();
    }

    fn withhold(&mut self, since: &markers::Lengths, of: &[&str]) {
        markers::await_written(since, || self.broker.logs(of));
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
const ALL: &str = "events.all";
/// Where the mending of a transaction can be interrupted.
const FAILPOINTS: [&str; 5] = [
    "publish.transaction-begun",
    "publish.before-commit",
    "publish.after-commit",
    "publish.before-abort",
    "publish.after-abort",
];
const LIMIT: Duration = Duration::from_secs(60);
const OF_SECOND: &str = "events.post-conversation";
const TOPIC_COMMAND: &str = "org.apache.kafka.tools.TopicCommand";
const CALL: &str = "CALL-torn";
