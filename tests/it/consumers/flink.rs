//! `examples/flink`: a GROUP BY over a topic counts each call once, whatever was replayed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use super::load::{CALLS, Load, REPLAYED_CALLS};
use super::{example, fetched, run, table};

#[test]
fn flink_counts_how_calls_ended() {
    let load = Load::shared();
    let started = Instant::now();
    let printed = run_sql(load);
    let found = format!("{} records, {CALLS} calls", CALLS + REPLAYED_CALLS);
    table::row("Flink SQL 2.3.0", "plain JSON", &found, started);

    let third = (CALLS / 3).to_string();
    let wanted =
        ["busy", "completed", "no-answer"].map(|status| (status, (third.as_str(), "49.5")));
    assert_eq!(newest(&printed), BTreeMap::from(wanted), "{printed}");
}

/// Runs the statements of the example with the test's broker and topics.
fn run_sql(load: &Load) -> String {
    let dir = TempDir::with_prefix("flink-").expect("a temporary directory");
    let statements = fs::read_to_string(example("flink/calls.sql")).expect("a file");
    let statements = statements
        .replace("broker:9092", &load.broker)
        .replace("'atoms.", &format!("'{}", load.prefix));
    let file = dir.path().join("calls.sql");
    fs::write(&file, statements).expect("the directory is writable");
    let temporary = format!("-Djava.io.tmpdir={}", dir.path().display());
    let jars = format!("{}/*", fetched("flink/jars").display());
    let program = example("flink/RunSql.java");
    let mut arguments = vec!["-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
    arguments.extend(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", &temporary]);
    arguments.extend(["-cp", &jars, program.to_str().expect("UTF-8")]);
    arguments.push(file.to_str().expect("UTF-8"));
    run(Path::new("java"), arguments)
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
