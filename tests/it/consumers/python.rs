//! `examples/python`: Confluent's client keeps every event in SQLite once, whatever comes again, late or out of order.

use std::process::Output;
use std::time::Instant;

use rusqlite::Connection;
use tempfile::TempDir;

use super::load::{self, CALLS, Framing, Load, RECORDS, Sent};
use super::table::{REFUSED, Row, WITHOUT};
use super::{example, fetched, run, try_run};
use crate::harness::registry::shared_registry;

#[test]
fn python_keeps_every_event_once_whatever_is_read_again() {
    let load = Load::shared(Framing::Plain);
    let sink = Sink::new();
    let read = |group: &str| sink.read(load, &["--group", &load.topic(group)]);
    assert_eq!(read("python"), told(RECORDS, CALLS * 3));
    sink.judge();

    // It goes on where it was; and it changes nothing to read everything again, as after a crash before the commit.
    assert_eq!(read("python"), told(0, 0));
    assert_eq!(read("python-again"), told(RECORDS, 0));
    sink.judge();
}

#[test]
fn python_reads_each_framing_with_and_without_the_registry_or_ends_at_once() {
    let registry = shared_registry().url();
    let asking = ["--registry", &registry];
    for framing in Framing::ALL {
        let without = if framing == Framing::Prefix {
            reads_nothing
        } else {
            reads_all
        };
        without(framing, &[]);
        // Who asks for schemas is told of a record that has none.
        let with = if framing == Framing::Plain {
            reads_nothing
        } else {
            reads_all
        };
        with(framing, &asking);
    }
}

fn reads_all(framing: Framing, registry: &[&str]) {
    let load = Load::shared(framing);
    let (sink, started) = (Sink::new(), Instant::now());
    let group = load.topic(&format!("python-{}", registry.len()));
    let told_all = sink.read(load, &[&["--group", &group], registry].concat());
    assert_eq!(told_all, told(RECORDS, CALLS * 3));
    sink.judge();
    let read = format!("{RECORDS} records, {} events", CALLS * 3);
    row(&sink, registry, framing, read, started);
}

fn reads_nothing(framing: Framing, registry: &[&str]) {
    let load = Load::shared(framing);
    let (sink, started) = (Sink::new(), Instant::now());
    let group = load.topic(&format!("python-{}", registry.len()));
    let output = sink.try_read(load, &[&["--group", &group], registry].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let events: i64 = sink
        .open()
        .query_row("SELECT count(*) FROM event", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(events, 0, "{output:?}");
    row(&sink, registry, framing, REFUSED.to_owned(), started);
}

fn row(sink: &Sink, registry: &[&str], framing: Framing, read: String, started: Instant) {
    let consumer = format!("Python, confluent-kafka {}", sink.version());
    let registry = if registry.is_empty() {
        WITHOUT
    } else {
        "its JSONDeserializer"
    };
    let row = Row {
        consumer,
        registry,
        framing,
        read,
    };
    row.write(started);
}

#[test]
fn python_shows_what_is_known_of_a_call_and_completes_it_when_the_rest_comes_late() {
    let late = Sent { call: 4, stage: 3 };
    let load = Load::publish("sqlite-late", Framing::Plain, |event| {
        event.call < 10 && *event != late
    });
    let sink = Sink::new();
    sink.read(&load, &[]);
    let status = load::status(4).to_owned();
    assert_eq!(sink.call(4), (status.clone(), 2, None));

    load.send(&late);
    assert_eq!(sink.read(&load, &[]), told(1, 1));
    let summary = "Call 4: he said \"ठीक है\".".to_owned();
    assert_eq!(sink.call(4), (status, 3, Some(summary)));
}

/// The database that an example fills.
struct Sink {
    dir: TempDir,
}

impl Sink {
    fn new() -> Self {
        let dir = TempDir::with_prefix("sqlite-").expect("a temporary directory");
        Self { dir }
    }

    /// Reads to the topics' end and returns what the example tells.
    fn read(&self, load: &Load, more: &[&str]) -> String {
        let output = self.try_read(load, more);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// [`Sink::read`] for what may fail.
    fn try_read(&self, load: &Load, more: &[&str]) -> Output {
        let script = example("python/calls_to_sqlite.py");
        let database = self.dir.path().join("calls.db");
        let paths = [script.to_str(), Some(&load.broker), database.to_str()];
        let mut arguments: Vec<&str> = paths.into_iter().flatten().collect();
        arguments.extend(["--once", "--prefix", &load.prefix]);
        arguments.extend(more);
        try_run(&fetched("python/venv/bin/python"), arguments)
    }

    fn version(&self) -> String {
        let ask = "import confluent_kafka; print(confluent_kafka.__version__, end='')";
        run(&fetched("python/venv/bin/python"), ["-c", ask])
    }

    /// Every event once, and every call whole.
    fn judge(&self) {
        let database = self.open();
        let mut ids = database
            .prepare("SELECT id FROM event ORDER BY id")
            .expect("the table");
        let ids: Vec<String> = ids
            .query_map([], |row| row.get(0))
            .expect("its rows")
            .map(|id| id.expect("text"))
            .collect();
        assert_eq!(ids, load::ids().into_iter().collect::<Vec<_>>());
        for call in 0..CALLS {
            let (status, events, summary) = self.call(call);
            assert_eq!((status.as_str(), events), (load::status(call), 3));
            assert!(summary.is_some());
        }
        let calls: i64 = database
            .query_row("SELECT count(*) FROM call", [], |row| row.get(0))
            .expect("a count");
        assert_eq!(calls, i64::try_from(CALLS).expect("few"));
    }

    /// Status, number of events and summary of a call.
    fn call(&self, call: usize) -> (String, i64, Option<String>) {
        let row = "SELECT status, events, summary FROM call WHERE call_id = ?";
        self.open()
            .query_row(row, [load::call_id(call)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .expect("the call's row")
    }

    fn open(&self) -> Connection {
        Connection::open(self.dir.path().join("calls.db")).expect("the example made it")
    }
}

fn told(read: usize, new: usize) -> String {
    format!("{read} records read, {new} events were new\n")
}
