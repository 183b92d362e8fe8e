//! The kcat lines of `examples/README.md`, taken from the page itself and run as they stand there.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Instant;

use super::load::{self, CALLS, Framing, Load, RECORDS, REPLAYED_CALLS};
use super::table::{Row, WITHOUT};

#[test]
fn every_kcat_line_of_the_page_reads_what_it_says() {
    let load = Load::shared(Framing::Plain);
    let lines = lines();
    let started = Instant::now();
    let [ended, group, call, once, hour, dead] =
        [0, 1, 2, 3, 4, 5].map(|line| run(load, &lines[line]));

    assert_ended(&ended);
    assert_eq!(group.len(), RECORDS);
    assert_eq!(
        run(load, &lines[1]),
        Vec::<String>::new(),
        "the group has read it all"
    );

    let stages: Vec<_> = call
        .iter()
        .map(|line| line.split("\"stage\":").nth(1).expect("a stage")[..1].to_owned())
        .collect();
    assert_eq!(stages, ["1", "2", "3"]);

    let wanted: Vec<String> = load::ids()
        .into_iter()
        .map(|id| format!("ce_id={id}"))
        .collect();
    assert_eq!(once, wanted);

    let of_hour: BTreeSet<_> = hour
        .iter()
        .map(|line| line.split_once(' ').expect("time and key").1)
        .collect();
    assert_eq!((hour.len(), of_hour.len()), (CALLS + REPLAYED_CALLS, CALLS));

    let [headers, value] = dead.as_slice() else {
        panic!("one dead letter: {dead:?}");
    };
    assert!(headers.contains("error.reason="), "{headers}");
    assert_eq!(value.as_bytes(), load::DEAD_LETTER);

    let read = format!("{} records, {} events", group.len(), once.len());
    row(Framing::Plain, read, started);
}

#[test]
fn kcat_reads_values_with_a_header_as_they_are_and_takes_a_prefix_away() {
    let lines = lines();
    let _all = Framing::ALL.map(Load::shared);
    let started = Instant::now();
    let group = run(Load::shared(Framing::Header), &lines[1]);
    assert_eq!(group.len(), RECORDS);
    assert_ended(&run(Load::shared(Framing::Header), &lines[0]));
    row(Framing::Header, format!("{RECORDS} records"), started);

    let started = Instant::now();
    let prefixed = run(Load::shared(Framing::Prefix), &lines[6]);
    assert_ended(&prefixed);
    let read = format!("{} records of one topic", prefixed.len());
    row(Framing::Prefix, read, started);
}

/// Key and canonical event of every call's end, the replayed ones twice.
fn assert_ended(lines: &[String]) {
    assert_eq!(lines.len(), CALLS + REPLAYED_CALLS);
    for line in lines {
        let (key, value) = line.split_once(' ').expect("key and value");
        let event: serde_json::Value = serde_json::from_str(value).expect("the canonical event");
        let found = (&event["callId"], &event["stage"]);
        assert_eq!(found, (&key.into(), &2.into()));
    }
}

fn row(framing: Framing, read: String, started: Instant) {
    let consumer = "kcat 1.7.1".to_owned();
    let row = Row {
        consumer,
        registry: WITHOUT,
        framing,
        read,
    };
    row.write(started);
}

/// The commands of the section, one a block.
fn lines() -> [String; 7] {
    let page = include_str!("../../../examples/README.md");
    let section = page.split("\n## kcat\n").nth(1).expect("a section");
    let section = section.split("\n## ").next().expect("its text");
    let blocks: Vec<String> = section
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().expect("its end").to_owned())
        .collect();
    blocks
        .try_into()
        .expect("as many blocks as there are checks here")
}

/// Runs what the page says, with the test's broker and topics in place of the page's.
fn run(load: &Load, line: &str) -> Vec<String> {
    let group = format!("{}my-team", load.prefix);
    let line = line
        .replace("broker:9092", &load.broker)
        .replace("atoms.", &load.prefix)
        .replace("my-team", &group);
    let output = Command::new("timeout")
        .args(["60", "bash", "-c", &line])
        .output()
        .expect("timeout is in coreutils");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (out, log) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{line}\n{out}\n{log}");
    out.lines().map(str::to_owned).collect()
}
