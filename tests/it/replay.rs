//! A replay publishes what was published before, once more and in order, under the same ids; and nothing else.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use atoms_kafka_bridge::time::Timestamp;
use rusqlite::Connection;
use serde_json::Value;

use crate::harness::bridge::{Bridge, post};
use crate::harness::record::Record;
use crate::harness::{calls, kcat, shared_broker, unique, until};

#[test]
fn a_replay_publishes_what_is_meant_once_more_in_order_under_its_ids() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("replay"));
    let mut bridge = started(&broker, &prefix);
    post_all(&bridge);
    bridge.await_published();
    let before = await_records(&broker, &prefix, CALLS * STEPS);
    let mut expected: BTreeMap<String, usize> = ids().map(|id| (id, 1)).collect();

    // A dry run says where everything would go, and changes nothing.
    let status = status(&bridge);
    let lines = dry_run(&bridge, &["--call", "CALL-3"]);
    assert_eq!(lines.len(), STEPS);
    for line in &lines {
        let original = by_id(&before, line["id"].as_str().expect("an id"));
        assert_eq!(line["would"], "replay");
        assert_eq!(line["topics"], Value::from(vec![original.topic.clone()]));
        assert_eq!(line["key"], original.key());
    }
    assert_eq!(self::status(&bridge), status);

    // By call, beside the running bridge.
    let replayed_ms = Timestamp::now().unix_ms();
    assert_eq!(replay(&bridge, &["--call", "CALL-3"])["replayed"], STEPS);
    (0..STEPS).for_each(|step| *count(&mut expected, "CALL-3", step) += 1);
    let wanted = expected.values().sum();
    judge(
        &await_records(&broker, &prefix, wanted),
        &expected,
        replayed_ms,
    );

    // By type and webhook and time, while no bridge runs; nothing is published before the next start.
    assert_eq!(bridge.term(Duration::from_secs(10)), 0);
    let arguments = [
        "--type",
        "analytics-completed",
        "--webhook",
        "default",
        "--since",
        "1h",
    ];
    assert_eq!(replay(&bridge, &arguments)["replayed"], CALLS);
    let again = replay(&bridge, &arguments);
    assert_eq!(
        (&again["replayed"], &again["alreadyPending"]),
        (&0.into(), &CALLS.into())
    );
    assert_eq!(bridge.pending(), CALLS as u64);
    bridge.resume();
    (0..CALLS).for_each(|call| *count(&mut expected, &format!("CALL-{call}"), 3) += 1);

    // By sequence, twice.
    bridge.await_published();
    for _ in 0..2 {
        assert_eq!(
            replay(&bridge, &["--seq", "1..2", "--seq", "4"])["replayed"],
            3
        );
        bridge.await_published();
    }
    for (call, step) in [(0, 0), (1, 0), (3, 0)] {
        *count(&mut expected, &format!("CALL-{call}"), step) += 2;
    }
    let wanted = expected.values().sum();
    let records = await_records(&broker, &prefix, wanted);
    judge(&records, &expected, replayed_ms);
    println!(
        "replay: {} events, {} records behind four replays, each id as often as it was meant, in order",
        CALLS * STEPS,
        records.len()
    );

    let nothing = bridge.run(&["journal", "replay"]);
    assert_eq!(
        nothing.status.code(),
        Some(2),
        "everything at once must be said"
    );
    let none = bridge.run(&["journal", "replay", "--call", "CALL-nobody"]);
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn what_is_dead_can_be_replayed_and_what_is_gone_or_damaged_is_told() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("replay-dead"));
    let mut bridge = started(&broker, &prefix);
    post_all(&bridge);
    bridge.await_published();
    assert_eq!(bridge.term(Duration::from_secs(10)), 0);
    let conn = Connection::open(bridge.journal_path()).expect("the journal");
    conn.execute_batch(
        "UPDATE delivery SET dead = 'refused-by-kafka' WHERE seq = 1;
         DELETE FROM body WHERE seq = 2;
         UPDATE body SET body = CAST(replace(CAST(body AS TEXT), 'Collections', 'Collektions') AS BLOB) WHERE seq = 3;",
    )
    .expect("SQLite");
    drop(conn);
    bridge.resume();

    let would: Vec<Value> = dry_run(&bridge, &["--seq", "1..4"])
        .into_iter()
        .map(|line| line["would"].clone())
        .collect();
    assert_eq!(
        would,
        ["replay", "stay: body gone", "stay: body damaged", "replay"]
    );
    // What is damaged or gone can still be looked at.
    let listed = bridge.run(&["journal", "export", "--seq", "2..3"]);
    let listed: Vec<Value> = json_lines(&listed);
    assert_eq!(
        (&listed[0]["id"], listed[0].get("body")),
        (&calls::id("CALL-1", 0).into(), None)
    );
    assert_eq!(
        (&listed[1]["intact"], listed[1]["body"].is_string()),
        (&false.into(), true)
    );

    let dead = replay(&bridge, &["--state", "dead"]);
    assert_eq!(dead["replayed"], 1);
    let others = replay(&bridge, &["--seq", "2..3", "--seq", "4"]);
    let told = ["replayed", "gone", "damaged"].map(|name| others[name].as_u64());
    assert_eq!(told, [Some(1); 3]);
    bridge.await_published();
    let records = await_records(&broker, &prefix, CALLS * STEPS + 2);
    let times = |id: &str| {
        records
            .iter()
            .filter(|r| r.header("ce_id") == Some(id))
            .count()
    };
    let seen = [0, 1, 2, 3].map(|call| times(&calls::id(&format!("CALL-{call}"), 0)));
    assert_eq!(seen, [2, 1, 1, 2]);
    let status: Value =
        serde_json::from_slice(&bridge.run(&["journal", "status", "--json"]).stdout).expect("JSON");
    assert_eq!(status["dead"], 0);
}

/// Each id as often as expected, and its copies with one key, topic and value; offsets rise as the numbers do, and each
/// call's steps stand in order within what was published together.
fn judge(records: &[Record], expected: &BTreeMap<String, usize>, replayed_ms: i64) {
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut last = BTreeMap::<(&str, i32), u64>::new();
    let mut firsts = BTreeMap::<&str, &Record>::new();
    for record in records {
        let id = record.header("ce_id").expect("an id");
        let seq: u64 = record
            .header("bridge.seq")
            .expect("a number")
            .parse()
            .expect("a number");
        let before = last.insert((&record.topic, record.partition), seq);
        assert!(before < Some(seq), "{seq} behind {before:?} in {record:?}");
        *counts.entry(id).or_default() += 1;
        if let Some(first) = firsts.insert(id, record) {
            assert_eq!(
                (&first.topic, &first.key, &first.value),
                (&record.topic, &record.key, &record.value)
            );
            assert!(
                record.timestamp_ms >= replayed_ms,
                "stamped with the replay's time: {record:?}"
            );
        }
    }
    let counted: Vec<_> = counts
        .into_iter()
        .map(|(id, count)| (id.to_owned(), count))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(id, count)| (id.clone(), *count))
        .collect();
    assert_eq!(counted, expected);
}

fn started(broker: &str, prefix: &str) -> Bridge {
    Bridge::new(broker)
        .with("TOPICS__PREFIX", prefix)
        .with("TOPICS__PARTITIONS", "2")
        .start()
}

/// Step by step, the calls interleaved: the delivery of call c and step s has the sequence s × CALLS + c + 1.
fn post_all(bridge: &Bridge) {
    let mut client = bridge.client();
    for step in 0..STEPS {
        for call in 0..CALLS {
            let body = calls::delivery(&format!("CALL-{call}"), step);
            let answer = post(&mut client, "default", &body).expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
}

fn ids() -> impl Iterator<Item = String> {
    (0..CALLS).flat_map(|call| (0..STEPS).map(move |step| calls::id(&format!("CALL-{call}"), step)))
}

fn count<'a>(expected: &'a mut BTreeMap<String, usize>, call: &str, step: usize) -> &'a mut usize {
    expected
        .get_mut(&calls::id(call, step))
        .expect("it was posted")
}

fn by_id<'a>(records: &'a [Record], id: &str) -> &'a Record {
    records
        .iter()
        .find(|record| record.header("ce_id") == Some(id))
        .expect("it was published")
}

fn replay(bridge: &Bridge, select: &[&str]) -> Value {
    let arguments = [&["journal", "replay", "--json"], select].concat();
    let output = bridge.run(&arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// What the journal holds; how large its files are changes with the checkpoints of the bridge beside it.
fn status(bridge: &Bridge) -> Value {
    let told = bridge.run(&["journal", "status", "--json"]).stdout;
    let mut status: Value = serde_json::from_slice(&told).expect("JSON");
    assert!(
        status["fileBytes"].take().is_u64(),
        "the size of the files: {status}"
    );
    status
}

fn dry_run(bridge: &Bridge, select: &[&str]) -> Vec<Value> {
    let arguments = [&["journal", "replay", "--dry-run", "--json"], select].concat();
    json_lines(&bridge.run(&arguments))
}

fn json_lines(output: &Output) -> Vec<Value> {
    let lines = String::from_utf8_lossy(&output.stdout);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Waits until so many records are there, and reads all.
fn await_records(broker: &str, prefix: &str, count: usize) -> Vec<Record> {
    until(&format!("{count} records"), LIMIT, || {
        let mut records = Vec::new();
        for topic in TOPICS {
            records.append(&mut kcat::try_read(broker, &format!("{prefix}{topic}"))?);
        }
        if records.len() >= count {
            Ok(records)
        } else {
            Err(format!("{} records", records.len()))
        }
    })
}

const CALLS: usize = 8;
const STEPS: usize = 5;
const TOPICS: [&str; 4] = [
    "pre-conversation",
    "post-conversation",
    "analytics-completed",
    "unrecognized",
];
const LIMIT: Duration = Duration::from_secs(30);
