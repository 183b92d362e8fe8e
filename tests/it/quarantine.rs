//! What is refused for a wrong secret is not lost, and what is refused costs nobody who is signed.

use std::collections::BTreeSet;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::bridge::{Bridge, SECRET, post, post_with};
use crate::harness::http::Client;
use crate::harness::{SetOnDrop, calls, shared_broker, unique, until};

#[test]
fn a_hundred_deliveries_refused_for_a_wrong_secret_reach_their_topics_once_it_is_mended() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("quarantine"));
    let mut bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "4")
        .with_variable("ATOMS_WEBHOOK_SECRET", "not the sender's secret at all")
        .start();
    let mut ids = BTreeSet::new();
    let mut client = bridge.client();
    for (call, step) in steps() {
        let answer = post(&mut client, "default", &calls::delivery(&call, step));
        assert_eq!(answer.expect("an answer").status, 401);
        ids.insert(calls::id(&call, step));
    }
    let listed = await_listed(&bridge, 100);
    assert_eq!(listed[0]["reason"], "wrong-signature");
    assert_eq!(listed[0]["callId"], "CALL-0");
    assert!(listed.iter().all(|line| line["plausible"] == true));

    // With the wrong secret nothing comes of it, and nothing is lost by trying.
    let refused = bridge.run(&["quarantine", "retry", "--all", "--json"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(json(&refused)["refused"], 100);
    assert_eq!(bridge.pending(), 0);

    bridge.kill9();
    let mut bridge = bridge.with_variable("ATOMS_WEBHOOK_SECRET", SECRET);
    bridge.resume();
    let dry = bridge.run(&["quarantine", "retry", "--all", "--dry-run", "--json"]);
    assert_eq!(json(&dry)["wouldVerify"], 100);
    assert_eq!(
        await_listed(&bridge, 100).len(),
        100,
        "a dry run changes nothing"
    );

    // The first forty beside the running bridge, the rest while none runs: whoever has the lock does it.
    let retried_ms = now_ms();
    let first: Vec<String> = listed[..40]
        .iter()
        .map(|line| line["id"].to_string())
        .collect();
    let mut arguments = vec!["quarantine", "retry", "--json"];
    arguments.extend(first.iter().flat_map(|id| ["--id", id.as_str()]));
    assert_eq!(json(&bridge.run(&arguments))["stored"], 40);
    assert_eq!(await_listed(&bridge, 60).len(), 60);
    bridge.await_published();
    assert_eq!(bridge.term(Duration::from_secs(10)), 0);
    let rest = bridge.run(&["quarantine", "retry", "--webhook", "default", "--json"]);
    assert_eq!(json(&rest)["stored"], 60, "{rest:?}");
    assert_eq!(bridge.pending(), 60);
    bridge.resume();
    bridge.await_published();

    let records = calls::judge(&broker, &prefix, &ids);
    assert_eq!(await_listed(&bridge, 0), [] as [Value; 0]);
    let received: BTreeSet<String> = listed.iter().map(|l| text(&l["receivedAt"])).collect();
    for record in &records {
        assert!(
            record.timestamp_ms >= retried_ms,
            "stamped with the retry's time: {record:?}"
        );
        let received_at = text(&record.json()["receivedAt"]);
        assert!(
            received.contains(&received_at),
            "{received_at} of {record:?}"
        );
    }
    println!(
        "quarantine: 100 refused, 40 retried beside serve, 60 without it: {} records, each once, in order",
        records.len()
    );
}

#[test]
fn a_wrong_path_is_no_empty_quarantine() {
    let bridge = Bridge::new("127.0.0.1:1").with("JOURNAL__PATH", "elsewhere/journal.db");
    for command in [
        &["list"][..],
        &["retry", "--all"],
        &["retry", "--all", "--dry-run"],
        &["drop", "--all"],
    ] {
        let ended = bridge.run(&[&["quarantine"], command].concat());
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(told.contains("is [journal] path right?"), "{told}");
        assert_eq!(ended.status.code(), Some(1), "{command:?}");
    }
}

#[test]
fn a_delivery_that_came_again_in_the_meantime_is_published_once() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("quarantine-twice"));
    let bridge = Bridge::new(&broker).with("TOPICS__PREFIX", &prefix).start();
    let body = calls::delivery("CALL-1", 0);
    refuse(
        &mut bridge.client(),
        &[("x-signature", &"0".repeat(64))],
        &body,
    );
    await_listed(&bridge, 1);
    // The same bytes, but what was kept with them shows a signature that no secret made.
    assert_eq!(
        json(&bridge.run(&["quarantine", "retry", "--all", "--json"]))["refused"],
        1
    );
    let dropped = bridge.run(&["quarantine", "drop", "--all", "--json"]);
    assert_eq!(json(&dropped)["dropped"], 1);

    let mut bridge = bridge.with_variable("ATOMS_WEBHOOK_SECRET", "not the sender's secret at all");
    bridge.restart();
    let answer = post(&mut bridge.client(), "default", &body).expect("an answer");
    assert_eq!(answer.status, 401);
    await_listed(&bridge, 1);
    let mut bridge = bridge.with_variable("ATOMS_WEBHOOK_SECRET", SECRET);
    let early = bridge.run(&["quarantine", "retry", "--all"]);
    let told = String::from_utf8_lossy(&early.stdout).into_owned();
    assert!(
        told.contains("1 of them verify") && told.contains("SIGHUP"),
        "{told}"
    );
    bridge.restart();
    assert_eq!(bridge.post("default", &body).status, 200);
    let retried = json(&bridge.run(&["quarantine", "retry", "--all", "--json"]));
    assert_eq!(
        (&retried["stored"], &retried["duplicates"]),
        (&0.into(), &1.into())
    );
    bridge.await_published();
    calls::judge(&broker, &prefix, &BTreeSet::from([calls::id("CALL-1", 0)]));
    assert_eq!(await_listed(&bridge, 0), [] as [Value; 0]);
}

#[test]
fn a_wrong_second_factor_can_be_mended_and_its_value_is_in_no_file() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("quarantine-factor"));
    let configured = |value: &str| {
        format!(
            "[webhooks.default]\nsecrets = [\"env:ATOMS_WEBHOOK_SECRET\"]\n\
             header = {{ name = \"x-api-key\", value = \"literal:{value}\" }}\n"
        )
    };
    let bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with_file("bridge.toml", &configured("a value with a typing eror"))
        .start();
    let body = calls::delivery("CALL-1", 0);
    let factor = ("x-api-key", "a value without any error");
    let answer = post_with(&mut bridge.client(), "default", &[factor], &body);
    assert_eq!(answer.expect("an answer").status, 401);
    assert_eq!(await_listed(&bridge, 1)[0]["reason"], "second-factor");

    let mut bridge = bridge.with_file("bridge.toml", &configured(factor.1));
    bridge.restart();
    assert_eq!(
        json(&bridge.run(&["quarantine", "retry", "--all", "--json"]))["stored"],
        1
    );
    bridge.await_published();
    calls::judge(&broker, &prefix, &BTreeSet::from([calls::id("CALL-1", 0)]));
    for file in std::fs::read_dir(bridge.dir().join("data")).expect("a directory") {
        let path = file.expect("a file").path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        let found = bytes
            .windows(factor.1.len())
            .any(|part| part == factor.1.as_bytes());
        assert!(!found, "the second factor is in {}", path.display());
    }
}

#[test]
fn a_flood_of_100_000_unsigned_deliveries_leaves_the_journal_and_the_signed_untouched() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("quarantine-flood"));
    let bridge = Bridge::new(&broker).with("TOPICS__PREFIX", &prefix).start();
    let mut sent = 0;
    let alone = post_signed(&bridge, &mut sent, |posted| posted == 2000);
    bridge.await_published();
    let before = status(&bridge);

    // The journal neither grows nor changes while only the unsigned come.
    let began = Instant::now();
    flood(&bridge, FLOOD / 2);
    let half = began.elapsed();
    let between = status(&bridge);
    assert_eq!(before["usedBytes"], between["usedBytes"]);
    assert_eq!(before["rows"], between["rows"]);

    let over = AtomicBool::new(false);
    let (beside, took) = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let _over = SetOnDrop(&over);
            let began = Instant::now();
            flood(&bridge, FLOOD);
            began.elapsed()
        });
        let beside = post_signed(&bridge, &mut sent, |_| over.load(Ordering::Relaxed));
        (beside, flood.join().expect("the flood does not panic"))
    });
    bridge.await_published();
    let after = status(&bridge);
    assert_eq!(
        after["rows"], sent,
        "every signed delivery, and nothing else"
    );
    assert_eq!((&after["pending"], &after["dead"]), (&0.into(), &0.into()));
    let rows = |status: &Value| status["rows"].as_u64().expect("a number");
    let used = |status: &Value| status["usedBytes"].as_u64().expect("a number");
    let per_row_alone = used(&before) / rows(&before);
    let per_row_beside = (used(&after) - used(&between)) / (rows(&after) - rows(&between));
    assert!(
        per_row_beside < per_row_alone * 3 / 2,
        "{per_row_alone}, then {per_row_beside}"
    );

    let file_bytes = std::fs::metadata(bridge.dir().join("data/journal.db.quarantine.db"));
    let file_bytes = file_bytes.expect("a quarantine").len();
    assert!(file_bytes < 260 << 20, "{file_bytes}");
    let rate = |count: usize, took: Duration| count as f64 / took.as_secs_f64();
    println!(
        "flood: {FLOOD} unsigned refused beside the signed, {:.0}/s, and half as many alone, {:.0}/s; \
         signed alone {}; signed beside the flood {}; journal {per_row_alone} bytes a row alone, {per_row_beside} beside; \
         quarantine {file_bytes} bytes; resident {} MiB",
        rate(FLOOD, took),
        rate(FLOOD / 2, half),
        told(&alone),
        told(&beside),
        bridge.usage().rss_bytes >> 20,
    );
}

/// Posts unsigned deliveries of the size of real ones on a few connections; each must be refused.
fn flood(bridge: &Bridge, count: usize) {
    thread::scope(|scope| {
        for lane in 0..FLOOD_LANES {
            scope.spawn(move || {
                let mut client = bridge.client();
                let body = calls::delivery(&format!("CALL-flood-{lane}"), 0);
                for _ in 0..count / FLOOD_LANES {
                    refuse(&mut client, &[], &body);
                }
            });
        }
    });
}

/// Posts signed deliveries one after another until it is over; each must be stored. How long each took, sorted.
fn post_signed(bridge: &Bridge, sent: &mut usize, over: impl Fn(usize) -> bool) -> Vec<Duration> {
    let mut client = bridge.client();
    let mut took = Vec::new();
    while !over(took.len()) {
        let body = calls::delivery(&format!("CALL-{sent}"), 0);
        let began = Instant::now();
        let answer = post(&mut client, "default", &body).expect("an answer");
        took.push(began.elapsed());
        assert_eq!(answer.status, 200, "{}", answer.text());
        *sent += 1;
    }
    took.sort_unstable();
    took
}

fn told(took: &[Duration]) -> String {
    let at = |part: usize| took[(took.len() - 1) * part / 100];
    let total: Duration = took.iter().sum();
    let rate = took.len() as f64 / total.as_secs_f64();
    format!(
        "{} at {rate:.0}/s, p50 {:?}, p99 {:?}, slowest {:?}",
        took.len(),
        at(50),
        at(99),
        at(100)
    )
}

fn refuse(client: &mut Client, headers: &[(&str, &str)], body: &[u8]) {
    let answer = client.request("POST", "/webhooks/default", headers, body);
    assert_eq!(answer.expect("an answer").status, 401);
}

/// The steps of twenty calls, interleaved.
fn steps() -> impl Iterator<Item = (String, usize)> {
    (0..5).flat_map(|step| (0..20).map(move |call| (format!("CALL-{call}"), step)))
}

/// Waits until the quarantine holds so many, and lists them.
fn await_listed(bridge: &Bridge, count: usize) -> Vec<Value> {
    until(&format!("{count} in quarantine"), LIMIT, || {
        let output = bridge.run(&["quarantine", "list", "--json", "--limit", "1000"]);
        let lines: Vec<Value> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        if lines.len() == count {
            Ok(lines)
        } else {
            Err(format!("{} lines", lines.len()))
        }
    })
}

fn status(bridge: &Bridge) -> Value {
    json(&bridge.run(&["journal", "status", "--json"]))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn now_ms() -> i64 {
    atoms_kafka_bridge::time::Timestamp::now().unix_ms()
}

const FLOOD: usize = 100_000;
const FLOOD_LANES: usize = 4;
const LIMIT: Duration = Duration::from_secs(20);
