//! A full disk: what was answered 200 is found again, what is refused hears so, and the bridge goes on by itself.

use std::time::Duration;

use crate::harness::bridge::Bridge;
use crate::harness::disk::{self, Disk};
use crate::harness::kafka::Broker;
use crate::harness::tally::Tally;
use crate::harness::{shared_broker, unique, until};

#[test]
fn a_disk_filled_by_the_journal_refuses_in_time_drains_and_goes_on() {
    let disk = Disk::new(24);
    let mut broker = Broker::prepare(&[]);
    let mut bridge = bridge_on(&disk, &broker.address()).start();
    let mut tally = Tally::default();
    let mut client = bridge.client();
    while tally.post(&mut client, "CALL-filling", 16 << 10) == 200 {
        assert!(
            tally.accepted.len() < 2000,
            "24 MiB hold no 2000 deliveries"
        );
    }
    let (held, free) = (tally.accepted.len(), disk.free_bytes());
    assert!(bridge.readiness().is_err(), "not ready");
    assert_eq!(client.get("/readyz").expect("an answer").status, 503);
    assert!(free > 0, "deletes need room too");
    assert!(held > 300, "{held} deliveries in 24 MiB");
    let log = bridge.log();
    assert!(
        !log.contains("a commit of the journal failed"),
        "SQLite met the full disk:\n{log}"
    );
    println!("full: {held} answered 200, then 503; {free} bytes left free");

    // Full or not, what it holds goes to Kafka, and that alone makes room: the file itself never shrinks.
    broker.resume();
    bridge.await_readiness(true);
    let mut again = 0;
    while again < 2 * held {
        match tally.post(&mut client, "CALL-filling", 16 << 10) {
            200 => again += 1,
            _ => bridge.await_readiness(true),
        }
    }
    println!(
        "with Kafka back: {again} more answered 200, {} refused in all",
        tally.refused.len()
    );
    bridge.kill9();
    bridge.resume();
    bridge.await_published();
    tally.judge(&broker.address(), "atoms.");
}

#[test]
fn a_disk_filled_from_outside_costs_only_what_it_refuses_and_the_backlog_drains_meanwhile() {
    let disk = Disk::new(24);
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("ballast"));
    let mut bridge = bridge_on(&disk, &broker)
        .with("TOPICS__PREFIX", &prefix)
        .start();
    bridge.await_publishing();
    // Kafka goes away next, so that something waits when the disk is full.
    bridge.kill9();
    let mut bridge = bridge
        .with("KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")
        .start();
    let mut tally = Tally::default();
    let mut client = bridge.client();
    for _ in 0..100 {
        assert_eq!(tally.post(&mut client, "CALL-ballast", 4096), 200);
    }
    // The bridge looks at the disk a few times a second; filled right after a look, the disk refuses within a commit, but for
    // what the WAL has room for already. Most of the disk is filled before, so that the rest is filled quickly.
    let met = "its disk has no room left";
    let most = disk.fill_but(3 << 20);
    let mut ballast = disk.fill();
    for _ in 0..100 {
        let full = (0..20).any(|_| tally.post(&mut client, "CALL-ballast", 64 << 10) == 503);
        assert!(full, "it takes what its disk has no room for");
        if bridge.log().contains(met) {
            break;
        }
        drop(ballast);
        bridge.await_readiness(true);
        assert_eq!(tally.post(&mut client, "CALL-ballast", 0), 200);
        ballast = disk.fill();
    }
    assert!(bridge.log().contains(met), "{}", bridge.log());
    bridge.await_readiness(false);
    for _ in 0..20 {
        assert_eq!(tally.post(&mut client, "CALL-ballast", 0), 503);
    }
    println!(
        "ballast: {} answered 200, {} refused",
        tally.accepted.len(),
        tally.refused.len()
    );

    // A start without one free block, this time with Kafka: everything drains although nothing can be settled.
    bridge.kill9();
    ballast.grow();
    let mut bridge = bridge.with("KAFKA__BOOTSTRAP_SERVERS", &broker);
    bridge.launch();
    until("the health listener", Duration::from_secs(60), || {
        assert_eq!(bridge.running().ended(), None, "{}", bridge.log());
        bridge
            .health("/livez")
            .map(drop)
            .map_err(|error| format!("{error}; {}", bridge.log()))
    });
    assert_eq!(tally.post(&mut bridge.client(), "CALL-ballast", 0), 503);
    tally.judge(&broker, &prefix);
    assert!(bridge.readiness().is_err(), "the disk is still full");
    println!("drained with {} bytes free", disk.free_bytes());
    let spent = bridge.usage().cpu;
    std::thread::sleep(Duration::from_secs(3));
    let spent = bridge.usage().cpu - spent;
    assert!(
        spent < Duration::from_secs(1),
        "it waits for room, and does not spin: {spent:?} of 3 s"
    );

    // Without the shared memory, which an orderly end removes if it can, nothing can be opened.
    assert_eq!(bridge.term(Duration::from_secs(20)), 0);
    let shared_memory = disk.path().join("journal.db-shm");
    if shared_memory.exists() {
        std::fs::remove_file(shared_memory).expect("nobody has it");
    }
    ballast.grow();
    let refused = bridge.run(&["serve"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success()
            && told.contains("no room left: make room there, and start again"),
        "{told}"
    );

    drop((ballast, most));
    bridge.resume();
    let mut client = bridge.client();
    for _ in 0..50 {
        assert_eq!(tally.post(&mut client, "CALL-ballast", 0), 200);
    }
    bridge.kill9();
    bridge.resume();
    bridge.await_published();
    tally.judge(&broker, &prefix);
}

fn bridge_on(disk: &Disk, broker: &str) -> Bridge {
    Bridge::new(broker).with("TOPICS__PARTITIONS", "2").with(
        "JOURNAL__PATH",
        &disk::text(&disk.path().join("journal.db")),
    )
}
