//! Kafka's own Java programs: the broker's jars, its tools, its producer and its console consumer.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::record::{Record, sort};

/// Where `tests/run` put the jars.
pub(crate) fn jars() -> PathBuf {
    let jars = brought("kafka/jars");
    assert!(
        jars.is_dir(),
        "no Kafka in {}: run tests/run once, it fetches the jars",
        jars.display()
    );
    jars
}

/// Where `tests/run` puts what it fetches: beside the profile's folder in the target directory.
pub(crate) fn brought(name: &str) -> PathBuf {
    let bridge = Path::new(env!("CARGO_BIN_EXE_atoms-kafka-bridge"));
    let target = bridge.ancestors().nth(2).expect("target/PROFILE/BINARY");
    target.join(name)
}

/// The class path of all jars, in Java's own wildcard form.
pub(crate) fn class_path() -> String {
    format!("{}/*", jars().display())
}

/// Runs one of Kafka's command line tools against a broker and returns what it printed. Panics when it fails.
pub(crate) fn tool(broker: &str, class: &str, arguments: &[&str]) -> String {
    run(&[class, "--bootstrap-server", broker], arguments, "")
}

/// The partition that Kafka's own producer picks for each key; the records are really sent, their values empty objects.
pub(crate) fn partitions(broker: &str, topic: &str, keys: &[String]) -> BTreeMap<String, i32> {
    let printed = run(&[PARTITIONS, broker, topic], &[], &keys.join("\n"));
    printed
        .lines()
        .map(|line| line.split_once('\t').expect("key, tab, partition"))
        .map(|(key, partition)| (key.to_owned(), partition.parse().expect("a partition")))
        .collect()
}

/// The first `count` committed records of a topic, by Java's console consumer. Panics when there are fewer.
pub(crate) fn read(broker: &str, topic: &str, count: usize) -> Vec<Record> {
    let count_text = count.to_string();
    let mut arguments = vec![
        "--topic",
        topic,
        "--from-beginning",
        "--max-messages",
        &count_text,
    ];
    arguments.extend([
        "--timeout-ms",
        "15000",
        "--isolation-level",
        "read_committed",
    ]);
    for property in PRINTED {
        arguments.extend(["--formatter-property", property]);
    }
    let printed = tool(
        broker,
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        &arguments,
    );
    let lines = printed.split_terminator(RECORD_END);
    let mut records: Vec<Record> = lines
        .map(|line| record(topic, line).unwrap_or_else(|| panic!("not a record: {line:?}")))
        .collect();
    assert_eq!(records.len(), count, "records on {topic}");
    sort(&mut records);
    records
}

fn run(program: &[&str], arguments: &[&str], input: &str) -> String {
    let mut java = Command::new("java")
        .args([
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        ])
        .args(["-cp", &class_path()])
        .args(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("java is not installed: run tests/run once as root");
    let mut stdin = java.stdin.take().expect("stdin is piped");
    stdin
        .write_all(input.as_bytes())
        .expect("java reads its input");
    drop(stdin);
    let output = java.wait_with_output().expect("java is our child");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "java {program:?} {arguments:?}: {printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

/// `CreateTime:1⟂Partition:0⟂Offset:0⟂name:value⟃name:value⟂key⟂value`
fn record(topic: &str, line: &str) -> Option<Record> {
    let mut fields = line.splitn(6, FIELD_END);
    let mut number = |prefix: &str| fields.next()?.strip_prefix(prefix)?.parse::<i64>().ok();
    let (timestamp_ms, partition, offset) = (
        number("CreateTime:")?,
        number("Partition:")?,
        number("Offset:")?,
    );
    let headers = fields.next()?;
    let headers = if headers == "NO_HEADERS" { "" } else { headers };
    let key = fields.next()?;
    Some(Record {
        topic: topic.to_owned(),
        partition: i32::try_from(partition).ok()?,
        offset,
        timestamp_ms,
        key: (key != "null").then(|| key.to_owned()),
        headers: headers
            .split_terminator(HEADER_END)
            .map(|header| {
                header
                    .split_once(':')
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
            })
            .collect::<Option<_>>()?,
        value: fields.next()?.as_bytes().to_vec(),
    })
}

/// A program of one file, which `java` compiles as it starts.
const PARTITIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/java/Partitions.java");

// Separators that no key, header or JSON text holds unescaped.
const FIELD_END: char = '\u{1f}';
const HEADER_END: char = '\u{1e}';
const RECORD_END: char = '\u{1d}';
const PRINTED: [&str; 8] = [
    "print.timestamp=true",
    "print.partition=true",
    "print.offset=true",
    "print.headers=true",
    "print.key=true",
    "key.separator=\u{1f}",
    "headers.separator=\u{1e}",
    "line.separator=\u{1d}",
];
