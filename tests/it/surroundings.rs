//! Kafka's surroundings are not well: every delivery is answered 200 all the same, the operator reads what to do, and after
//! the mending everything is on its topic once and in order.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::harness::bridge::Bridge;
use crate::harness::kafka::Broker;
use crate::harness::{calls, java, kcat, shared_broker, unique, until};

#[test]
fn a_partition_without_a_leader_stops_publishing_and_never_accepting() {
    let first = Broker::start_with(&[("default.replication.factor", "1")]);
    // The internal topics are made while the first broker is alone, and so stay on it.
    let mut bridge = Road::new(Bridge::new(&first.address()).with("TOPICS__PREFIX", "before."));
    bridge.post(2);
    bridge.bridge.await_published();
    let mut second = Broker::prepare_beside(&first, &[]);
    second.resume();
    for topic in TOPICS {
        // Partition 0 lies on the first broker and 1 on the second.
        let name = format!("atoms.{topic}");
        let assignment = ["--create", "--topic", &name, "--replica-assignment", "1,2"];
        java::tool(&first.address(), TOPIC_COMMAND, &assignment);
    }
    let mut road = Road::new(Bridge::new(&first.address()));
    road.post(30);
    road.bridge.await_published();
    second.kill9();
    road.post(30);
    let told = road.await_alarm("has no leader");
    assert!(
        told.contains("partition 1 of topic atoms.")
            && told.ends_with("bring back one of the brokers that hold it: 2"),
        "{told}"
    );
    road.post(30);
    assert!(road.bridge.pending() > 30);
    second.resume();
    road.judge(&first.address(), "atoms.");
}

#[test]
fn a_right_that_is_taken_away_and_given_back_costs_nothing() {
    let (broker, users) = Broker::start_with_user("bridge", "of iron");
    let admin = broker.address();
    for (resource, operations) in RIGHTS {
        acl(&admin, "--add", resource, operations);
    }
    let bridge = Bridge::new(&users)
        .with("TOPICS__PARTITIONS", "2")
        .with("KAFKA__SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .with("KAFKA__SASL_MECHANISM", "PLAIN")
        .with("KAFKA__SASL_USERNAME", "bridge")
        .with("KAFKA__SASL_PASSWORD", "of iron");
    let mut road = Road::new(bridge);
    road.post(5);
    road.bridge.await_published();
    let taken = [
        (
            RIGHTS[0].0,
            "Write",
            "opic authorization failed",
            "Write, Read, Describe",
        ),
        (RIGHTS[1].0, "Read", "group", "Read on the groups"),
        (
            RIGHTS[2].0,
            "Write",
            "ransactional",
            "Write and Describe on the transactional ids",
        ),
    ];
    for (resource, operation, what, advice) in taken {
        acl(&admin, "--remove", resource, &[operation]);
        road.post(5);
        let told = road.await_alarm(advice);
        assert!(told.contains(what), "{told}");
        road.post(5);
        acl(&admin, "--add", resource, &[operation]);
        road.bridge.await_published();
    }
    // A topic that is gone, and the bridge may not create it again.
    acl(&admin, "--remove", RIGHTS[0].0, &["Create"]);
    java::tool(
        &admin,
        TOPIC_COMMAND,
        &["--delete", "--topic", "atoms.unrecognized"],
    );
    road.ids
        .retain(|id| !id.ends_with('4') && !id.ends_with('9'));
    road.post(5);
    let told = road.await_alarm("cannot create topic atoms.unrecognized");
    assert!(told.contains("create it with 2 partitions"), "{told}");
    broker.create_topic("atoms.unrecognized", 2);
    road.judge(&admin, "atoms.");
}

#[test]
fn a_topic_deleted_under_way_is_made_again_and_what_comes_is_on_it() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("deleted"));
    let bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "3");
    let mut road = Road::new(bridge);
    for topic in TOPICS {
        road.post(10);
        road.bridge.await_published();
        let name = format!("{prefix}{topic}");
        java::tool(&broker, TOPIC_COMMAND, &["--delete", "--topic", &name]);
        await_gone(&road.bridge, &broker, &name);
        // What was on the topic went with it, by the hand of whoever deleted it.
        let gone = |id: &String| {
            let step: usize = id.rsplit_once('.').unwrap().1.parse().unwrap();
            calls::TYPES[step % calls::TYPES.len()] == topic
                || topic == "unrecognized"
                    && calls::TYPES[step % calls::TYPES.len()] == "something-new"
        };
        road.ids.retain(|id| !gone(id));
        road.post(10);
        road.bridge.await_published();
    }
    let records = road.judge(&broker, &prefix);
    let numbers: BTreeSet<_> = records.iter().map(|r| r.header("bridge.seq")).collect();
    assert_eq!(numbers.len(), records.len(), "a number was given twice");
}

/// A broker that is busy takes records for a deleted topic for a moment longer, and they go with it. The bridge may have
/// made the topic again by then.
fn await_gone(bridge: &Bridge, broker: &str, name: &str) {
    until(&format!("{name} to be gone"), LIMIT, || {
        let log = bridge.log();
        let is_made = |line: &&str| line.contains("topics created") && line.contains(name);
        let made = log.lines().filter(is_made).count();
        match kcat::in_sync(broker, name)?.len() {
            partitions if partitions > 0 && made == 1 => Err(format!("{partitions} partitions")),
            _ => Ok(()),
        }
    });
}

#[test]
fn more_partitions_are_told_and_adopted_by_a_command_when_nothing_is_pending() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("more-partitions"));
    let bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2")
        .with("JOURNAL__RETENTION", "720h");
    let mut road = Road::new(bridge);
    road.post(10);
    road.bridge.await_published();
    // Unequal counts first, then all.
    for topic in TOPICS {
        let name = format!("{prefix}{topic}");
        java::tool(
            &broker,
            TOPIC_COMMAND,
            &["--alter", "--topic", &name, "--partitions", "7"],
        );
        let told = road.await_alarm(&format!("{name}: 7"));
        assert!(told.contains("more partitions than the 2"), "{told}");
        road.post(5);
        road.bridge.await_published();
    }
    let adopt = ["topics", "ensure", "--adopt-partitions"];
    let refused = road.bridge.run(&adopt);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("stop `serve`"),
        "{refused:?}"
    );
    let old = road.judge(&broker, &prefix);
    assert!(old.iter().all(|record| record.partition < 2));

    road.bridge.term(Duration::from_secs(10));
    let journal = rusqlite::Connection::open(road.bridge.journal_path()).unwrap();
    let hundred_hours = "UPDATE delivery SET received_ms = received_ms - 360000000";
    journal.execute(hundred_hours, []).unwrap();
    let bodies = || -> i64 {
        let count = "SELECT count(*) FROM body";
        journal.query_row(count, [], |row| row.get(0)).unwrap()
    };
    let before = bodies();
    let adopted = road.bridge.run(&adopt);
    assert!(adopted.status.success(), "{adopted:?}");
    assert_eq!(bodies(), before, "of these, journal.retention keeps all");
    drop(journal);
    road.bridge.resume();
    road.bridge.await_publishing();
    road.post_calls(20);
    road.bridge.await_published();
    let all = road.judge(&broker, &prefix);
    assert!(all.iter().any(|record| record.partition > 2));
    assert_eq!(road.bridge.kafka_alarm(), None);
}

#[test]
fn adopting_is_refused_while_something_is_pending() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("adopt-pending"));
    let mut bridge = Bridge::new(&crate::harness::ports::free_address().to_string())
        .with("TOPICS__PREFIX", &prefix)
        .start();
    assert_eq!(
        bridge.post("default", &calls::delivery("CALL-0", 0)).status,
        200
    );
    bridge.term(Duration::from_secs(10));
    bridge.set("KAFKA__BOOTSTRAP_SERVERS", &broker);
    let refused = bridge.run(&["topics", "ensure", "--adopt-partitions"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("1 deliveries are pending"), "{said}");
}

#[test]
fn fewer_partitions_stop_publishing_until_they_are_raised() {
    let broker = shared_broker();
    let prefix = format!("{}.", unique("fewer-partitions"));
    let bridge = Bridge::new(&broker.address())
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "3");
    let mut road = Road::new(bridge);
    road.post(10);
    road.bridge.await_published();
    assert_eq!(road.bridge.term(Duration::from_secs(10)), 0);
    let topic = format!("{prefix}post-conversation");
    java::tool(
        &broker.address(),
        TOPIC_COMMAND,
        &["--delete", "--topic", &topic],
    );
    until("the topic to be gone", LIMIT, || {
        let listed = java::tool(&broker.address(), TOPIC_COMMAND, &["--list"]);
        if listed.contains(&topic) {
            Err(listed)
        } else {
            Ok(())
        }
    });
    broker.create_topic(&topic, 2);
    road.ids.clear();
    road.bridge.resume();
    road.post_calls(20);
    let told = road.await_alarm("raise it");
    assert!(
        told.contains(&format!("topic {topic} has 2 partitions")),
        "{told}"
    );
    assert!(road.bridge.pending() > 0);
    let raise = ["--alter", "--topic", &topic, "--partitions", "3"];
    java::tool(&broker.address(), TOPIC_COMMAND, &raise);
    road.bridge.await_published();
    assert_eq!(road.bridge.kafka_alarm(), None);
}

/// A bridge, and what it has answered with 200.
struct Road {
    bridge: Bridge,
    posted: usize,
    ids: BTreeSet<String>,
}

impl Road {
    fn new(bridge: Bridge) -> Self {
        let bridge = bridge.start();
        bridge.await_publishing();
        Self {
            bridge,
            posted: 0,
            ids: BTreeSet::new(),
        }
    }

    /// The next so many steps of ten calls.
    fn post(&mut self, steps: usize) {
        for step in self.posted..self.posted + steps {
            for call in 0..10 {
                self.deliver(&format!("CALL-{call}"), step);
            }
        }
        self.posted += steps;
    }

    /// One step of so many new calls.
    fn post_calls(&mut self, calls: usize) {
        for call in 0..calls {
            self.deliver(&format!("CALL-{}-{call}", self.posted), 1);
        }
        self.posted += 1;
    }

    fn deliver(&mut self, call: &str, step: usize) {
        let answer = self.bridge.post("default", &calls::delivery(call, step));
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.ids.insert(calls::id(call, step));
    }

    fn await_alarm(&self, part: &str) -> String {
        let told = until(&format!("an alarm with {part:?}"), LIMIT, || {
            match self.bridge.kafka_alarm() {
                Some(alarm) if alarm.contains(part) => Ok(alarm),
                other => Err(format!("{other:?}")),
            }
        });
        assert!(self.bridge.log().contains(part), "the log says it too");
        println!("the operator reads: {told}");
        told
    }

    fn judge(&self, broker: &str, prefix: &str) -> Vec<crate::harness::record::Record> {
        self.bridge.await_published();
        calls::judge(broker, prefix, &self.ids)
    }
}

pub(crate) fn acl(broker: &str, verb: &str, resource: [&str; 2], operations: &[&str]) {
    let mut arguments = vec![verb, "--allow-principal", "User:bridge"];
    arguments.extend(resource);
    arguments.extend(["--resource-pattern-type", "prefixed"]);
    arguments.extend(
        operations
            .iter()
            .flat_map(|operation| ["--operation", operation]),
    );
    if verb == "--remove" {
        arguments.push("--force");
    }
    java::tool(broker, "org.apache.kafka.tools.AclCommand", &arguments);
}

/// All that a bridge needs.
pub(crate) const RIGHTS: [([&str; 2], &[&str]); 3] = [
    (
        ["--topic", "atoms."],
        &["Write", "Read", "Describe", "Create"],
    ),
    (["--group", "atoms-bridge-"], &["Read", "Describe"]),
    (
        ["--transactional-id", "atoms-bridge-"],
        &["Write", "Describe"],
    ),
];
const TOPICS: [&str; 5] = [
    "pre-conversation",
    "post-conversation",
    "analytics-completed",
    "unrecognized",
    "dead-letter",
];
const TOPIC_COMMAND: &str = "org.apache.kafka.tools.TopicCommand";
/// Twice as long as it takes until the topics are looked at.
const LIMIT: Duration = Duration::from_secs(60);
