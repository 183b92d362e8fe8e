//! `dev` as a newcomer meets it: an empty directory, the binary, nothing else.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

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
    dev.signal("INT");
    assert_eq!(dev.wait(LIMIT), 0, "{}", shown());
    assert!(shown().contains("deliveries answered 200: "), "{}", shown());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const LIMIT: Duration = Duration::from_secs(30);
