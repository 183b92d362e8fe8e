//! What keeps `serve` from starting, what it only warns of, who may read what it writes, and which threads stand back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::harness::bridge::Bridge;
use crate::harness::calls::delivery;
use crate::harness::{kcat, ports, shared_broker, unique, until};

#[test]
fn publishing_stands_back_for_those_who_take_deliveries() {
    let bridge = Bridge::new("127.0.0.1:1").start();
    let nice = |thread: &str| {
        until(&format!("a thread {thread}"), LIMIT, || {
            nice_of(bridge.pid(), thread).ok_or_else(|| "none".to_owned())
        })
    };
    let usual = nice("journal-writer");
    assert_eq!(nice("tokio-rt-worker"), usual);
    // 19 is the most that there is.
    let less = (usual + 5).min(19);
    until("publishing to stand back", LIMIT, || {
        match (nice("publisher"), nice("rdk:main")) {
            both if both == (less, less) => Ok(()),
            both => Err(format!("{both:?} beside {usual}")),
        }
    });
}

/// The nice value of a process's thread of that name.
fn nice_of(pid: u32, thread: &str) -> Option<i32> {
    let mut threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    threads.find_map(|it| {
        let stat = fs::read_to_string(it.path().join("stat")).ok()?;
        // The name stands in parentheses; behind it come 16 other fields.
        let (before, behind) = stat.rsplit_once(") ")?;
        let is_it = before.ends_with(&format!("({thread}"));
        is_it.then(|| behind.split(' ').nth(16)?.parse().ok())?
    })
}

#[test]
fn a_second_bridge_on_the_same_journal_is_refused_and_the_first_goes_on() {
    let nowhere = ports::free_address().to_string();
    let first = Bridge::new(&nowhere).start();
    let path = first.journal_path().display().to_string();
    let mut second = Bridge::new(&nowhere).with("JOURNAL__PATH", &path);
    second.launch();
    assert_eq!(second.running().wait(LIMIT), 1);
    let log = second.log();
    assert!(
        log.contains("is in use by process") && log.contains(&path),
        "{log}"
    );
    assert_eq!(
        first.post("default", &delivery("CALL-first", 0)).status,
        200
    );
    for entry in fs::read_dir(first.dir().join("data")).expect("the journal's folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its mode").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn a_wrong_configuration_ends_with_2_and_says_what_is_wrong() {
    let nowhere = ports::free_address().to_string();
    let cases = [
        (
            Bridge::new(&nowhere).with("JOURNAL__MAX_BYTES", "much"),
            "ATOMS_BRIDGE__JOURNAL__MAX_BYTES",
        ),
        (
            Bridge::new(&nowhere).with("JOURNAL__MAX_BITES", "4GiB"),
            "did you mean ATOMS_BRIDGE__JOURNAL__MAX_BYTES",
        ),
        (Bridge::new(&nowhere).with("KAFKA__ACKS", "1"), "acks"),
        (
            Bridge::new(&nowhere).with("KAFKA__LINGER_MS", "70000"),
            "write at most 2000",
        ),
        (
            Bridge::new(&nowhere).with("KAFKA__QUEUE_BUFFERING_MAX_KBYTES", "1"),
            "write at least 33792",
        ),
        (
            Bridge::new(&nowhere).with("KAFKA__SASL_PASWORD", "x"),
            "did you mean ATOMS_BRIDGE__KAFKA__SASL_PASSWORD",
        ),
        (
            Bridge::new(&nowhere).with_variable("ATOMS_WEBHOOK_SECRET", ""),
            "ATOMS_WEBHOOK_SECRET",
        ),
        (
            Bridge::new(&nowhere).with_file("bridge.toml", "[listen]\nwebhoks = 1\n"),
            "webhooks",
        ),
    ];
    for (mut bridge, named) in cases {
        bridge.launch();
        assert_eq!(bridge.running().wait(LIMIT), 2, "{}", bridge.log());
        assert!(bridge.log().contains(named), "{named} in {}", bridge.log());
    }
}

#[test]
fn every_command_that_needs_kafka_wants_properties_that_librdkafka_takes() {
    let bridge = Bridge::new(&ports::free_address().to_string());
    let file = "[kafka]\nsecurity.protocol = \"hunter2\"\n";
    let bridge = bridge.with_file("bridge.toml", file);
    let commands: [&[&str]; 5] = [
        &["serve"],
        &["tail", "-e"],
        &["topics", "list"],
        &["topics", "ensure"],
        &["config", "show"],
    ];
    for arguments in commands {
        let output = bridge.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(
            told.contains("bridge.toml:2: kafka.security.protocol: librdkafka does not take"),
            "{arguments:?}: {told}"
        );
        assert!(!told.contains("hunter2"), "{arguments:?}: {told}");
    }
    let journal = bridge.run(&["journal", "status"]);
    assert!(!String::from_utf8_lossy(&journal.stderr).contains("security.protocol"));
}

#[test]
fn an_address_that_is_taken_ends_with_1_and_is_named() {
    let nowhere = ports::free_address().to_string();
    let first = Bridge::new(&nowhere).start();
    let taken = first.webhooks_address().to_string();
    let mut second = Bridge::new(&nowhere).with("LISTEN__WEBHOOKS", &taken);
    second.launch();
    assert_eq!(second.running().wait(LIMIT), 1);
    let log = second.log();
    assert!(
        log.contains(&taken) && log.contains("listen.webhooks"),
        "{log}"
    );
}

#[test]
fn topics_with_unequal_partition_counts_are_an_alarm_and_refuse_nobody() {
    let broker = shared_broker();
    let prefix = format!("{}.", unique("unequal"));
    broker.create_topic(&format!("{prefix}pre-conversation"), 2);
    broker.create_topic(&format!("{prefix}post-conversation"), 3);
    let bridge = Bridge::new(&broker.address())
        .with("TOPICS__PREFIX", &prefix)
        .start();
    let alarm = until("the alarm", LIMIT, || {
        let alarm = bridge.kafka_alarm().unwrap_or_default();
        if alarm.contains("partition counts differ") {
            Ok(alarm)
        } else {
            Err(alarm)
        }
    });
    assert!(
        alarm.contains(&format!("{prefix}pre-conversation: 2")),
        "{alarm}"
    );
    assert!(
        alarm.contains(&format!("{prefix}post-conversation: 3")),
        "{alarm}"
    );
    assert_eq!(
        bridge.log().matches("partition counts differ").count(),
        1,
        "{}",
        bridge.log()
    );
    assert_eq!(bridge.health("/readyz").expect("an answer").status, 200);
    assert_eq!(
        bridge.post("default", &delivery("CALL-unequal", 1)).status,
        200
    );
    assert_eq!(bridge.pending(), 1);
    assert!(kcat::read(&broker.address(), &format!("{prefix}post-conversation")).is_empty());
}

const LIMIT: Duration = Duration::from_secs(10);
