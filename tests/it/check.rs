//! `check` on a sound set-up: every line is well, nothing is left behind, nothing is counted.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::harness::bridge::Bridge;
use crate::harness::disk::{self, Disk};
use crate::harness::registry::shared_registry;
use crate::harness::{kcat, shared_broker, unique, until};

#[test]
fn a_sound_setup_is_well_in_every_line_whether_serve_runs_or_not() {
    let broker = shared_broker().address();
    let prefix = unique("check-sound") + ".";
    let disk = Disk::new(256);
    let bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2")
        .with("REGISTRY__URL", &shared_registry().url())
        .with(
            "JOURNAL__PATH",
            &disk::text(&disk.path().join("data/journal.db")),
        )
        .with("JOURNAL__MAX_BYTES", "64MiB")
        .with("LISTEN__MAX_BODY", "4MiB")
        .with(
            "WEBHOOKS__DEFAULT__SECRETS",
            "env:ATOMS_WEBHOOK_SECRET,env:NEXT",
        )
        .with("WEBHOOKS__SALES__SECRETS", "env:NEXT")
        .with("WEBHOOKS__SALES__HEADER__NAME", "x-api-key")
        .with("WEBHOOKS__SALES__HEADER__VALUE", "literal:a second factor")
        .with_variable("NEXT", "the secret after this one");
    for prepare in [&["topics", "ensure"][..], &["schemas", "register"]] {
        assert!(bridge.run(prepare).status.success());
    }
    let before: BTreeSet<_> = std::fs::read_dir(disk.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();

    let alone = Checked::of(&bridge);
    alone.is_well();
    assert_eq!(alone.lines("delivery").len(), 3, "one for each secret");
    let through = |part: &str, checked: &Checked| {
        let lines = checked.lines("delivery");
        assert!(
            lines
                .iter()
                .all(|line| line["what"].as_str().unwrap().contains(part)),
            "{lines:?}"
        );
    };
    through("taken by this process", &alone);
    let after: BTreeSet<_> = std::fs::read_dir(disk.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(after, before, "nothing is left behind");

    let bridge = bridge.start();
    bridge.await_publishing();
    let beside = Checked::of(&bridge);
    beside.is_well();
    through("taken by serve", &beside);
    let records = kcat::read_bytes(&broker, &format!("{prefix}unrecognized"));
    let sent = records
        .iter()
        .filter(|record| record.header("ce_type") == Some("ai.smallest.atoms.bridge-check.v1"));
    assert_eq!((sent.count(), records.len()), (6, 6));

    bridge.await_published();
    let metrics = bridge.health("/metrics").unwrap().text();
    let counted: Vec<&str> = metrics
        .lines()
        .filter(|line| {
            let counts = [
                "deliveries_total{",
                "signatures_total{",
                "events_total{",
                "seconds_count",
            ];
            counts.iter().any(|count| line.contains(count)) && !line.ends_with(" 0")
        })
        .collect();
    assert!(counted.is_empty(), "{counted:?}");

    let text = bridge.run(&["check"]);
    let shown = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.status.success() && shown.contains("0 failures") && !shown.contains('\u{1b}'),
        "{shown}"
    );
}

/// What `check --json` said.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<Value>,
}

impl Checked {
    pub(crate) fn of(bridge: &Bridge) -> Self {
        let output = bridge.run(&["check", "--json"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {output:?}"))
        });
        Self {
            code: output.status.code(),
            lines: lines.collect(),
        }
    }

    pub(crate) fn lines(&self, check: &str) -> Vec<&Value> {
        let lines = self.lines.iter();
        lines.filter(|line| line["check"] == check).collect()
    }

    /// As [`Checked::of`], once so many topics are seen: the controller has them before every client is told.
    pub(crate) fn await_topics(bridge: &Bridge, count: usize) -> Self {
        until("the topics to be seen", Duration::from_secs(30), || {
            let checked = Self::of(bridge);
            let missing = checked.lines("topics");
            let missing = missing.iter().filter(|line| {
                let what = line["what"].as_str().unwrap();
                what.ends_with("is missing")
            });
            match 5 - missing.count() {
                seen if seen == count => Ok(checked),
                _ => Err(format!("{checked:?}")),
            }
        })
    }

    /// The line that is as expected.
    pub(crate) fn find(&self, expected: &Expected) -> Option<&Value> {
        let has = |line: &Value, key: &str, part: &str| {
            line[key].as_str().unwrap_or_default().contains(part)
        };
        self.lines(expected.check).into_iter().find(|line| {
            line["state"] == expected.state
                && has(line, "what", &expected.what)
                && has(line, "todo", &expected.todo)
        })
    }

    /// That a broken set-up got this line, which is printed with its name.
    pub(crate) fn has(&self, name: &str, expected: &Expected) {
        let line = self.find(expected);
        let line = line.unwrap_or_else(|| panic!("{name}: no {expected:?} in {self:#?}"));
        let text = |key: &str| line[key].as_str().unwrap_or_default();
        let Expected { check, state, .. } = expected;
        println!(
            "| {name} | {state} | {check}: {} | {} |",
            text("what"),
            text("todo")
        );
    }

    /// Every probe has run and found nothing. How fast the disk of a test's machine is proves nothing.
    pub(crate) fn is_well(&self) {
        let is_speed = |line: &Value| {
            line["state"] == "warning" && line["what"].as_str().unwrap().contains("an fsync takes")
        };
        for line in &self.lines {
            assert!(line["state"] == "ok" || is_speed(line), "{self:#?}");
        }
        for check in CHECKS {
            assert!(!self.lines(check).is_empty(), "{check}: {self:#?}");
        }
        assert_eq!(self.code, Some(0));
    }
}

/// A line, by parts of its text.
#[derive(Debug)]
pub(crate) struct Expected {
    check: &'static str,
    state: &'static str,
    what: String,
    todo: String,
}

impl Expected {
    pub(crate) fn ok(check: &'static str, what: &str) -> Self {
        Self::new(check, "ok", what, "")
    }

    pub(crate) fn warning(check: &'static str, what: &str, todo: &str) -> Self {
        Self::new(check, "warning", what, todo)
    }

    pub(crate) fn failure(check: &'static str, what: &str, todo: &str) -> Self {
        assert!(!todo.is_empty(), "a failure says what to do");
        Self::new(check, "failure", what, todo)
    }

    pub(crate) fn waits(check: &'static str, on: &str) -> Self {
        let what = format!("it waits for the line {on}");
        Self::new(check, "not-run", &what, "")
    }

    fn new(check: &'static str, state: &'static str, what: &str, todo: &str) -> Self {
        Self {
            check,
            state,
            what: what.to_owned(),
            todo: todo.to_owned(),
        }
    }
}

const CHECKS: [&str; 13] = [
    "configuration",
    "secrets",
    "serve",
    "tls",
    "journal",
    "disk",
    "kafka",
    "topics",
    "rights",
    "registry",
    "api",
    "clock",
    "delivery",
];
