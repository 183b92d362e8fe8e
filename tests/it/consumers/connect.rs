//! `examples/connect`: Kafka Connect writes every event into a row of PostgreSQL, a replayed one into the same.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use super::load::{self, CALLS, Framing, LIMIT, Load};
use super::postgres::Postgres;
use super::table::{REFUSED, Row, WITHOUT};
use super::{example, fetched};
use crate::harness::http::Client;
use crate::harness::process::Process;
use crate::harness::{ports, shared_broker, until};

#[test]
fn connect_writes_every_event_into_one_row_and_stops_at_a_value_with_a_prefix() {
    let database = Postgres::start();
    let _all = Framing::ALL.map(Load::shared);
    let started = Instant::now();
    let connect = Connect::start(&database);
    for framing in [Framing::Plain, Framing::Header] {
        connect.await_rows(&database, framing);
        row(framing, format!("{} events", CALLS * 3), started);
        let sql = format!("SELECT id FROM {} ORDER BY id", table_of(framing));
        let wanted: Vec<String> = load::ids().into_iter().collect();
        assert_eq!(database.query(&sql), wanted);
    }
    connect.await_failure(Framing::Prefix);
    row(Framing::Prefix, REFUSED.to_owned(), started);
    let sql = "SELECT FROM pg_tables WHERE tablename = 'atoms_event_prefix'";
    assert_eq!(database.query(sql).len(), 0);

    database.query(include_str!("../../../examples/connect/call.sql"));
    let calls = database.query("SELECT * FROM call ORDER BY callid");
    let wanted: Vec<String> = (0..CALLS).map(call_row).collect();
    assert_eq!(calls, wanted);
}

fn row(framing: Framing, read: String, started: Instant) {
    let row = Row {
        consumer: "Kafka Connect 4.3.1, Debezium JDBC sink 3.6.0, PostgreSQL".to_owned(),
        registry: WITHOUT,
        framing,
        read,
    };
    row.write(started);
}

/// The table that the sink makes; the example's own for plain values.
fn table_of(framing: Framing) -> String {
    match framing {
        Framing::Plain => "atoms_event".to_owned(),
        Framing::Header | Framing::Prefix => format!("atoms_event_{}", framing.name()),
    }
}

/// A call as `call.sql` shows it.
fn call_row(call: usize) -> String {
    let (id, status) = (load::call_id(call), load::status(call));
    format!("{id}|3|2026-05-08T07:52:48.164Z|{status}|49.5|Call {call}: he said \"ठीक है\".")
}

/// Connect in one process, with the sink for each framing.
struct Connect {
    process: Process,
    rest: SocketAddr,
    _dir: TempDir,
}

impl Connect {
    fn start(database: &Postgres) -> Self {
        let dir = TempDir::with_prefix("connect-").expect("a temporary directory");
        let rest = ports::free_address();
        let plugins = fetched("connect/plugins").display().to_string();
        let worker = adapted(
            "worker.properties",
            &[
                ("broker:9092", &shared_broker().address()),
                ("=plugins", &format!("={plugins}")),
            ],
        );
        let worker = format!("{worker}\nlisteners=HTTP://{rest}\n");
        let mut files = vec![("worker.properties".to_owned(), worker)];
        files.extend(Framing::ALL.map(|framing| {
            let sink = sink(framing, database);
            (format!("sink-{}.properties", framing.name()), sink)
        }));
        for (name, text) in &files {
            fs::write(dir.path().join(name), text).expect("the directory is writable");
        }

        let jars = format!("{}/*", fetched("connect/jars").display());
        let jvm = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        let log = [
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            &jars,
        ];
        let main = "org.apache.kafka.connect.cli.ConnectStandalone";
        let arguments = jvm.into_iter().chain(log).chain([main]);
        let arguments = arguments.chain(files.iter().map(|(name, _)| name.as_str()));
        let process = Process::spawn(Path::new("java"), arguments, dir.path(), |_| {});
        Self {
            process,
            rest,
            _dir: dir,
        }
    }

    fn await_rows(&self, database: &Postgres, framing: Framing) {
        until("every event to be a row", LIMIT, || {
            let sql = format!("SELECT count(*) FROM {}", table_of(framing));
            let rows = database.try_query(&sql)?;
            if rows == [(CALLS * 3).to_string()] {
                Ok(())
            } else {
                Err(format!("{rows:?}; its log:\n{}", self.process.log_tail()))
            }
        });
    }

    /// Waits until Connect says that a sink has ended over a record that it cannot read.
    fn await_failure(&self, framing: Framing) {
        let name = connector(framing);
        until("the sink to fail", LIMIT, || {
            let answer = Client::new(self.rest)
                .get(&format!("/connectors/{name}/status"))
                .map_err(|error| error.to_string())?;
            let told = answer.text();
            if told.contains("FAILED") && told.contains("JsonConverter") {
                Ok(())
            } else {
                Err(told)
            }
        });
    }
}

fn connector(framing: Framing) -> String {
    format!("{}events", Load::shared(framing).prefix)
}

fn sink(framing: Framing, database: &Postgres) -> String {
    let table = format!("collection.name.format={}", table_of(framing));
    let replaced = [
        ("jdbc:postgresql://database:5432/calls", database.jdbc_url()),
        ("name=atoms-events", format!("name={}", connector(framing))),
        ("collection.name.format=atoms_event", table),
        ("atoms.", Load::shared(framing).prefix.clone()),
    ];
    adapted(
        "sink.properties",
        &replaced.each_ref().map(|(from, to)| (*from, to.as_str())),
    )
}

/// A file of the example with the test's own places in it.
fn adapted(name: &str, replaced: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(example(&format!("connect/{name}"))).expect("a file");
    replaced.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "no {from} in {name}");
        text.replace(from, to)
    })
}
