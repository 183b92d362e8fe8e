//! `topics ensure`: what it makes, what it only tells, what it refuses, by the word of Kafka's own tools.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::harness::bridge::Bridge;
use crate::harness::kafka::Broker;
use crate::harness::{java, shared_broker, unique, until};
use crate::surroundings::acl;

#[test]
fn topics_are_made_as_configured_and_a_second_time_nothing_changes() {
    let broker = shared_broker().address();
    let prefix = unique("ensure-made") + ".";
    let bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__ALL", &format!("{prefix}everything"))
        .with("TOPICS__PARTITIONS", "3")
        .with("TOPICS__REPLICATION", "1")
        .with("TOPICS__RETENTION", "2d")
        .with("TOPICS__RETENTION_BYTES", "1GiB")
        .with("TOPICS__DEAD_LETTER__RETENTION", "forever")
        .with("TOPICS__DEAD_LETTER__RETENTION_BYTES", "unlimited")
        .with("TOPICS__POST_CONVERSATION__MAX_MESSAGE_BYTES", "2MiB");

    let shown = bridge.run(&["topics", "ensure", "--dry-run", "--json"]);
    assert_eq!(done(&shown, 0), ["would-create"; 6]);
    assert_eq!(described(&broker, &prefix), BTreeMap::new(), "a dry run");

    let made = bridge.run(&["topics", "ensure", "--json"]);
    assert_eq!(done(&made, 0), ["created"; 6]);
    let topics = described(&broker, &prefix);
    let ordinary = "3 1 cleanup.policy=delete max.message.bytes=34603008 retention.bytes=1073741824 retention.ms=172800000";
    for (name, expected) in [
        ("pre-conversation", ordinary),
        (
            "post-conversation",
            "3 1 cleanup.policy=delete max.message.bytes=2097152 retention.bytes=1073741824 retention.ms=172800000",
        ),
        ("everything", ordinary),
        (
            "dead-letter",
            "3 1 cleanup.policy=delete max.message.bytes=34603008 retention.bytes=-1 retention.ms=-1",
        ),
    ] {
        assert_eq!(topics[&format!("{prefix}{name}")], expected, "{name}");
    }

    let again = bridge.run(&["topics", "ensure", "--alter", "--json"]);
    assert_eq!(done(&again, 0), ["nothing"; 6]);
    assert_eq!(described(&broker, &prefix), topics);
    assert_eq!(bridge.run(&["topics", "list"]).status.code(), Some(0));
}

#[test]
fn what_differs_is_told_and_altered_only_when_asked() {
    let broker = shared_broker();
    let prefix = unique("ensure-altered") + ".";
    let theirs = format!("{prefix}post-conversation");
    let settings = [
        ("cleanup.policy", "compact"),
        ("max.message.bytes", "1000"),
        ("segment.bytes", "1048576"),
    ];
    broker.create_topic_with(&theirs, 2, &settings);
    let roomy = format!("{prefix}unrecognized");
    broker.create_topic_with(&roomy, 2, &[("max.message.bytes", "99000000")]);
    let broker = broker.address();
    let bridge = Bridge::new(&broker).with("TOPICS__PREFIX", &prefix);
    await_topics(&bridge, 2);
    let before = described(&broker, &prefix);

    let told = bridge.run(&["topics", "ensure", "--json"]);
    let states = done(&told, 1);
    assert_eq!(states.iter().filter(|done| *done == "created").count(), 3);
    assert_eq!(states.iter().filter(|done| *done == "differs").count(), 1);
    let line = line(&told, &theirs);
    assert_eq!(line["differences"][0]["setting"], "cleanup.policy");
    assert_eq!(line["differences"][0]["is"], "compact");
    assert_eq!(line["differences"][1]["should"], "34603008");
    let listed = text(&bridge.run(&["topics", "list"]).stdout);
    assert!(listed.contains("cleanup.policy is compact"), "{listed}");
    let shown = bridge.run(&["topics", "ensure", "--alter", "--dry-run"]);
    assert_eq!(shown.status.code(), Some(0));
    assert!(
        text(&shown.stdout).contains("would be altered"),
        "{shown:?}"
    );
    assert_eq!(described(&broker, &prefix)[&theirs], before[&theirs]);

    let altered = bridge.run(&["topics", "ensure", "--alter", "--json"]);
    let states = done(&altered, 0);
    assert_eq!(states.iter().filter(|done| *done == "altered").count(), 1);
    let after = described(&broker, &prefix);
    assert_eq!(
        after[&theirs],
        "2 1 cleanup.policy=delete max.message.bytes=34603008 segment.bytes=1048576",
        "what is not the bridge's business stays"
    );
    assert_eq!(after[&roomy], before[&roomy], "more than enough is enough");
    let again = bridge.run(&["topics", "ensure", "--alter", "--json"]);
    assert_eq!(done(&again, 0), ["nothing"; 5]);
}

#[test]
fn unequal_partition_counts_are_refused_with_the_reason_and_nothing_is_made() {
    let broker = shared_broker();
    let prefix = unique("ensure-unequal") + ".";
    broker.create_topic(&format!("{prefix}dead-letter"), 2);
    broker.create_topic(&format!("{prefix}unrecognized"), 3);
    let broker = broker.address();
    let bridge = Bridge::new(&broker).with("TOPICS__PREFIX", &prefix);
    await_topics(&bridge, 2);
    let before = described(&broker, &prefix);
    for arguments in [
        &["topics", "ensure"][..],
        &["topics", "ensure", "--alter"],
        &["topics", "ensure", "--dry-run"],
    ] {
        let refused = bridge.run(arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let why = text(&refused.stderr);
        let what_to_do = format!("--alter --topic {prefix}dead-letter --partitions 3");
        for part in ["Kafka Streams", "can only raise", &what_to_do] {
            assert!(why.contains(part), "{part}: {why}");
        }
    }
    assert_eq!(described(&broker, &prefix), before);
}

#[test]
fn a_principal_without_the_right_is_told_which_one_it_wants() {
    let (broker, users) = Broker::start_with_user("bridge", "of iron");
    let admin = broker.address();
    let may = |operation| acl(&admin, "--add", ["--topic", "atoms."], &[operation]);
    may("Describe");
    let mut bridge = Bridge::new(&users)
        .with("TOPICS__PARTITIONS", "2")
        .with("KAFKA__SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .with("KAFKA__SASL_MECHANISM", "PLAIN")
        .with("KAFKA__SASL_USERNAME", "bridge")
        .with("KAFKA__SASL_PASSWORD", "of iron");
    let refused = bridge.run(&["topics", "ensure"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = text(&refused.stderr);
    assert!(why.contains("let the bridge's principal create"), "{why}");
    assert_eq!(described(&admin, "atoms."), BTreeMap::new());

    may("Create");
    // A right is known to every broker a moment after it was given.
    let ensure = |bridge: &Bridge, flag: &str, code| {
        until("the right to be in force", LIMIT, || {
            let output = bridge.run(&["topics", "ensure", "--json", flag]);
            if output.status.code() == Some(code) {
                Ok(output)
            } else {
                Err(format!("{output:?}"))
            }
        })
    };
    assert_eq!(done(&ensure(&bridge, "--alter", 0), 0), ["created"; 5]);
    let unknown = bridge.run(&["topics", "ensure", "--json"]);
    assert_eq!(done(&unknown, 1), ["unknown"; 5]);
    assert!(text(&unknown.stdout).contains("DescribeConfigs"));

    may("DescribeConfigs");
    assert_eq!(done(&ensure(&bridge, "--alter", 0), 0), ["nothing"; 5]);
    bridge.set("TOPICS__RETENTION", "1h");
    let before = described(&admin, "atoms.");
    let refused = bridge.run(&["topics", "ensure", "--alter"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = text(&refused.stderr);
    assert!(why.contains("AlterConfigs"), "{why}");
    assert!(why.contains("--add-config retention.ms=3600000"), "{why}");
    assert_eq!(described(&admin, "atoms."), before);

    may("AlterConfigs");
    ensure(&bridge, "--alter", 0);
    let after = described(&admin, "atoms.");
    assert!(
        after
            .values()
            .all(|topic| topic.ends_with("retention.ms=3600000"))
    );
}

/// Each topic's partitions, replicas and own settings, as Kafka's own tool tells them.
fn described(broker: &str, prefix: &str) -> BTreeMap<String, String> {
    let class = "org.apache.kafka.tools.TopicCommand";
    let told = java::tool(broker, class, &["--describe"]);
    let lines = told.lines().filter(|line| line.starts_with("Topic: "));
    let fields = lines.map(|line| {
        let fields = line.split('\t').filter_map(|field| field.split_once(": "));
        fields.collect::<BTreeMap<_, _>>()
    });
    let topic = |fields: BTreeMap<&str, &str>| {
        let settings = fields["Configs"].trim().split(',');
        // The broker's own, which it shows on every topic.
        let settings = settings.filter(|setting| !setting.starts_with("min.insync.replicas"));
        let settings: BTreeSet<&str> = settings.collect();
        let settings: Vec<&str> = settings.into_iter().collect();
        let shape = [fields["PartitionCount"], fields["ReplicationFactor"]];
        let told = [&shape[..], &settings].concat().join(" ");
        (fields["Topic"].to_owned(), told)
    };
    fields
        .filter(|fields| fields["Topic"].starts_with(prefix))
        .map(topic)
        .collect()
}

/// The controller has a topic before every client is told of it.
fn await_topics(bridge: &Bridge, count: usize) {
    until("the topics to be seen", LIMIT, || {
        let listed = bridge.run(&["topics", "list", "--json"]);
        let lines = lines(&listed);
        let seen = lines.iter().filter(|line| line["state"] != "missing");
        match seen.count() {
            seen if seen == count => Ok(()),
            seen => Err(format!("{seen}")),
        }
    });
}

fn done(output: &Output, code: i32) -> Vec<String> {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let lines = lines(output);
    let done = lines.iter().map(|line| line["done"].as_str().unwrap());
    done.map(str::to_owned).collect()
}

fn line(output: &Output, topic: &str) -> Value {
    let mut lines = lines(output).into_iter();
    lines.find(|line| line["topic"] == topic).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = text(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const LIMIT: Duration = Duration::from_secs(30);
