//! `examples/node`: kafkajs prints every event once; what a replay brings again it knows by its id.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::load::{self, CALLS, Framing, LIMIT, Load, RECORDS, REPLAYED_CALLS};
use super::table::{REFUSED, Row, WITHOUT};
use super::{example, fetched};
use crate::harness::process::Process;
use crate::harness::registry::shared_registry;
use crate::harness::until;

#[test]
fn node_prints_every_event_once_and_tells_what_came_again_in_each_framing() {
    for (framing, client) in READS {
        prints_each_once(framing, client);
    }
}

#[test]
fn node_ends_at_what_it_cannot_read() {
    for (framing, client) in REFUSES {
        let load = Load::shared(framing);
        let started = Instant::now();
        let mut events = Events::start(load, client);
        assert_eq!(events.process.wait(LIMIT), 1);
        assert_eq!(events.process.stdout(), "");
        let told = events.process.stderr();
        assert!(told.starts_with("cannot read consumers-"), "{told}");
        row(framing, client, REFUSED.to_owned(), started);
    }
}

fn prints_each_once(framing: Framing, client: Option<&str>) {
    let load = Load::shared(framing);
    let started = Instant::now();
    let mut events = Events::start(load, client);
    let (new, again) = events.await_lines(CALLS * 3, REPLAYED_CALLS * 3);
    let read = format!("{RECORDS} records, {} events", new.len());
    row(framing, client, read, started);

    let ids = |lines: &[String]| lines.iter().map(|line| id(line)).collect::<BTreeSet<_>>();
    assert_eq!((new.len(), ids(&new)), (CALLS * 3, load::ids()));
    let replayed = load::sent().filter(|event| event.call < REPLAYED_CALLS);
    let replayed: BTreeSet<String> = replayed.map(|it| format!("again: {}", it.id())).collect();
    assert_eq!(again.into_iter().collect::<BTreeSet<_>>(), replayed);

    events.process.signal("TERM");
    assert_eq!(events.process.wait(LIMIT), 0);
}

fn row(framing: Framing, client: Option<&str>, read: String, started: Instant) {
    let row = Row {
        consumer: "Node, kafkajs 2.2.4".to_owned(),
        registry: match client {
            None => WITHOUT,
            Some("confluent") => "@confluentinc/schemaregistry 1.10.1",
            Some(_) => "@kafkajs/confluent-schema-registry 3.9.0",
        },
        framing,
        read,
    };
    row.write(started);
}

/// What is read, and by which of the registry's clients.
const READS: [(Framing, Option<&str>); 5] = [
    (Framing::Plain, None),
    (Framing::Header, None),
    (Framing::Header, Some("confluent")),
    (Framing::Prefix, Some("confluent")),
    (Framing::Prefix, Some("kafkajs")),
];
const REFUSES: [(Framing, Option<&str>); 4] = [
    (Framing::Prefix, None),
    (Framing::Plain, Some("confluent")),
    (Framing::Plain, Some("kafkajs")),
    (Framing::Header, Some("kafkajs")),
];

/// The example, running.
struct Events {
    process: Process,
    _dir: TempDir,
}

impl Events {
    fn start(load: &Load, client: Option<&str>) -> Self {
        let program = fetched("node").join("events.mjs");
        fs::copy(example("node/events.mjs"), &program).expect("the target directory is writable");
        let dir = TempDir::with_prefix("node-").expect("a temporary directory");
        let group = load.topic(client.unwrap_or("node"));
        let mut arguments = vec![program.to_str().expect("UTF-8"), &load.broker];
        arguments.extend([load.prefix.as_str(), &group]);
        let registry = shared_registry().url();
        arguments.extend(client.iter().flat_map(|client| [registry.as_str(), client]));
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
