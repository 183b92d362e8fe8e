//! `examples/connect`: Kafka Connect writes every event into a row of PostgreSQL, a replayed one into the same.

use std::fs;
use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use super::load::{self, CALLS, LIMIT, Load};
use super::postgres::Postgres;
use super::{example, fetched, table};
use crate::harness::process::Process;
use crate::harness::{ports, until};

#[test]
fn connect_writes_every_event_into_one_row() {
    let load = Load::shared();
    let database = Postgres::start();
    let started = Instant::now();
    let connect = Connect::start(load, &database);
    until("every event to be a row", LIMIT, || {
        let rows = database.try_query("SELECT count(*) FROM atoms_event")?;
        if rows == [(CALLS * 3).to_string()] {
            Ok(())
        } else {
            Err(format!("{rows:?}; its log:\n{}", connect.log_tail()))
        }
    });
    let found = format!("{} events", CALLS * 3);
    table::row(
        "Kafka Connect 4.3.1, Debezium JDBC sink 3.6.0",
        "plain JSON",
        &found,
        started,
    );

    let ids = database.query("SELECT id FROM atoms_event ORDER BY id");
    assert_eq!(ids, load::ids().into_iter().collect::<Vec<_>>());
    database.query(include_str!("../../../examples/connect/call.sql"));
    let calls = database.query("SELECT * FROM call ORDER BY callid");
    let wanted: Vec<String> = (0..CALLS).map(row).collect();
    assert_eq!(calls, wanted);
}

/// A call as `call.sql` shows it.
fn row(call: usize) -> String {
    let (id, status) = (load::call_id(call), load::status(call));
    format!("{id}|3|2026-05-08T07:52:48.164Z|{status}|49.5|Call {call}: he said \"ठीक है\".")
}

/// Connect in one process, with the sink.
struct Connect {
    process: Process,
    _dir: TempDir,
}

impl Connect {
    fn start(load: &Load, database: &Postgres) -> Self {
        let dir = TempDir::with_prefix("connect-").expect("a temporary directory");
        let write = |name: &str, replaced: &[(&str, &str)], more: &str| {
            let text = fs::read_to_string(example(&format!("connect/{name}"))).expect("a file");
            let text = replaced.iter().fold(text, |text, (from, to)| {
                assert!(text.contains(from), "no {from} in {name}");
                text.replace(from, to)
            });
            fs::write(dir.path().join(name), text + more).expect("the directory is writable");
        };
        let plugins = fetched("connect/plugins").display().to_string();
        let own = [
            ("broker:9092", load.broker.as_str()),
            ("=plugins", &format!("={plugins}")),
        ];
        let rest = format!("listeners=HTTP://{}\n", ports::free_address());
        write("worker.properties", &own, &rest);
        let own = [
            ("jdbc:postgresql://database:5432/calls", database.jdbc_url()),
            ("atoms.", load.prefix.clone()),
            ("name=atoms-events", format!("name={}events", load.prefix)),
        ];
        let own = own.each_ref().map(|(from, to)| (*from, to.as_str()));
        write("sink.properties", &own, "");

        let jars = format!("{}/*", fetched("connect/jars").display());
        let jvm = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        let log = [
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            &jars,
        ];
        let main = "org.apache.kafka.connect.cli.ConnectStandalone";
        let arguments = jvm.into_iter().chain(log);
        let arguments = arguments.chain([main, "worker.properties", "sink.properties"]);
        let process = Process::spawn(Path::new("java"), arguments, dir.path(), |_| {});
        Self { process, _dir: dir }
    }

    fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}
