//! A disk that refuses: what it did not sync is never answered 200, what was answered is found again, and the bridge goes
//! on by itself wherever that is possible.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::bridge::Bridge;
use crate::harness::disk::{self, Disk};
use crate::harness::strace::Strace;
use crate::harness::tally::Tally;
use crate::harness::{calls, shared_broker, unique};

#[test]
fn one_fsync_that_fails_costs_only_those_who_waited_for_it() {
    let (mut bridge, prefix) = bridge("eio-once");
    let wal = bridge.journal_path().with_file_name("journal.db-wal");
    let mut tally = Tally::default();
    for nth in [1, 7, 20] {
        let pid = bridge.running().pid();
        let strace = Strace::inject(pid, &format!("fsync:error=EIO:when={nth}"), Some(&wal));
        tally.add(post_side_by_side(&bridge, &format!("eio{nth}"), 4, 20));
        drop(strace);
        assert_eq!(bridge.readiness(), Ok(()));
    }
    let refused = tally.refused.len();
    assert!(
        (3..=12).contains(&refused),
        "three fsyncs failed, {refused} were refused"
    );
    println!(
        "an fsync failed three times: {} answered 200, {refused} refused",
        tally.accepted.len()
    );
    bridge.kill9();
    bridge.resume();
    bridge.await_published();
    tally.judge(&shared_broker().address(), &prefix);
}

#[test]
fn while_every_fsync_fails_nothing_is_accepted_and_then_it_goes_on() {
    let (mut bridge, prefix) = bridge("eio-ever");
    let mut tally = post_side_by_side(&bridge, "before", 4, 10);
    assert!(tally.refused.is_empty());

    let broken = |bridge: &mut Bridge, call: &str| {
        let strace = Strace::inject(bridge.running().pid(), "fsync:error=EIO", None);
        let meanwhile = post_side_by_side(bridge, call, 4, 5);
        assert!(
            meanwhile.accepted.is_empty(),
            "answered 200: {:?}",
            meanwhile.accepted
        );
        bridge.await_readiness(false);
        // It asks the disk twice a second whether it writes again: as long as it does not, it is not ready.
        let asked_some_times = Instant::now() + Duration::from_millis(1_800);
        while Instant::now() < asked_some_times {
            assert!(bridge.readiness().is_err(), "ready while every fsync fails");
        }
        (strace, meanwhile)
    };
    let (strace, meanwhile) = broken(&mut bridge, "during");
    tally.add(meanwhile);
    drop(strace);
    bridge.await_readiness(true);
    tally.add(post_side_by_side(&bridge, "after", 4, 10));
    assert_eq!((tally.accepted.len(), tally.refused.len()), (80, 20));
    // None of the refused came back with a later commit: it was written over.
    bridge.await_published();
    tally.judge(&shared_broker().address(), &prefix);

    // Killed while the disk refuses: what its last commit left behind may be found by the next process, once.
    let (strace, meanwhile) = broken(&mut bridge, "killed");
    tally.add(meanwhile);
    bridge.kill9();
    drop(strace);
    bridge.resume();
    tally.add(post_side_by_side(&bridge, "next", 4, 10));
    bridge.await_published();
    let late = tally.judge_with_late_commits(&shared_broker().address(), &prefix);
    println!(
        "every fsync failed twice for a while: {} answered 200, {} refused, {late} of these found all the same",
        tally.accepted.len(),
        tally.refused.len()
    );
}

#[test]
fn a_slow_disk_makes_commits_larger_and_refuses_nobody() {
    let (mut bridge, prefix) = bridge("slow");
    let pid = bridge.running().pid();
    let mut tally = Tally::default();
    for (delay_ms, each) in [(50, 20), (300, 5)] {
        let before = bridge.running().usage();
        let strace = Strace::inject(pid, &format!("fsync:delay_exit={}", delay_ms * 1000), None);
        let began = std::time::Instant::now();
        let slow = post_side_by_side(&bridge, &format!("slow{delay_ms}"), 32, each);
        let took = began.elapsed();
        drop(strace);
        assert!(slow.refused.is_empty());
        // One after another they would have waited for an fsync each.
        let alone = std::time::Duration::from_millis(delay_ms * 32 * each as u64);
        assert!(took < alone / 4, "{took:?}");
        println!(
            "an fsync takes {delay_ms} ms more: {} answered 200 in {took:?}, {} KiB resident before",
            slow.accepted.len(),
            before.rss_bytes >> 10
        );
        tally.add(slow);
    }
    bridge.await_published();
    tally.judge(&shared_broker().address(), &prefix);
}

#[test]
fn out_of_descriptors_the_bridge_waits_and_goes_on() {
    let (mut bridge, prefix) = bridge("emfile");
    let mut tally = post_side_by_side(&bridge, "before", 4, 10);
    bridge.await_published();
    let pid = bridge.running().pid().to_string();
    let mut kept = bridge.client();
    assert_eq!(tally.post(&mut kept, "CALL-kept", 0), 200);
    let limit = |limit: &str| {
        let set = Command::new("prlimit")
            .args(["--pid", &pid, &format!("--nofile={limit}")])
            .status();
        assert!(
            set.is_ok_and(|set| set.success()),
            "prlimit is in util-linux"
        );
    };
    // Below every descriptor that it has: what is open stays, and nothing more can be opened.
    limit("8:20000");
    thread::scope(|scope| {
        // More connections than there are descriptors left; they are taken when there are some again.
        let waiting = scope.spawn(|| post_side_by_side(&bridge, "waiting", 8, 5));
        for _ in 0..50 {
            assert_eq!(
                tally.post(&mut kept, "CALL-kept", 0),
                200,
                "a connection it has goes on"
            );
        }
        assert!(!waiting.is_finished(), "connections beyond the limit");
        limit("20000:20000");
        let waited = waiting.join().expect("no panic");
        assert!(waited.refused.is_empty());
        tally.add(waited);
    });
    assert!(
        bridge
            .log()
            .contains("cannot accept connections; raise the limit of open files")
    );
    assert!(!bridge.log().contains("panicked"), "{}", bridge.log());
    println!(
        "out of descriptors: {} answered 200, none refused",
        tally.accepted.len()
    );
    bridge.await_published();
    tally.judge(&shared_broker().address(), &prefix);
}

#[test]
fn a_file_system_that_turns_read_only_refuses_and_after_its_repair_everything_is_there() {
    let mut disk = Disk::new(64);
    let (bridge, prefix) = unstarted("read-only");
    let path = disk::text(&disk.path().join("journal.db"));
    let mut bridge = bridge.with("JOURNAL__PATH", &path).start();
    let mut tally = post_side_by_side(&bridge, "before", 4, 25);
    assert!(tally.refused.is_empty());

    disk.break_down();
    let meanwhile = post_side_by_side(&bridge, "during", 4, 5);
    assert!(
        meanwhile.accepted.is_empty(),
        "answered 200: {:?}",
        meanwhile.accepted
    );
    bridge.await_readiness(false);
    println!(
        "read-only: {} refused; {:?}",
        meanwhile.refused.len(),
        bridge.readiness()
    );
    tally.add(meanwhile);
    assert_eq!(
        bridge.term(std::time::Duration::from_secs(10)),
        0,
        "it ends in good order"
    );
    assert!(!bridge.log().contains("panicked"), "{}", bridge.log());

    disk.unmount();
    disk.repair();
    disk.mount();
    bridge.resume();
    tally.add(post_side_by_side(&bridge, "after", 4, 5));
    assert_eq!(tally.accepted.len(), 120);
    bridge.await_published();
    tally.judge_with_late_commits(&shared_broker().address(), &prefix);
}

#[test]
fn a_journal_moved_away_refuses_until_it_is_back_and_one_removed_until_a_new_start() {
    let (mut bridge, prefix) = bridge("moved");
    let mut tally = post_side_by_side(&bridge, "before", 4, 10);
    let (data, away) = (bridge.dir().join("data"), bridge.dir().join("away"));
    fs::rename(&data, &away).expect("the directory moves");
    let refused = |bridge: &Bridge, call: &str| {
        let meanwhile = post_side_by_side(bridge, call, 4, 2);
        assert!(
            meanwhile.accepted.is_empty(),
            "answered 200: {:?}",
            meanwhile.accepted
        );
        let reason = bridge.readiness().expect_err("not ready");
        assert!(reason.contains("moved or removed"), "{reason}");
        meanwhile
    };
    tally.add(refused(&bridge, "moved"));
    // Another journal in its place is not ours to write.
    fs::create_dir(&data).expect("the name is free");
    for name in ["journal.db", "journal.db-wal"] {
        fs::copy(away.join(name), data.join(name)).expect("a copy");
    }
    tally.add(refused(&bridge, "another"));
    fs::remove_dir_all(&data).expect("it is ours");

    fs::rename(&away, &data).expect("the directory moves back");
    bridge.await_readiness(true);
    tally.add(post_side_by_side(&bridge, "back", 4, 10));
    assert_eq!((tally.accepted.len(), tally.refused.len()), (80, 16));
    bridge.await_published();
    tally.judge(&shared_broker().address(), &prefix);

    fs::remove_dir_all(&data).expect("it goes");
    // Found out without a delivery that would be lost for it.
    bridge.await_readiness(false);
    tally.add(refused(&bridge, "removed"));
    assert!(!bridge.log().contains("panicked"), "{}", bridge.log());
    bridge.kill9();
    bridge.resume();
    tally.add(post_side_by_side(&bridge, "anew", 4, 5));
    assert_eq!((tally.accepted.len(), tally.refused.len()), (100, 24));
    bridge.await_published();
    println!(
        "moved, back, removed, anew: {} answered 200, {} refused",
        tally.accepted.len(),
        tally.refused.len()
    );
}

/// So many deliveries on each of so many connections, each connection a call of its own.
fn post_side_by_side(bridge: &Bridge, name: &str, lanes: usize, each: usize) -> Tally {
    let call = |lane: usize| format!("CALL-{name}-{lane}");
    let bodies = |lane| {
        (0..each)
            .map(|step| calls::delivery(&call(lane), step))
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

fn unstarted(name: &str) -> (Bridge, String) {
    let prefix = format!("{}.", unique(name));
    let bridge = Bridge::new(&shared_broker().address())
        .with("TOPICS__PARTITIONS", "2")
        .with("TOPICS__PREFIX", &prefix);
    (bridge, prefix)
}

fn bridge(name: &str) -> (Bridge, String) {
    let (bridge, prefix) = unstarted(name);
    let bridge = bridge.start();
    bridge.await_publishing();
    (bridge, prefix)
}
