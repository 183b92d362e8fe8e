//! The mark in every circumstance: fresh, expired, of another cluster, above a restored backup. Whatever it says, each
//! delivery is on its topic once and no number is given twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use atoms_kafka_bridge::config::Config;
use atoms_kafka_bridge::journal::Journal;
use atoms_kafka_bridge::metrics::Metrics;
use atoms_kafka_bridge::publish::{Publisher, Timing};
use atoms_kafka_bridge::traces::Traces;

use rdkafka::producer::Producer as _;

use crate::harness::bridge::Bridge;
use crate::harness::kafka::Broker;
use crate::harness::{calls, java, kcat, ports, shared_broker, unique, until};

#[test]
fn a_restored_backup_loses_and_repeats_nothing_when_kafka_is_up_at_the_start() {
    Restored::backup_of_five_pending("backup-up").goes_on(Mark::There, AtStart::Up);
}

#[test]
fn a_restored_backup_loses_and_repeats_nothing_when_kafka_comes_later() {
    Restored::backup_of_five_pending("backup-away").goes_on(Mark::There, AtStart::Away);
}

#[test]
fn a_restored_backup_whose_mark_has_expired_loses_and_repeats_nothing() {
    Restored::backup_of_five_pending("backup-no-mark").goes_on(Mark::Expired, AtStart::Up);
}

#[test]
fn a_restored_backup_whose_mark_has_expired_loses_and_repeats_nothing_when_kafka_comes_later() {
    Restored::backup_of_five_pending("backup-none").goes_on(Mark::Expired, AtStart::Away);
}

#[test]
fn what_kafka_has_is_found_by_its_headers_when_the_mark_has_expired() {
    let mut at = Restored::backup_of_five_pending("expired");
    at.expire_mark();
    at.resume_at(&at.broker.clone());
    at.bridge.await_published();
    at.judge();
    assert!(
        at.bridge
            .log()
            .contains("looking up on the topics what has arrived"),
        "{}",
        at.bridge.log()
    );
}

#[test]
fn records_behind_somebodys_open_transaction_are_found_too() {
    let (mut at, open) = Restored::backup_of_five_pending_with("open", calls::open_transaction);
    at.expire_mark();
    at.resume_at(&at.broker.clone());
    until("the look-up", LIMIT, || {
        let log = at.bridge.log();
        if log.contains(LOOKING_UP) {
            Ok(())
        } else {
            Err(log)
        }
    });
    // A look-up that took the end of what is committed for the end of all would be over by now.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(at.bridge.pending(), 5);
    open.abort_transaction(LIMIT).unwrap();
    at.bridge.await_published();
    at.judge();
}

#[test]
fn an_empty_cluster_gets_what_is_pending_and_what_comes() {
    let mut at = Restored::backup_of_five_pending("other-cluster");
    let other = Broker::start();
    at.resume_at(&other.address());
    let mut ids: BTreeSet<String> = (5..10).map(|step| calls::id(CALL, step)).collect();
    ids.append(&mut at.post(5));
    at.bridge.await_published();
    calls::judge(&other.address(), &at.prefix, &ids);
}

#[test]
fn a_mark_that_is_gone_is_written_again_while_nothing_comes() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("refresh"));
    let dir = tempfile::tempdir().unwrap();
    let environment = [
        ("ATOMS_BRIDGE__KAFKA__BOOTSTRAP_SERVERS", broker.as_str()),
        ("ATOMS_BRIDGE__TOPICS__PREFIX", prefix.as_str()),
        ("ATOMS_WEBHOOK_SECRET", "a secret for tests"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = Config::load(None, environment.into_iter()).unwrap();
    let journal = Journal::open(&dir.path().join("journal.db")).unwrap();
    let group = format!("atoms-bridge-{}", journal.uuid());
    let timing = Timing {
        refresh_mark: Duration::from_millis(500),
        ..Timing::default()
    };
    let publisher = Publisher::start_with(
        &loaded.require_kafka().unwrap(),
        journal.clone(),
        (Metrics::new(), Traces::default()),
        timing,
    )
    .unwrap();
    let state = publisher.state();
    until("the publisher to publish", LIMIT, || {
        state.alarm().map_or(Ok(()), Err)
    });
    for _ in 0..2 {
        java::tool(&broker, GROUPS, &["--delete", "--group", &group]);
        until("the mark to be there again", LIMIT, || {
            let told = describe(&broker, &group);
            let bearer = format!("{prefix}dead-letter");
            if told.contains(&bearer) {
                Ok(())
            } else {
                Err(told)
            }
        });
    }
    publisher.stop();
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    There,
    Expired,
}

#[derive(Clone, Copy, PartialEq)]
enum AtStart {
    Up,
    Away,
}

/// A bridge whose journal is a backup: of ten deliveries that Kafka has, it thinks that five are pending.
struct Restored {
    bridge: Bridge,
    broker: String,
    prefix: String,
    /// What was accepted, by whichever life of the journal.
    ids: BTreeSet<String>,
}

impl Restored {
    fn backup_of_five_pending(name: &str) -> Self {
        Self::backup_of_five_pending_with(name, |_, _| ()).0
    }

    /// Does something on the topics before the five are published.
    fn backup_of_five_pending_with<T>(
        name: &str,
        before: impl FnOnce(&str, &str) -> T,
    ) -> (Self, T) {
        let broker = shared_broker().address();
        let prefix = format!("{}.", unique(name));
        let bridge = Bridge::new(&broker)
            .with("TOPICS__PREFIX", &prefix)
            .with("TOPICS__PARTITIONS", "2")
            .start();
        let mut at = Self {
            bridge,
            broker: broker.clone(),
            prefix,
            ids: BTreeSet::new(),
        };
        at.post(5);
        at.bridge.await_published();
        at.end();
        at.resume_at(&ports::free_address().to_string());
        at.post(5);
        at.end();
        at.copy("data", "backup");
        let done = before(&broker, &at.prefix);
        at.resume_at(&broker);
        at.bridge.await_published();
        at.end();
        at.copy("backup", "data");
        (at, done)
    }

    /// More is published behind the backup, which is then restored and goes on.
    fn goes_on(&mut self, mark: Mark, at_start: AtStart) {
        self.resume_at(&self.broker.clone());
        self.bridge.await_published();
        self.post(4);
        self.bridge.await_published();
        self.end();
        self.copy("backup", "data");
        if mark == Mark::Expired {
            self.expire_mark();
        }
        if at_start == AtStart::Away {
            // These get numbers that Kafka has of others; two lives, since only the first knows where the backup ended.
            for _ in 0..2 {
                self.resume_at(&ports::free_address().to_string());
                self.post(3);
                self.bridge.kill9();
            }
        }
        self.resume_at(&self.broker.clone());
        self.post(3);
        self.bridge.await_published();
        self.post(3);
        self.bridge.await_published();
        self.judge();
    }

    /// Posts the call's next deliveries.
    fn post(&mut self, count: usize) -> BTreeSet<String> {
        let first = self.ids.len();
        let mut posted = BTreeSet::new();
        for step in first..first + count {
            let answer = self.bridge.post("default", &calls::delivery(CALL, step));
            assert_eq!(answer.status, 200, "{}", answer.text());
            posted.insert(calls::id(CALL, step));
        }
        self.ids.extend(posted.clone());
        posted
    }

    fn judge(&self) {
        let records = calls::judge(&self.broker, &self.prefix, &self.ids);
        let numbers: BTreeSet<_> = records.iter().map(|r| r.header("bridge.seq")).collect();
        assert_eq!(numbers.len(), records.len(), "a number was given twice");
    }

    fn end(&mut self) {
        assert_eq!(self.bridge.term(Duration::from_secs(10)), 0);
    }

    fn resume_at(&mut self, broker: &str) {
        self.bridge.set("KAFKA__BOOTSTRAP_SERVERS", broker);
        self.bridge.resume();
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.bridge.dir().join(from), self.bridge.dir().join(to));
        let _ = fs::remove_dir_all(&to);
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            copy_into(&entry.unwrap().path(), &to);
        }
    }

    fn expire_mark(&self) {
        let records = kcat::read(&self.broker, &format!("{}post-conversation", self.prefix));
        let journal = records[0].header("bridge.journal").unwrap();
        let group = format!("atoms-bridge-{journal}");
        java::tool(&self.broker, GROUPS, &["--delete", "--group", &group]);
    }
}

fn copy_into(file: &Path, to: &Path) {
    fs::copy(file, to.join(file.file_name().unwrap())).unwrap();
}

/// What Kafka's own tool says of a group; it fails for one that is not there.
fn describe(broker: &str, group: &str) -> String {
    let listed = java::tool(broker, GROUPS, &["--list"]);
    if !listed.contains(group) {
        return format!("no group {group}");
    }
    java::tool(
        broker,
        GROUPS,
        &["--describe", "--offsets", "--group", group],
    )
}

const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const LOOKING_UP: &str = "looking up on the topics what has arrived";
const CALL: &str = "CALL-mark";
const LIMIT: Duration = Duration::from_secs(60);
