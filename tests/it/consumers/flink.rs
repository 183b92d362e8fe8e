//! `examples/flink`: a GROUP BY over a topic counts each call once, whatever was replayed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Instant;

use tempfile::TempDir;

use super::load::{CALLS, Framing, Load, REPLAYED_CALLS};
use super::table::{REFUSED, Row, WITHOUT};
use super::{example, fetched, try_run};

#[test]
fn flink_counts_how_calls_ended_and_fails_at_a_value_with_a_prefix() {
    let _all = Framing::ALL.map(Load::shared);
    let started = Instant::now();
    let output = run_sql(&Framing::ALL);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (printed, log) = (text(output.stdout), text(output.stderr));
    // Each table that was made is told with OK, and then the query's rows follow.
    let [_, plain, header, prefix] = printed.split("OK\n").collect::<Vec<_>>()[..] else {
        panic!("{printed}{log}");
    };

    let third = (CALLS / 3).to_string();
    let wanted =
        ["busy", "completed", "no-answer"].map(|status| (status, (third.as_str(), "49.5")));
    let wanted = BTreeMap::from(wanted);
    let read = format!("{} records, {CALLS} calls", CALLS + REPLAYED_CALLS);
    for (framing, printed) in [(Framing::Plain, plain), (Framing::Header, header)] {
        assert_eq!(newest(printed), wanted, "{printed}{log}");
        row(framing, read.clone(), started);
    }
    assert_eq!(newest(prefix).len(), 0, "{prefix}");
    assert!(log.contains("Failed to deserialize JSON"), "{log}");
    assert_eq!(output.status.code(), Some(1));
    row(Framing::Prefix, REFUSED.to_owned(), started);
}

fn row(framing: Framing, read: String, started: Instant) {
    let row = Row {
        consumer: "Flink SQL 2.3.0".to_owned(),
        registry: WITHOUT,
        framing,
        read,
    };
    row.write(started);
}

/// Runs the statements of the example for each load, one after another in one Flink.
fn run_sql(framings: &[Framing]) -> Output {
    let dir = TempDir::with_prefix("flink-").expect("a temporary directory");
    let statements: String = framings
        .iter()
        .map(|framing| statements(*framing))
        .collect();
    let file = dir.path().join("calls.sql");
    fs::write(&file, statements).expect("the directory is writable");
    let temporary = format!("-Djava.io.tmpdir={}", dir.path().display());
    let jars = format!("{}/*", fetched("flink/jars").display());
    let program = example("flink/RunSql.java");
    let mut arguments = vec!["-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
    arguments.extend(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", &temporary]);
    arguments.extend(["-cp", &jars, program.to_str().expect("UTF-8")]);
    arguments.push(file.to_str().expect("UTF-8"));
    try_run(Path::new("java"), arguments)
}

/// The example with the test's broker and topics, and with a table of its own for each load.
fn statements(framing: Framing) -> String {
    let load = Load::shared(framing);
    let statements = fs::read_to_string(example("flink/calls.sql")).expect("a file");
    statements
        .replace("broker:9092", &load.broker)
        .replace("'atoms.", &format!("'{}", load.prefix))
        .replace("TABLE event", &format!("TABLE event_{}", framing.name()))
        .replace("FROM event", &format!("FROM event_{}", framing.name()))
}

/// Of each status, its count and mean in the last row that says them: `| +U | busy | 100 | 49.5 |`.
fn newest(printed: &str) -> BTreeMap<&str, (&str, &str)> {
    let rows = printed.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match cells[..] {
            ["", "+I" | "+U", status, calls, seconds, ""] => Some((status, (calls, seconds))),
            _ => None,
        }
    });
    rows.collect()
}
