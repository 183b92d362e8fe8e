//! What the bridge asks of the disk, call by call: no 200 leaves before an fsync that covers its delivery has come back.
//!
//! Shown twice. Directly: between the write that holds a delivery's bytes and the answer lies a sync of that file. And by a
//! disk that keeps nothing but what was synced, and forgets for good what a failed fsync was to write: from the trace the
//! files are built as the power going at an answer would leave them, and opened.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use atoms_kafka_bridge::journal::Journal;
use atoms_kafka_bridge::journal::read::{Filter, Viewer};
use tempfile::TempDir;

use crate::harness::bridge::Bridge;
use crate::harness::power::{PowerDisk, Unsynced};
use crate::harness::tally::{Tally, padded};
use crate::harness::trace::{CALLS, Event, events};
use crate::harness::{calls, strace};

#[test]
fn every_answer_comes_behind_the_fsync_of_its_delivery() {
    let mut traced = Traced::new();
    let tally = traced.life(&[], |bridge| post(bridge, "traced", 8, 25, 0));
    assert_eq!((tally.accepted.len(), tally.refused.len()), (200, 0));
    let uncovered = traced.uncovered(&tally.accepted);
    assert!(
        uncovered.is_empty(),
        "answered 200 before an fsync came back: {uncovered:?}"
    );
    let syncs = traced
        .events
        .iter()
        .filter(|event| is_wal_sync(event))
        .count();
    println!(
        "{} answers of 200, each behind the write of its body and a sync of the WAL that came back; {syncs} syncs in all",
        tally.accepted.len()
    );

    // The check has teeth: a bridge without any one of the syncs that answers waited for would not pass.
    let all = traced.events.clone();
    let syncs = (0..all.len()).filter(|at| is_wal_sync(&all[*at]));
    let missed = syncs.filter(|at| {
        traced.events.remove(*at);
        let noticed = !traced.uncovered(&tally.accepted).is_empty();
        traced.events.insert(*at, all[*at].clone());
        noticed
    });
    let missed = missed.count();
    println!("with one sync left out, the check fails for {missed} of them");
    assert!(missed >= 200 / 8, "{missed}");
}

#[test]
fn a_power_cut_at_any_answer_leaves_every_delivery_answered_before() {
    let mut traced = Traced::new();
    traced.life(&[], |bridge| post(bridge, "first", 3, 20, 0));
    traced.life(&[], |bridge| post(bridge, "second", 3, 20, 0));
    let cuts = traced.cut_power(1);
    println!(
        "power cut at each of {cuts} answers, with a kill -9 between: all answered before were there"
    );
}

#[test]
fn a_power_cut_while_the_wal_is_moved_and_starts_anew_leaves_every_delivery_answered_before() {
    let mut traced = Traced::new();
    traced.life(&[], |bridge| {
        // When the WAL starts anew is the checkpoint thread's affair; what comes next lies in the new one.
        let first = wal_generation(bridge);
        let mut tally = Tally::default();
        for chunk in 0..MOST_CHUNKS {
            tally.add(post(bridge, &format!("large-{chunk}"), 8, 15, 128 << 10));
            if wal_generation(bridge) != first {
                break;
            }
        }
        tally.add(post(bridge, "behind", 8, 15, 0));
        tally
    });
    let begins =
        |event: &&Event| matches!(event, Event::Written { file, at: 0, .. } if is_wal(file));
    let begun = traced.events.iter().filter(begins).count();
    assert!(begun > traced.lives, "the WAL never started anew");
    let cuts = traced.cut_power(10);
    println!(
        "the WAL began {begun} times; power cut at {cuts} answers: all answered before were there"
    );
}

#[test]
fn a_power_cut_after_fsyncs_that_failed_leaves_every_delivery_answered_before() {
    let mut traced = Traced::new();
    // Now and then one, as it comes; and at last all, so that the process dies with a commit that was refused but is in
    // the page cache, where the next one finds it and goes on behind it.
    traced.life(&["-e", "inject=fsync:error=EIO:when=25+7"], |bridge| {
        post(bridge, "some", 3, 40, 0)
    });
    traced.life(&[], |bridge| post(bridge, "after", 3, 20, 0));
    for life in ["one", "two"] {
        traced.life(&["-e", "inject=fsync:error=EIO:when=40+"], |bridge| {
            post(bridge, &format!("all-{life}"), 3, 30, 3000)
        });
        traced.life(&[], |bridge| {
            post(bridge, &format!("after-{life}"), 1, 20, 0)
        });
    }
    let failed = |of_wal: bool| {
        let failed = |event: &&Event| matches!(event, Event::SyncEnded { file, done: false, .. } if is_wal(file) == of_wal);
        traced.events.iter().filter(failed).count()
    };
    let (of_wal, of_file) = (failed(true), failed(false));
    assert!(of_wal > 5, "{of_wal} syncs of the WAL failed");
    let cuts = traced.cut_power(1);
    println!(
        "{of_wal} fsyncs of the WAL and {of_file} of the file failed and were forgotten, six processes died; \
         power cut at {cuts} answers: all answered before were there"
    );
}

/// A bridge whose lives are all recorded.
struct Traced {
    bridge: Bridge,
    data: PathBuf,
    lives: usize,
    events: Vec<Event>,
}

impl Traced {
    fn new() -> Self {
        let bridge = Bridge::new("127.0.0.1:9");
        let data = bridge.dir().join("data");
        Self {
            bridge,
            data,
            lives: 0,
            events: Vec::new(),
        }
    }

    /// Runs the bridge until `during` is over and kills it.
    fn life(&mut self, more: &[&str], during: impl FnOnce(&Bridge) -> Tally) -> Tally {
        let log = self.bridge.dir().join(format!("strace-{}.log", self.lives));
        self.lives += 1;
        self.bridge
            .set_wrapper(strace::recording(&log, &[CALLS, more].concat()));
        self.bridge.resume();
        let tally = during(&self.bridge);
        self.bridge.kill9();
        let text = strace::finished(&log);
        self.events
            .extend(events(&text, self.data.to_str().expect("UTF-8")));
        tally
    }

    /// Of these, the deliveries whose 200 was sent before a sync of what holds them came back.
    fn uncovered<'a>(&self, ids: &'a BTreeSet<String>) -> Vec<&'a String> {
        let covered = |id: &String| {
            let needle = format!("\"{id}\"");
            let holds = |bytes: &[u8]| memchr::memmem::find(bytes, needle.as_bytes()).is_some();
            let position = |wanted: &dyn Fn(&Event) -> bool| self.events.iter().position(wanted);
            let written = position(
                &|event| matches!(event, Event::Written { file, bytes, .. } if is_wal(file) && holds(bytes)),
            );
            let answered = position(
                &|event| matches!(event, Event::Sent(bytes) if bytes.starts_with(b"HTTP/1.1 200") && holds(bytes)),
            );
            let (Some(written), Some(answered)) = (written, answered) else {
                panic!("{id}: written {written:?}, answered {answered:?}");
            };
            let between = self.events.get(written..answered).unwrap_or_default();
            let mut began = BTreeSet::new();
            between.iter().any(|event| {
                if let Event::SyncBegan { thread, file } = event
                    && is_wal(file)
                {
                    began.insert(*thread);
                }
                matches!(event, Event::SyncEnded { thread, file, done: true } if is_wal(file) && began.contains(thread))
            })
        };
        ids.iter().filter(|id| !covered(id)).collect()
    }

    /// Cuts the power at every nth answer of 200 and looks what the journal still has. Returns how often.
    fn cut_power(&self, every: usize) -> usize {
        let mut disk = PowerDisk::default();
        let (mut answered, mut cuts) = (Vec::new(), 0);
        for event in &self.events {
            disk.happened(event);
            let Event::Sent(bytes) = event else { continue };
            let Some(id) = accepted_id(bytes) else {
                continue;
            };
            answered.push(id);
            if answered.len() % every == 0 {
                cuts += 1;
                self.look(&disk, Unsynced::Gone, &answered);
                self.look(&disk, Unsynced::Torn(cuts as u64), &answered);
            }
        }
        assert!(cuts > 0, "nothing was answered 200");
        cuts
    }

    fn look(&self, disk: &PowerDisk, unsynced: Unsynced, answered: &[String]) {
        let dir = TempDir::new().expect("a directory");
        disk.cut(&self.data, dir.path(), unsynced);
        let path = dir.path().join("journal.db");
        let journal = Journal::open(&path)
            .unwrap_or_else(|error| panic!("{unsynced:?}, {} answered: {error}", answered.len()));
        let viewer = Viewer::open(&path).expect("it can be looked at");
        let all = Filter {
            state: None,
            webhook: None,
            since: None,
            until: None,
            limit: usize::MAX,
        };
        let rows = viewer.list(&all).expect("it can be read");
        let found: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let lost: Vec<_> = answered
            .iter()
            .filter(|id| !found.contains(id.as_str()))
            .collect();
        assert!(
            lost.is_empty(),
            "{unsynced:?}: of {} answered {} are lost: {lost:?}",
            answered.len(),
            lost.len()
        );
        for row in rows.iter().take(LOOKED_AT) {
            let (.., intact) = viewer
                .show(row.seq)
                .expect("it can be read")
                .expect("it is there");
            assert!(intact, "{row:?}");
        }
        drop(journal);
    }
}

/// The id in an answer of 200 to a delivery.
fn accepted_id(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let (_, rest) = text.strip_prefix("HTTP/1.1 200")?.split_once("\"id\":\"")?;
    Some(rest.split('"').next()?.to_owned())
}

fn is_wal(file: &Path) -> bool {
    file.ends_with("journal.db-wal")
}

fn is_wal_sync(event: &Event) -> bool {
    matches!(event, Event::SyncEnded { file, done: true, .. } if is_wal(file))
}

/// So many deliveries on each of so many connections, each of about so many bytes more than the least.
fn post(bridge: &Bridge, name: &str, lanes: usize, each: usize, more_bytes: usize) -> Tally {
    let call = |lane: usize| format!("CALL-{name}-{lane}");
    let bodies = |lane| {
        (0..each)
            .map(|step| padded(&call(lane), step, more_bytes))
            .collect()
    };
    let bodies: Vec<Vec<_>> = (0..lanes).map(bodies).collect();
    let mut tally = Tally::default();
    for (lane, answers) in bridge
        .post_lanes("default", &bodies)
        .into_iter()
        .enumerate()
    {
        for (step, answer) in answers.into_iter().enumerate() {
            tally.enter(calls::id(&call(lane), step), answer);
        }
    }
    tally
}

/// The salts in the WAL's header, which are others each time that it starts anew (sqlite.org/fileformat2.html, 4.1).
fn wal_generation(bridge: &Bridge) -> Vec<u8> {
    let wal = fs::read(bridge.journal_path().with_file_name("journal.db-wal"));
    let header = wal.expect("a running bridge has a WAL");
    header.get(16..24).unwrap_or_default().to_vec()
}

/// So many chunks of 15 MiB at most; the checkpoint thread begins with every second one.
const MOST_CHUNKS: usize = 40;
/// How many of the newest bodies are read after each cut.
const LOOKED_AT: usize = 10;
