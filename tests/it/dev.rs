//! `dev` as a newcomer meets it: an empty directory, the binary, nothing else.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::bridge::{Bridge, SECRET, post};
use crate::harness::http::Client;
use crate::harness::process::Process;
use crate::harness::{kcat, logs, ports, until};

const BINARY: &str = env!("CARGO_BIN_EXE_atoms-kafka-bridge");

#[test]
fn dev_with_calls_shows_every_event_and_ends_well() {
    let _ports = ports::default_ports();
    let dir = TempDir::with_prefix("dev-").unwrap();
    let output = Command::new(BINARY)
        .args(["dev", "--calls", "8", "--rate", "50"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    logs::keep_output(&output.stderr);
    let (out, log) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}\n{log}");
    // Eight calls are two of each dialect: three events each, but two in the dialect with two events.
    assert!(
        out.contains("deliveries answered 200: 22, refused: 0"),
        "{out}"
    );
    for topic in [
        "pre-conversation",
        "post-conversation",
        "analytics-completed",
    ] {
        assert!(out.contains(&format!("atoms.{topic}")), "{out}");
    }
    let lines = out.lines().filter(|line| line.contains("  CALL-")).count();
    assert_eq!(lines, 22, "{out}");
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "dev leaves nothing behind"
    );
}

#[test]
fn dev_that_loses_deliveries_shows_them_fetched_from_the_api() {
    let _ports = ports::default_ports();
    let dir = TempDir::with_prefix("dev-").unwrap();
    let output = Command::new(BINARY)
        .args(["dev", "--lossy", "--calls", "8", "--rate", "20"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    logs::keep_output(&output.stderr);
    let (out, log) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}\n{log}");
    let lost = out.lines().filter(|line| line.contains("  lost: ")).count();
    assert_eq!(lost, 7, "three in ten of 24: {out}");
    let fetched = out
        .lines()
        .filter(|line| line.contains("  reconciled"))
        .count();
    assert_eq!(fetched, lost, "{out}");
    let sum = format!("lost on the way: {lost}; fetched from the API in their place: {lost}");
    assert!(out.contains(&sum), "{out}");
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn dev_is_read_from_outside_until_it_is_told_to_end() {
    let _ports = ports::default_ports();
    let dir = TempDir::with_prefix("dev-").unwrap();
    logs::keep(dir.path());
    let mut dev = Process::spawn(
        Path::new(BINARY),
        ["dev", "--rate", "20"],
        dir.path(),
        |_| {},
    );
    let shown = || std::fs::read_to_string(dir.path().join("stdout.log")).unwrap_or_default();
    let address = until("dev prints its address", LIMIT, || {
        let out = shown();
        let line = out.lines().find(|line| line.starts_with("Kafka "));
        let address = line.and_then(|line| line.split_whitespace().nth(1));
        address.map(str::to_owned).ok_or(out.clone())
    });
    let records = kcat::await_count(&address, "atoms.post-conversation", 3, LIMIT);
    for record in records {
        let event = record.json();
        assert_eq!(event["type"], "post-conversation");
        assert_eq!(event["callId"], record.key());
    }
    its_topics_are_listed_and_tailed(&address);
    dev.signal("INT");
    assert_eq!(dev.wait(LIMIT), 0, "{}", shown());
    assert!(shown().contains("deliveries answered 200: "), "{}", shown());
}

/// An embedded Kafka tells neither settings of topics nor times of records.
fn its_topics_are_listed_and_tailed(address: &str) {
    let bridge = Bridge::new(address);
    for arguments in [&["topics", "list"][..], &["topics", "ensure"]] {
        let listed = bridge.run(arguments);
        let out = text(&listed.stdout);
        let told = "the embedded Kafka of `dev` does not tell";
        assert_eq!(out.matches(told).count(), 5, "{out}");
    }
    for (since, are_there) in [("1h", true), ("2100-01-01T00:00:00Z", false)] {
        let tailed = bridge.run(&[
            "tail",
            "post-conversation",
            "-e",
            "--json",
            "--since",
            since,
        ]);
        let (out, log) = (text(&tailed.stdout), text(&tailed.stderr));
        assert_eq!(tailed.status.code(), Some(0), "{log}");
        assert_eq!(
            out.contains("\"post-conversation\""),
            are_there,
            "{since}: {out}"
        );
        assert!(log.contains("keeps no times of records"), "{log}");
    }
}

#[test]
fn a_delivery_of_ones_own_is_signed_as_dev_says() {
    let _ports = ports::default_ports();
    let dir = TempDir::with_prefix("dev-").unwrap();
    let mut dev = Process::spawn(
        Path::new(BINARY),
        ["dev", "--no-samples"],
        dir.path(),
        |command| {
            command.env_remove("ATOMS_WEBHOOK_SECRET");
        },
    );
    let shown = || std::fs::read_to_string(dir.path().join("stdout.log")).unwrap_or_default();
    let said = until("dev says how to sign", LIMIT, || {
        let out = shown();
        let said = out
            .split_once('`')
            .and_then(|(_, rest)| rest.split_once('`'));
        said.map(|(said, _)| said.to_owned()).ok_or(out.clone())
    });
    let words: Vec<&str> = said.split(' ').collect();
    let [variable, "atoms-kafka-bridge", "send", url] = words.as_slice() else {
        panic!("{said}");
    };
    let (name, secret) = variable.split_once('=').unwrap();
    let mut send = Command::new(BINARY);
    let sent = send.args(["send", url]).env(name, secret).output().unwrap();
    assert!(sent.status.success(), "{sent:?}");
    until("it is printed", LIMIT, || match shown() {
        out if out.contains("CALL-") => Ok(()),
        out => Err(out),
    });
    dev.signal("INT");
    assert_eq!(dev.wait(LIMIT), 0, "{}", shown());
}

#[test]
fn the_largest_delivery_that_dev_takes_is_read_back() {
    let _ports = ports::default_ports();
    let dir = TempDir::with_prefix("dev-").unwrap();
    logs::keep(dir.path());
    let mut dev = Process::spawn(
        Path::new(BINARY),
        ["dev", "--no-samples"],
        dir.path(),
        |command| {
            command.env("ATOMS_WEBHOOK_SECRET", SECRET);
        },
    );
    let shown = || std::fs::read_to_string(dir.path().join("stdout.log")).unwrap_or_default();
    until("dev tells its limits", LIMIT, || match shown() {
        out if out.contains("bodies up to 4 MiB") => Ok(()),
        out => Err(out),
    });
    let address = SocketAddr::from(([127, 0, 0, 1], 8080));
    let sized = |call: &str, bytes: usize| {
        let begin =
            format!(r#"{{"event":"call.end","call_id":"{call}","transcript":[{{"content":""#);
        let end = r#""}]}"#;
        let filler = "x".repeat(bytes - begin.len() - end.len());
        format!("{begin}{filler}{end}")
    };
    let post = |call: &str, bytes: usize| {
        let body = sized(call, bytes);
        let answer = post(&mut Client::new(address), "default", body.as_bytes());
        answer.expect("an answer").status
    };
    assert_eq!(post("CALL-largest", 4 << 20), 200);
    assert_eq!(post("CALL-larger", (4 << 20) + 1), 413);
    until("the largest is printed", LIMIT, || match shown() {
        out if out.contains("CALL-largest") => Ok(()),
        out => Err(out),
    });
    dev.signal("INT");
    assert_eq!(dev.wait(LIMIT), 0, "{}", shown());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const LIMIT: Duration = Duration::from_secs(30);
