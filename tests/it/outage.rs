//! A long time without Kafka: every delivery is answered 200, memory stays flat, and the backlog drains in order while new
//! deliveries come.
//!
//! `tests/run outage` makes it ten minutes; among the other tests it is seconds.

use std::collections::BTreeSet;
use std::env;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::bridge::{self, Bridge};
use crate::harness::calls;
use crate::harness::kafka::Broker;

#[test]
fn an_outage_is_answered_200_throughout_and_drains_in_order() {
    let length = Duration::from_secs(number("OUTAGE_SECONDS", 8));
    let mut broker = Broker::prepare(&[]);
    let bridge = Bridge::new(&broker.address()).start();
    let (mut ids, mut took) = deliver(&bridge, Duration::from_secs(2), "warm");
    let (rss_before, begun) = (bridge.usage().rss_bytes, Instant::now());
    let (more, times) = deliver(&bridge, length, "out");
    ids.extend(more);
    took.extend(times);
    let rss_after = bridge.usage().rss_bytes;
    let pending = bridge.pending();
    assert_eq!(pending, u64::try_from(ids.len()).unwrap());
    took.sort_unstable();
    println!(
        "outage of {:.0} s at {RATE} deliveries a second: {} answered 200, slowest {:.1} ms, 99th percentile {:.1} ms",
        begun.elapsed().as_secs_f64(),
        took.len(),
        ms(took[took.len() - 1]),
        ms(took[took.len() * 99 / 100]),
    );
    println!(
        "resident memory {} MiB before, {} MiB after",
        rss_before >> 20,
        rss_after >> 20
    );
    // A backlog in memory would be all of its bodies; a MiB is what an allocator may round up.
    let backlog_bytes = pending * u64::try_from(calls::delivery("CALL", 0).len()).unwrap();
    assert!(
        rss_after < rss_before + backlog_bytes / 2 + (16 << 20),
        "{rss_after} bytes after {rss_before}"
    );

    broker.resume();
    bridge.await_publishing();
    let drain = Instant::now();
    // What comes meanwhile must not overtake what waits.
    let (more, _) = deliver(&bridge, Duration::from_secs(2), "late");
    bridge.await_published();
    println!(
        "{pending} pending deliveries drained within {:.1} s of Kafka's return",
        drain.elapsed().as_secs_f64()
    );
    ids.extend(more);
    calls::judge(&broker.address(), "atoms.", &ids);
}

/// Delivers at [`RATE`] for a while over some connections; each must be answered 200. Answers with ids and times.
fn deliver(bridge: &Bridge, length: Duration, name: &str) -> (BTreeSet<String>, Vec<Duration>) {
    let lane = |lane: u32| {
        let mut client = bridge.client();
        let (begun, mut ids, mut took) = (Instant::now(), BTreeSet::new(), Vec::new());
        for turn in 0.. {
            let due = Duration::from_secs(1) * turn * LANES / RATE;
            if due >= length {
                break;
            }
            thread::sleep(due.saturating_sub(begun.elapsed()));
            // A call's deliveries come one after another, as a call's do.
            let call = format!("CALL-{name}-{lane}-{}", turn / STEPS);
            let step = usize::try_from(turn % STEPS).unwrap();
            let sent = Instant::now();
            let answer =
                bridge::post(&mut client, "default", &calls::delivery(&call, step)).unwrap();
            took.push(sent.elapsed());
            assert_eq!(answer.status, 200, "{}", answer.text());
            ids.insert(calls::id(&call, step));
        }
        (ids, took)
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|number| scope.spawn(move || lane(number)))
            .collect();
        let mut all = (BTreeSet::new(), Vec::new());
        for lane in lanes {
            let (ids, took) = lane.join().unwrap();
            all.0.extend(ids);
            all.1.extend(took);
        }
        all
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// Deliveries a second, all lanes together.
const RATE: u32 = 200;
const LANES: u32 = 8;
/// Deliveries of a call.
const STEPS: u32 = 4;
