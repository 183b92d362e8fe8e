//! kcat as reader and writer: a client that we did not write, and read committed, as consumers must be.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::record::{Record, sort};
use super::until;

/// Everything that is committed on a topic now, by partition and offset. Values must be UTF-8.
///
/// # Errors
/// What kcat said, when the topic or the broker is not there.
pub(crate) fn try_read(broker: &str, topic: &str) -> Result<Vec<Record>, String> {
    let output = consume(broker, topic, &["-J"])?;
    let text =
        String::from_utf8(output).map_err(|error| format!("{topic}: {error}; use read_bytes"))?;
    Ok(records(&text))
}

/// [`try_read`] for a topic that must be there.
pub(crate) fn read(broker: &str, topic: &str) -> Vec<Record> {
    try_read(broker, topic).unwrap_or_else(|error| panic!("{error}"))
}

/// [`read`] for values that may be any bytes, as dead letters are.
pub(crate) fn read_bytes(broker: &str, topic: &str) -> Vec<Record> {
    let text = consume(broker, topic, &["-J"]).unwrap_or_else(|error| panic!("{error}"));
    let mut records = records(&String::from_utf8_lossy(&text));
    // The JSON form carries everything but bytes that are not UTF-8; those come by length in a second reading.
    let raw =
        consume(broker, topic, &["-f", "%p %o %S\n%s"]).unwrap_or_else(|error| panic!("{error}"));
    let mut rest = raw.as_slice();
    let mut values = std::collections::BTreeMap::new();
    while let Some((place, value)) = take_value(&mut rest) {
        values.insert(place, value);
    }
    for record in &mut records {
        record.value = values
            .remove(&(record.partition, record.offset))
            .expect("both readings see the same records");
    }
    records
}

/// Reads until a topic holds at least `count` records and returns all of them; a topic that is not there yet holds none.
///
/// Panics after `limit` with how many there were.
pub(crate) fn await_count(broker: &str, topic: &str, count: usize, limit: Duration) -> Vec<Record> {
    until(&format!("{count} records on {topic}"), limit, || {
        let records = try_read(broker, topic)?;
        if records.len() >= count {
            Ok(records)
        } else {
            Err(format!("{} records", records.len()))
        }
    })
}

/// Writes keyed records, each once, whatever is sent again; keys hold no tab, values no line feed.
pub(crate) fn produce<K: AsRef<str>, V: AsRef<str>>(broker: &str, topic: &str, records: &[(K, V)]) {
    let mut kcat = Command::new("kcat")
        .args(["-P", "-b", broker, "-t", topic, "-K", "\t"])
        .args(["-X", "enable.idempotence=true"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(HOW_TO_GET);
    let mut stdin = kcat.stdin.take().expect("stdin is piped");
    for (key, value) in records {
        writeln!(stdin, "{}\t{}", key.as_ref(), value.as_ref()).expect("kcat reads");
    }
    drop(stdin);
    let output = kcat.wait_with_output().expect("kcat is our child");
    assert!(
        output.status.success(),
        "kcat -P: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether a broker answers and knows itself, by kcat's metadata list.
pub(crate) fn answers(broker: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Metadata {
        brokers: Vec<serde_json::Value>,
    }
    let output = run(&["-L", "-J", "-b", broker, "-m", "2"])?;
    let metadata: Metadata = serde_json::from_slice(&output).map_err(|error| error.to_string())?;
    if metadata.brokers.is_empty() {
        Err("no broker is registered".to_owned())
    } else {
        Ok(())
    }
}

/// The in-sync replicas of each partition of a topic, by their brokers' ids.
///
/// # Errors
/// What kcat said, when the broker does not answer.
pub(crate) fn in_sync(broker: &str, topic: &str) -> Result<Vec<Vec<i64>>, String> {
    let output = run(&["-L", "-J", "-b", broker, "-t", topic, "-m", "5"])?;
    let metadata: Value = serde_json::from_slice(&output).map_err(|error| error.to_string())?;
    let ids = |partition: &Value| {
        let isrs = partition["isrs"].as_array().into_iter().flatten();
        isrs.filter_map(|isr| isr["id"].as_i64()).collect()
    };
    let partitions = metadata["topics"][0]["partitions"].as_array();
    Ok(partitions.into_iter().flatten().map(ids).collect())
}

/// Reads a topic from its beginning to its present end in one of kcat's output forms.
fn consume(broker: &str, topic: &str, form: &[&str]) -> Result<Vec<u8>, String> {
    let mut arguments = vec![
        "-C",
        "-b",
        broker,
        "-t",
        topic,
        "-o",
        "beginning",
        "-e",
        "-q",
    ];
    // A short wait: each partition's end is only reported after an empty fetch.
    arguments.extend([
        "-X",
        "isolation.level=read_committed",
        "-X",
        "fetch.wait.max.ms=20",
    ]);
    arguments.extend(form);
    run(&arguments)
}

fn run(arguments: &[&str]) -> Result<Vec<u8>, String> {
    // kcat waits without end for a partition that has no leader.
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new("timeout")
        .args(["60", "kcat"])
        .args(arguments)
        .output()
        .expect("timeout is in coreutils");
    assert_ne!(status.code(), Some(127), "{HOW_TO_GET}");
    if status.success() {
        Ok(stdout)
    } else {
        Err(String::from_utf8_lossy(&stderr).trim().to_owned())
    }
}

/// kcat's JSON form, one object a line.
fn records(text: &str) -> Vec<Record> {
    let mut records: Vec<Record> = text.lines().map(record).collect();
    sort(&mut records);
    records
}

fn record(line: &str) -> Record {
    #[derive(Deserialize)]
    struct Line {
        topic: String,
        partition: i32,
        offset: i64,
        ts: i64,
        #[serde(default)]
        headers: Vec<Option<String>>,
        key: Option<String>,
        payload: Option<String>,
    }
    let line: Line =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in kcat's {line}"));
    let mut headers = line.headers.into_iter().map(Option::unwrap_or_default);
    Record {
        topic: line.topic,
        partition: line.partition,
        offset: line.offset,
        timestamp_ms: line.ts,
        key: line.key,
        headers: std::iter::from_fn(|| Some((headers.next()?, headers.next()?))).collect(),
        value: line.payload.unwrap_or_default().into_bytes(),
    }
}

/// Takes `partition offset length`, a line feed and that many bytes off the front.
fn take_value(rest: &mut &[u8]) -> Option<((i32, i64), Vec<u8>)> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let (head, tail) = rest.split_at(end);
    let mut numbers = std::str::from_utf8(head).ok()?.split(' ');
    let place = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    // A null value has the length -1.
    let length: i64 = numbers.next()?.parse().ok()?;
    let (value, tail) = tail
        .get(1..)?
        .split_at_checked(usize::try_from(length).unwrap_or(0))?;
    *rest = tail;
    Some((place, value.to_vec()))
}

const HOW_TO_GET: &str =
    "kcat is not installed: apt-get install kcat, or run tests/run once as root";
