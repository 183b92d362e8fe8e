//! `examples/node`: kafkajs prints every event once; what a replay brings again it knows by its id.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::load::{self, CALLS, LIMIT, Load, RECORDS, REPLAYED_CALLS};
use super::{example, fetched, table};
use crate::harness::process::Process;
use crate::harness::until;

#[test]
fn node_prints_every_event_once_and_tells_what_came_again() {
    let load = Load::shared();
    let started = Instant::now();
    let mut events = Events::start(load, &[]);
    let (new, again) = events.await_lines(CALLS * 3, REPLAYED_CALLS * 3);
    let found = format!("{RECORDS} records, {} events", new.len());
    table::row("Node, kafkajs 2.2.4", "plain JSON", &found, started);

    let ids = |lines: &[String]| lines.iter().map(|line| id(line)).collect::<BTreeSet<_>>();
    assert_eq!((new.len(), ids(&new)), (CALLS * 3, load::ids()));
    let replayed = load::sent().filter(|event| event.call < REPLAYED_CALLS);
    let replayed: BTreeSet<String> = replayed.map(|it| format!("again: {}", it.id())).collect();
    assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), replayed);

    // The group goes on where it was: kafkajs commits what was read when it is told to end.
    events.process.signal("TERM");
    assert_eq!(events.process.wait(LIMIT), 0);
}

/// The example, running.
struct Events {
    process: Process,
    _dir: TempDir,
}

impl Events {
    fn start(load: &Load, more: &[&str]) -> Self {
        let program = fetched("node").join("events.mjs");
        fs::copy(example("node/events.mjs"), &program).expect("the target directory is writable");
        let dir = TempDir::with_prefix("node-").expect("a temporary directory");
        let group = load.topic("node");
        let own = [&load.broker, &load.prefix, &group].map(String::as_str);
        let arguments = [&[program.to_str().expect("UTF-8")], &own[..], more].concat();
        let process = Process::spawn(Path::new("node"), arguments, dir.path(), |_| {});
        Self { process, _dir: dir }
    }

    /// Waits for so many lines on standard output and on standard error.
    fn await_lines(&mut self, new: usize, again: usize) -> (Vec<String>, Vec<String>) {
        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        until("every event", LIMIT, || {
            assert_eq!(self.process.ended(), None, "{}", self.process.log_tail());
            let found = (lines(self.process.stdout()), lines(self.process.stderr()));
            if found.0.len() >= new && found.1.len() >= again {
                Ok(found)
            } else {
                Err(format!("{} events, {:?}", found.0.len(), found.1))
            }
        })
    }
}

fn id(line: &str) -> String {
    let event: Value = serde_json::from_str(line).expect("an event");
    event["id"].as_str().expect("an id").to_owned()
}
