//! The commands around the road, against a real broker: what they print, and what their exit codes say.

use std::fs;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use atoms_kafka_bridge::time::Timestamp;

use crate::harness::bridge::{Bridge, SECRET};
use crate::harness::{kcat, ports, shared_broker, unique, until};

#[test]
fn topics_are_listed_created_and_found_equal() {
    let broker = shared_broker();
    let prefix = unique("commands-topics") + ".";
    let bridge = Bridge::new(&broker.address()).with("TOPICS__PREFIX", &prefix);

    let before = bridge.run(&["topics", "list", "--json"]);
    assert_eq!(code(&before), 1);
    let states: Vec<_> = json_lines(&before)
        .iter()
        .map(|line| line["state"].clone())
        .collect();
    assert_eq!(states, ["missing"; 5]);

    let theirs = format!("{prefix}unrecognized");
    broker.create_topic_with(&theirs, 4, &[("max.message.bytes", "40000000")]);
    // The controller has the topic before every client is told of it.
    until("the topic to be seen", WITHIN, || {
        kcat::try_read(&broker.address(), &theirs)
    });
    let ensured = bridge.run(&["topics", "ensure", "--json"]);
    assert_eq!(code(&ensured), 0, "{}", stderr(&ensured));
    for line in json_lines(&ensured) {
        assert_eq!(line["partitions"], 4, "{line}");
        let was_there = line["topic"] == *theirs;
        assert_eq!(line["created"], !was_there, "{line}");
    }
    let after = bridge.run(&["topics", "list"]);
    assert_eq!(code(&after), 0, "{}", stdout(&after));
    assert_eq!(
        stdout(&after).matches(" ok").count(),
        5,
        "{}",
        stdout(&after)
    );

    let other = unique("commands-unequal") + ".";
    broker.create_topic(&format!("{other}dead-letter"), 2);
    broker.create_topic(&format!("{other}unrecognized"), 3);
    for name in ["dead-letter", "unrecognized"] {
        until("the topic to be seen", WITHIN, || {
            kcat::try_read(&broker.address(), &format!("{other}{name}"))
        });
    }
    let bridge = bridge.with("TOPICS__PREFIX", &other);
    let unequal = bridge.run(&["topics", "list"]);
    assert_eq!(code(&unequal), 1);
    assert!(stdout(&unequal).contains("--alter"), "{}", stdout(&unequal));
    let refused = bridge.run(&["topics", "ensure"]);
    assert_eq!(code(&refused), 1);
    assert!(
        stderr(&refused).contains("partition counts differ"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn commands_that_need_kafka_say_so_without_it() {
    let bridge = Bridge::new("").with_variable("RUST_LOG", "error");
    for arguments in [&["topics", "list"][..], &["topics", "ensure"], &["tail"]] {
        let output = bridge.run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(
            stderr(&output).contains("bootstrap.servers"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn schemas_are_written_shown_and_compared() {
    let bridge = Bridge::new("");
    let dir = bridge.dir().join("schemas");
    assert_eq!(
        code(&bridge.run(&["schemas", "diff"])),
        1,
        "nothing is there yet"
    );
    assert_eq!(code(&bridge.run(&["schemas", "write", "schemas"])), 0);
    let equal = bridge.run(&["schemas", "diff"]);
    assert_eq!((code(&equal), stdout(&equal).as_str()), (0, ""));

    for line in json_lines(&bridge.run(&["schemas", "list", "--json"])) {
        let shown = bridge.run(&["schemas", "show", line["type"].as_str().expect("a type")]);
        let file = line["file"].as_str().expect("a file");
        assert_eq!(
            shown.stdout,
            fs::read(dir.join(file)).expect("it was written")
        );
    }
    let file = dir.join("post-conversation.v1.json");
    let text = fs::read_to_string(&file).expect("it was written");
    fs::write(&file, text.replacen("\"callId\"", "\"call_id\"", 1))
        .expect("the directory is writable");
    fs::write(dir.join("post-conversation.v7.json"), "{}").expect("the directory is writable");
    let drifted = bridge.run(&["schemas", "diff"]);
    assert_eq!(code(&drifted), 1);
    for expected in [
        "differs",
        "superfluous",
        "call_id",
        "post-conversation.v7.json",
    ] {
        assert!(stdout(&drifted).contains(expected), "{}", stdout(&drifted));
    }
    assert_eq!(code(&bridge.run(&["schemas", "show", "nothing"])), 2);
    assert_eq!(
        code(&bridge.run(&["schemas", "show", "unrecognized", "--version", "9"])),
        2
    );
}

#[test]
fn what_is_sent_is_tailed() {
    let broker = shared_broker();
    let prefix = unique("commands-road") + ".";
    let bridge = Bridge::new(&broker.address())
        .with("TOPICS__PREFIX", &prefix)
        .start();
    fs::write(bridge.dir().join("odd"), b"\xff\x1b no json").expect("the directory is writable");

    let sent = bridge.run(&[
        "send",
        "--dialect",
        "all",
        "--count",
        "8",
        "--concurrency",
        "3",
        "--json",
    ]);
    assert_eq!(code(&sent), 0, "{}{}", stdout(&sent), stderr(&sent));
    let sent = json_lines(&sent);
    assert_eq!(
        sent.len(),
        8 * 3 - 2,
        "two calls are in the dialect of two events"
    );
    assert!(
        sent.iter()
            .all(|line| line["status"] == 200 && line["answer"] == "stored"),
        "{sent:?}"
    );
    for expected in ["200 stored", "200 duplicate"] {
        let odd = bridge.run(&["send", "--file", "odd"]);
        assert_eq!(code(&odd), 0);
        assert!(stdout(&odd).starts_with(expected), "{}", stdout(&odd));
    }

    let count = |name: &str, expected| {
        kcat::await_count(
            &broker.address(),
            &format!("{prefix}{name}"),
            expected,
            WITHIN,
        );
    };
    count("analytics-completed", 8);
    count("post-conversation", 6);
    count("pre-conversation", 8);
    let dead = || !kcat::read_bytes(&broker.address(), &format!("{prefix}dead-letter")).is_empty();
    until("the dead letter", WITHIN, || {
        dead().then_some(()).ok_or_else(|| "none".to_owned())
    });

    let tailed = json_lines(&bridge.run(&["tail", "-e", "--json"]));
    assert_eq!(tailed.len(), sent.len() + 1);
    let of_call = |call: &Value| {
        tailed
            .iter()
            .filter(|event| event["callId"] == *call)
            .count()
    };
    assert!(sent.iter().all(|line| of_call(&line["callId"]) >= 2));
    let letter = tailed.last().expect("the dead letter is the last topic's");
    assert_eq!(
        (&letter["reason"], &letter["bodyHex"]),
        (&"not-json".into(), &"ff1b206e6f206a736f6e".into())
    );

    let call = sent
        .first()
        .and_then(|line| line["callId"].as_str())
        .expect("a call id");
    let one = bridge.run(&["tail", "--since", "1h", "-e", "--call", call]);
    // With three connections any call may have been answered first, also one of two events.
    let deliveries = sent.iter().filter(|line| line["callId"] == call).count();
    let shown = stdout(&one).matches(call).count();
    assert_eq!(shown, deliveries, "{}", stdout(&one));
    let limited = bridge.run(&[
        "tail",
        "dead-letter",
        "unrecognized",
        "--since",
        "1h",
        "--limit",
        "1",
    ]);
    assert!(
        stdout(&limited).contains("not-json"),
        "{}",
        stdout(&limited)
    );
    assert!(!limited.stdout.contains(&0x1b));
    let later = bridge.run(&["tail", "-e", "--since", "2100-01-01T00:00:00Z"]);
    assert_eq!((code(&later), stdout(&later).as_str()), (0, ""));
    assert_eq!(code(&bridge.run(&["tail", "nothing"])), 2);
    tail_ends_where_it_is_told_to(&bridge, tailed.len());
}

/// It returns at all, with what was received until then.
fn tail_ends_where_it_is_told_to(bridge: &Bridge, all: usize) {
    let soon = Timestamp::from_unix_ms(Timestamp::now().unix_ms() + 1500).to_string();
    for (arguments, count) in [
        (&["--until", "24h"][..], 0),
        (&["--until", "24h", "-e"], 0),
        (&["--until", "0s"], all),
        (&["--until", "0s", "-e"], all),
        (&["--until", "2100-01-01T00:00:00Z", "-e"], all),
        (&["--until", &soon, "--since", "1h"], all),
    ] {
        let arguments: Vec<_> = ["tail", "--json"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let tailed = bridge.run(&arguments);
        assert_eq!(code(&tailed), 0, "{arguments:?}: {}", stderr(&tailed));
        assert_eq!(json_lines(&tailed).len(), count, "{arguments:?}");
    }
}

#[test]
fn a_tail_shows_what_comes_while_it_runs() {
    let broker = shared_broker();
    let prefix = unique("commands-follow") + ".";
    let bridge = Bridge::new(&broker.address()).with("TOPICS__PREFIX", &prefix);
    // Right behind the creation, when the topics' partitions may have no leader yet.
    assert_eq!(code(&bridge.run(&["topics", "ensure"])), 0);
    let bridge = bridge.start();
    assert_eq!(code(&bridge.run(&["send"])), 0);
    let before = kcat::await_count(
        &broker.address(),
        &format!("{prefix}pre-conversation"),
        1,
        WITHIN,
    );
    std::thread::scope(|scope| {
        let tail = scope.spawn(|| bridge.run(&["tail", "pre-conversation", "--limit", "1"]));
        // Nothing tells when the tail has begun, so calls are made until it has seen one.
        until("the tail to see a call", WITHIN, || {
            assert_eq!(code(&bridge.run(&["send"])), 0);
            tail.is_finished()
                .then_some(())
                .ok_or_else(|| "it waits".to_owned())
        });
        let tailed = tail.join().expect("the tail runs");
        assert_eq!(code(&tailed), 0, "{}", stderr(&tailed));
        assert_eq!(stdout(&tailed).lines().count(), 1);
        assert!(
            stdout(&tailed).contains("outbound  +12025550100 → +12025550143"),
            "{}",
            stdout(&tailed)
        );
        let old = before.first().expect("one call was before").key();
        assert!(!stdout(&tailed).contains(old), "{}", stdout(&tailed));
    });
}

#[test]
fn a_delivery_that_is_refused_or_not_answered_is_a_finding() {
    let broker = shared_broker();
    let prefix = unique("commands-refused") + ".";
    let bridge = Bridge::new(&broker.address())
        .with("TOPICS__PREFIX", &prefix)
        .start();
    let refused = bridge.run(&["send", "--secret", "literal:another secret, long enough"]);
    assert_eq!(code(&refused), 1);
    assert!(stdout(&refused).starts_with("401 "), "{}", stdout(&refused));
    let right = format!("literal:{SECRET}");
    assert_eq!(code(&bridge.run(&["send", "--secret", &right])), 0);
    let missing = bridge.run(&["send", "--secret", "env:NOT_SET_ANYWHERE"]);
    assert_eq!(code(&missing), 2);
    assert!(
        stderr(&missing).contains("NOT_SET_ANYWHERE"),
        "{}",
        stderr(&missing)
    );

    let nobody = ports::free_address().to_string();
    let unanswered = bridge.run(&["send", &nobody, "--json"]);
    assert_eq!(code(&unanswered), 1);
    let first = json_lines(&unanswered).remove(0);
    assert!(
        first["error"]
            .as_str()
            .is_some_and(|error| error.contains("refused")),
        "{first}"
    );
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json_lines(output: &Output) -> Vec<Value> {
    let lines = stdout(output);
    let line =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    lines.lines().map(line).collect()
}

const WITHIN: Duration = Duration::from_secs(30);
