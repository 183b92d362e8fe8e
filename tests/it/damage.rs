//! What is left of a journal that was cut, flipped or partly wiped: exactly what a sound disk would have kept, never
//! garbage, and the rest goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use atoms_kafka_bridge::journal::Journal;
use atoms_kafka_bridge::journal::read::{Filter, Viewer};
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::bridge::Bridge;
use crate::harness::{calls, kcat, shared_broker, unique};

#[test]
fn a_journal_cut_anywhere_holds_exactly_what_was_committed_before_the_cut() {
    let Killed { dir, sizes, bodies } = killed_before_a_checkpoint();
    let wal = fs::read(dir.path().join("journal.db-wal")).expect("a WAL");
    let frames = (32..=wal.len()).step_by(24 + PAGE);
    let near = frames.flat_map(|at| [at.saturating_sub(1), at, at + 1]);
    let cuts: BTreeSet<usize> = near
        .chain((0..wal.len()).step_by(2039))
        .filter(|at| *at <= wal.len())
        .collect();
    let mut found_at = BTreeMap::new();
    for cut in &cuts {
        let found = reopened(dir.path(), &wal[..*cut], &bodies);
        let committed = sizes.iter().filter(|size| **size <= *cut).count();
        assert_eq!(found, committed, "cut at {cut} of {}", wal.len());
        found_at.insert(*cut, found);
    }
    assert_eq!(
        found_at.last_key_value(),
        Some((&wal.len(), &bodies.len())),
        "whole, all are there"
    );
    println!(
        "{} answered 200, WAL of {} bytes, cut at {} offsets; found again:",
        bodies.len(),
        wal.len(),
        cuts.len()
    );
    for (cut, found) in found_at.iter().step_by(cuts.len() / 12) {
        println!(
            "  cut at {cut:>7}: {found:>3} of {} whose commit ended before",
            bodies.len()
        );
    }
}

/// Only where a disk lost what it had synced can an answered delivery be gone; what nobody was answered for is.
#[test]
fn a_bridge_started_on_a_cut_journal_publishes_what_it_holds_and_takes_more() {
    let Killed { dir, sizes, bodies } = killed_before_a_checkpoint();
    let wal = dir.path().join("journal.db-wal");
    let kept = bodies.len() / 2;
    let torn = sizes[kept - 1] + 5000;
    fs::OpenOptions::new()
        .write(true)
        .open(&wal)
        .and_then(|file| file.set_len(torn as u64))
        .expect("cut");
    let (mut bridge, prefix) = bridge_on(dir.path());
    bridge.resume();
    let answer = bridge.post("default", &calls::delivery("CALL-cut", kept));
    assert_eq!(answer.status, 200);
    bridge.await_published();
    let ids = (0..=kept).map(|step| calls::id("CALL-cut", step)).collect();
    calls::judge(&shared_broker().address(), &prefix, &ids);
}

#[test]
fn each_bit_of_a_stored_body_flipped_is_found_and_set_aside() {
    let (mut bridge, _) = unreachable("flips");
    let (small, mut client) = (body(0, 1).len() * 8, bridge.client());
    // Each bit of a small body, a sample of a large one's, and between them some that stay whole.
    let big = 64;
    for nth in 0..small + big {
        let size = if nth < small { 1 } else { 100_000 };
        for (what, body) in [
            ("flipped", body(nth, size)),
            ("whole", body(nth + 100_000, 1)),
        ] {
            if what == "flipped" || nth % 10 == 0 {
                let answer =
                    crate::harness::bridge::post(&mut client, "default", &body).expect("an answer");
                assert_eq!(answer.status, 200);
            }
        }
    }
    assert_eq!(bridge.term(LIMIT), 0);
    let path = bridge.journal_path();
    let mut file = fs::read(&path).expect("the journal");
    for nth in 0..small + big {
        // A large body lies on pages of its own: a letter far behind its head, wherever that is.
        let marker = format!("<{nth:05}:{:02}>", nth % MARKERS);
        let (wanted, byte) = if nth < small {
            (body(nth, 1)[..HEAD].to_vec(), nth / 8)
        } else {
            (marker.into_bytes(), 3)
        };
        // SQLite leaves old copies behind where a page was split.
        let places: Vec<usize> = memchr::memmem::find_iter(&file, &wanted).collect();
        assert!(!places.is_empty(), "{}", String::from_utf8_lossy(&wanted));
        for at in places {
            file[at + byte] ^= 1 << (nth % 8);
        }
    }
    fs::write(&path, &file).expect("the journal");

    let (mut bridge, prefix) = reachable(bridge, "flips");
    bridge.resume();
    bridge.await_published();
    let dead = list(&bridge, "dead");
    let whole = (small + big).div_ceil(10);
    assert_eq!(dead.len(), small + big);
    assert!(
        dead.iter().all(|row| row["reason"] == "checksum-mismatch"),
        "{:?}",
        dead[0]
    );
    let alarms = bridge
        .log()
        .matches("the disk has damaged a stored body")
        .count();
    assert_eq!(alarms, small + big);
    let records = kcat::await_count(
        &shared_broker().address(),
        &format!("{prefix}post-conversation"),
        whole,
        LIMIT,
    );
    assert_eq!(
        records.len(),
        whole,
        "what is whole is published, and nothing else"
    );
    assert_eq!(bridge.post("default", &body(999_999, 1)).status, 200);
    println!(
        "{small} bits of a body of {} bytes and {big} of bodies of 100 kB flipped: {} set aside, {whole} whole published",
        small / 8,
        dead.len()
    );
}

#[test]
fn a_wiped_page_costs_the_deliveries_on_it_and_keeps_nobody_out() {
    let (mut bridge, _) = unreachable("wiped");
    let bodies: Vec<Vec<u8>> = (0..WIPED)
        .map(|step| calls::delivery("CALL-wiped", step))
        .collect();
    for answer in bridge
        .post_lanes("default", std::slice::from_ref(&bodies))
        .remove(0)
    {
        assert_eq!(answer.expect("an answer").status, 200);
    }
    assert_eq!(bridge.term(LIMIT), 0);
    let path = bridge.journal_path();
    let sound = fs::read(&path).expect("the journal");
    let pages = pages(&path);
    let leaf = |table: &str| {
        let of = |(name, kind, _): &&(String, String, usize)| name == table && kind == "leaf";
        let leaves: Vec<_> = pages.iter().filter(of).collect();
        assert!(leaves.len() > 2, "{table} has {} leaves", leaves.len());
        leaves[leaves.len() / 2].2
    };
    let root = |table: &str| {
        pages
            .iter()
            .find(|(name, ..)| name == table)
            .expect("a page")
            .2
    };
    let cases = [
        ("body", leaf("body"), 80),
        ("delivery", leaf("delivery"), 240),
        ("seen, the ids", leaf("seen"), 0),
        ("body, its root", root("body"), WIPED),
    ];
    for (what, page, most) in cases {
        let mut wiped = sound.clone();
        wiped[(page - 1) * PAGE..page * PAGE].fill(0);
        let dir = TempDir::new().expect("a directory");
        fs::write(dir.path().join("journal.db"), &wiped).expect("a copy");
        let (mut bridge, prefix) = bridge_on(dir.path());
        bridge.resume();
        crate::harness::until("every delivery that can be read", LIMIT, || {
            match bridge.kafka_alarm() {
                None => Ok(()),
                Some(alarm) => Err(format!("{alarm}\n{}", bridge.log())),
            }
        });
        let answer = bridge.post("default", &calls::delivery("CALL-later", 0));
        let mut ids = published(&prefix);
        crate::harness::until("the later delivery", LIMIT, || {
            ids = published(&prefix);
            if answer.status != 200 || ids.contains("CALL-later.0000") {
                Ok(())
            } else {
                Err(bridge.log())
            }
        });
        let lost = (0..WIPED)
            .filter(|step| !ids.contains(&calls::id("CALL-wiped", *step)))
            .count();
        let alarms = bridge.log().matches("the disk has damaged").count();
        println!(
            "page {page} ({what}) wiped: {} published, {lost} set aside, {alarms} alarms, then answered {}",
            ids.len(),
            answer.status
        );
        assert!(
            lost <= most && (lost == 0) == (most == 0),
            "{lost} of at most {most}"
        );
        assert!(alarms >= lost, "{alarms} alarms for {lost}");
        assert!(!bridge.log().contains("panicked"), "{}", bridge.log());
    }
    for (what, page) in [("the first", 1), ("state", root("state"))] {
        let mut wiped = sound.clone();
        wiped[(page - 1) * PAGE..page * PAGE].fill(0);
        let dir = TempDir::new().expect("a directory");
        fs::write(dir.path().join("journal.db"), &wiped).expect("a copy");
        let (mut bridge, _) = bridge_on(dir.path());
        bridge.launch();
        let code = bridge.running().wait(LIMIT);
        let log = bridge.log();
        assert!(
            code == 1 && !log.contains("panicked") && log.contains("journal"),
            "{code}: {log}"
        );
        assert_eq!(
            fs::read(dir.path().join("journal.db")).expect("it stays"),
            wiped,
            "left as it was"
        );
        println!(
            "page {page} ({what}) wiped: refused: {}",
            log.lines().last().unwrap_or_default()
        );
    }
}

/// A journal as kill -9 left it, and the WAL's length after each answer.
struct Killed {
    dir: TempDir,
    sizes: Vec<usize>,
    bodies: Vec<Vec<u8>>,
}

/// Everything in the WAL and nothing moved on from there, so that a length says what was committed.
fn killed_before_a_checkpoint() -> Killed {
    for _ in 0..10 {
        let (mut bridge, _) = unreachable("cut");
        let (path, mut client) = (bridge.journal_path(), bridge.client());
        let wal = path.with_file_name("journal.db-wal");
        let before = fs::read(&path).expect("the journal");
        let bodies: Vec<Vec<u8>> = (0..24)
            .map(|step| calls::delivery("CALL-cut", step))
            .collect();
        let mut sizes = Vec::new();
        for body in &bodies {
            let answer =
                crate::harness::bridge::post(&mut client, "default", body).expect("an answer");
            assert_eq!(answer.status, 200);
            sizes.push(usize::try_from(wal.metadata().expect("a WAL").len()).expect("small"));
        }
        bridge.kill9();
        if fs::read(&path).expect("the journal") == before && sizes.is_sorted_by(|a, b| a < b) {
            let dir = TempDir::new().expect("a directory");
            for name in ["journal.db", "journal.db-wal"] {
                fs::copy(path.with_file_name(name), dir.path().join(name)).expect("a copy");
            }
            return Killed { dir, sizes, bodies };
        }
    }
    panic!("ten times a checkpoint came between 24 deliveries");
}

/// How many deliveries a journal with that WAL holds: a prefix of `bodies`, each as it was sent.
fn reopened(from: &Path, wal: &[u8], bodies: &[Vec<u8>]) -> usize {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("journal.db");
    fs::copy(from.join("journal.db"), &path).expect("a copy");
    fs::write(dir.path().join("journal.db-wal"), wal).expect("a copy");
    let journal = Journal::open(&path).expect("it opens");
    let viewer = Viewer::open(&path).expect("it can be looked at");
    let all = Filter {
        state: None,
        webhook: None,
        since: None,
        until: None,
        limit: usize::MAX,
    };
    let rows = viewer.list(&all).expect("it can be read");
    for (row, body) in rows.iter().rev().zip(bodies) {
        let (_, _, stored, intact) = viewer
            .show(row.seq)
            .expect("it can be read")
            .expect("it is there");
        assert!(intact && stored.as_ref() == Some(body), "{row:?}");
    }
    drop(journal);
    rows.len()
}

fn unreachable(name: &str) -> (Bridge, String) {
    let prefix = format!("{}.", unique(name));
    (
        Bridge::new("127.0.0.1:9")
            .with("TOPICS__PREFIX", &prefix)
            .start(),
        prefix,
    )
}

/// The same bridge, not started, with Kafka there.
fn reachable(bridge: Bridge, name: &str) -> (Bridge, String) {
    let prefix = format!("{}.", unique(name));
    let bridge = bridge
        .with("KAFKA__BOOTSTRAP_SERVERS", &shared_broker().address())
        .with("TOPICS__PARTITIONS", "2")
        .with("TOPICS__PREFIX", &prefix);
    (bridge, prefix)
}

fn bridge_on(dir: &Path) -> (Bridge, String) {
    let path = dir.join("journal.db");
    let bridge = Bridge::new("127.0.0.1:9").with("JOURNAL__PATH", path.to_str().expect("UTF-8"));
    reachable(bridge, "damage")
}

/// A post-conversation event whose first [`HEAD`] bytes name it.
fn body(nth: usize, size: usize) -> Vec<u8> {
    let mut body =
        format!(r#"{{"id":"flip-{nth:06}","event":"call.end","call_id":"CALL-{nth:06}","x":""#);
    assert!(body.len() > HEAD);
    let mut marker = 0;
    while body.len() < size {
        body.push_str(&format!(
            "<{nth:05}:{:02}>{}",
            marker % MARKERS,
            "x".repeat(1000)
        ));
        marker += 1;
    }
    body.push_str("\"}");
    body.into_bytes()
}

/// Which table has which page, by SQLite's own account.
fn pages(path: &Path) -> Vec<(String, String, usize)> {
    let conn = Connection::open(path).expect("the journal");
    let mut select = conn
        .prepare("SELECT name, pagetype, pageno FROM dbstat ORDER BY path")
        .expect("dbstat");
    let rows = select.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, u32>(2)? as usize))
    });
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

fn published(prefix: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for topic in calls::TOPICS {
        for record in kcat::try_read(&shared_broker().address(), &format!("{prefix}{topic}"))
            .unwrap_or_default()
        {
            let id = record.header("ce_id").expect("an id").to_owned();
            assert!(ids.insert(id), "twice: {record:?}");
        }
    }
    ids
}

fn list(bridge: &Bridge, state: &str) -> Vec<Value> {
    let output = bridge.run(&[
        "journal", "list", "--state", state, "--limit", "100000", "--json",
    ]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::Deserializer::from_str(&text)
        .into_iter()
        .map(|row| row.expect("JSON"))
        .collect()
}

/// Of a journal that was made by this program.
const PAGE: usize = 16 * 1024;
/// Enough for some pages of each table.
const WIPED: usize = 1200;
const HEAD: usize = 20;
/// Fewer than a body of 100 kB has.
const MARKERS: usize = 64;
const LIMIT: Duration = Duration::from_secs(60);
