//! Callers that mean harm or are broken: memory stays within what the README says, answers are honest, and nobody else
//! notices.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::bridge::{self, Bridge};
use crate::harness::http::{connect, read_answer};
use crate::harness::kafka::Broker;
use crate::harness::{SetOnDrop, until};

#[test]
fn ten_thousand_idle_connections_cost_little_and_hold_up_nobody() {
    assert!(
        open_files() >= CONNECTIONS as u64 + 2000,
        "the limit of open files is {}: run `ulimit -n 20000` first",
        open_files()
    );
    let bridge = Bridge::new("127.0.0.1:1").start();
    post_some(&bridge, "before");
    let before = bridge.usage().rss_bytes;
    let address = bridge.webhooks_address();
    let connections: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|number| {
            let mut stream = connect(address).expect("a connection");
            if number % 2 == 0 {
                stream
                    .write_all(b"POST /webhooks/default HTTP/1.1\r\nHost: x\r\n")
                    .unwrap();
            }
            stream
        })
        .collect();
    let slowest = post_some(&bridge, "beside");
    let after = bridge.usage().rss_bytes;
    println!(
        "{CONNECTIONS} idle connections: resident memory {} MiB before, {} MiB after; slowest answer beside them {:.1} ms",
        before >> 20,
        after >> 20,
        slowest.as_secs_f64() * 1000.0
    );
    let each = (after.saturating_sub(before)) / CONNECTIONS as u64;
    assert!(each < CONNECTION_BYTES, "{each} bytes for each connection");
    drop(connections);
    post_some(&bridge, "after");
}

#[test]
fn the_largest_bodies_side_by_side_stay_within_the_documented_memory() {
    let mut broker = Broker::prepare(&[]);
    // Memory is what is judged here, not how fast a busy machine sends a GiB.
    let bridge = Bridge::new(&broker.address())
        .with("LISTEN__READ_TIMEOUT", "120s")
        .start();
    let filler = "x".repeat(LARGE_BYTES - 200);
    let done = AtomicBool::new(false);
    let peak = AtomicU64::new(0);
    let watch = || {
        while !done.load(Ordering::Relaxed) {
            peak.fetch_max(bridge.usage().rss_bytes, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(10));
        }
    };
    thread::scope(|scope| {
        scope.spawn(watch);
        let _done = SetOnDrop(&done);
        let large: Vec<_> = (0..LARGE)
            .map(|number| {
                let (bridge, filler) = (&bridge, &filler);
                scope.spawn(move || {
                    let body = json!({"event": "call.end", "call_id": format!("large-{number}"), "summary": filler});
                    bridge.post("default", body.to_string().as_bytes()).status
                })
            })
            .collect();
        let slowest = post_some(&bridge, "beside");
        let statuses: Vec<u16> = large
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(statuses, [200; LARGE]);
        let accepted = peak.load(Ordering::Relaxed);
        println!(
            "{LARGE} bodies of 16 MiB at once: all 200, resident memory at most {} MiB, slowest answer beside them {:.0} ms",
            accepted >> 20,
            slowest.as_secs_f64() * 1000.0
        );
        broker.resume();
        bridge.await_published();
        println!(
            "and published: resident memory at most {} MiB",
            peak.load(Ordering::Relaxed) >> 20
        );
    });
    let peak = peak.into_inner();
    assert!(
        peak < DOCUMENTED_BYTES,
        "{} MiB, documented are {} MiB",
        peak >> 20,
        DOCUMENTED_BYTES >> 20
    );
}

#[test]
fn brackets_that_nobody_signed_take_little_memory() {
    let bridge = Bridge::new("127.0.0.1:1").start();
    let before = bridge.usage().rss_bytes;
    let brackets = "[".repeat(LARGE_BYTES);
    let answer = bridge
        .client()
        .request("POST", "/webhooks/default", &[], brackets.as_bytes());
    assert_eq!(answer.expect("an answer").status, 401);
    until("the quarantine to have it", LIMIT, || {
        let listed = bridge.run(&["quarantine", "list", "--json"]);
        match listed.stdout.is_empty() {
            true => Err(format!("{listed:?}")),
            false => Ok(()),
        }
    });
    let grown = bridge.usage().peak_rss_bytes - before;
    println!("resident memory at most {} MiB more", grown >> 20);
    assert!(grown < 8 * LARGE_BYTES as u64, "{grown} bytes");
}

#[test]
fn small_deliveries_that_wait_for_kafka_take_little_memory() {
    let mut broker = Broker::start();
    let bridge = Bridge::new(&broker.address()).start();
    bridge.await_publishing();
    post_some(&bridge, "before");
    bridge.await_published();
    let before = bridge.usage().rss_bytes;
    broker.stop_signal();
    thread::scope(|scope| {
        for thread in 0..4 {
            let bridge = &bridge;
            scope.spawn(move || {
                let mut client = bridge.client();
                for number in 0..SMALL / 4 {
                    let body =
                        json!({"event": "call.end", "call_id": format!("small-{thread}-{number}")});
                    let answer = bridge::post(&mut client, "default", body.to_string().as_bytes());
                    assert_eq!(answer.expect("an answer").status, 200);
                }
            });
        }
    });
    let grown = bridge.usage().rss_bytes.saturating_sub(before);
    println!("{SMALL} small deliveries wait: {} MiB more", grown >> 20);
    assert!(grown / (SMALL as u64) < SMALL_BYTES, "{grown} bytes");
    broker.cont_signal();
    bridge.await_published();
}

#[test]
fn odd_requests_get_honest_answers_and_leave_nothing_behind() {
    let bridge = Bridge::new("127.0.0.1:1").start();
    let smuggled = "POST /webhooks/default HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    let post = "POST /webhooks/default HTTP/1.1\r\nHost: x\r\n";
    let many: String = (0..200)
        .map(|number| format!("x-{number}: 1\r\n"))
        .collect();
    let wide = format!("x-wide: {}\r\n", "y".repeat(100_000));
    let shapes = [
        (
            "length and chunks",
            format!(
                "{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        (
            "chunks and length",
            format!(
                "{post}Transfer-Encoding: chunked\r\nContent-Length: 70\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        (
            "two lengths",
            format!("{post}Content-Length: 2\r\nContent-Length: 70\r\n\r\n{{}}{smuggled}"),
        ),
        (
            "a length that is none",
            format!("{post}Content-Length: -1\r\n\r\n{{}}"),
        ),
        (
            "a length with a sign",
            format!("{post}Content-Length: +2\r\n\r\n{{}}"),
        ),
        (
            "another transfer encoding",
            format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a chunk size that is none",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n"),
        ),
        (
            "an endless chunk size",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{{}}"),
        ),
        (
            "a folded header",
            format!("{post}X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{{}}"),
        ),
        (
            "a space before the colon",
            format!("{post}Content-Length : 2\r\n\r\n{{}}"),
        ),
        (
            "a bare carriage return",
            format!("{post}X-A: b\rX-Signature: c\r\nContent-Length: 2\r\n\r\n{{}}"),
        ),
        (
            "a zero byte",
            format!("{post}X-A: \0\r\nContent-Length: 2\r\n\r\n{{}}"),
        ),
        (
            "many headers",
            format!("{post}{many}Content-Length: 2\r\n\r\n{{}}"),
        ),
        (
            "a wide header",
            format!("{post}{wide}Content-Length: 2\r\n\r\n{{}}"),
        ),
        (
            "no HTTP",
            "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\u{3}\u{3}\r\n\r\n".to_owned(),
        ),
        (
            "HTTP/2 without asking",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        ),
    ];
    for (shape, bytes) in &shapes {
        let statuses = answers(&bridge, bytes.as_bytes());
        println!("{shape}: {statuses:?}");
        assert!(
            statuses.iter().all(|status| (400..500).contains(status)),
            "{shape} was answered {statuses:?}"
        );
    }
    post_some(&bridge, "after");
    assert_eq!(
        bridge.pending(),
        POSTS,
        "nothing but what was signed is kept"
    );
    assert!(!bridge.log().contains("panicked"), "{}", bridge.log());
}

/// Signed deliveries by an ordinary caller: each is answered 200. The slowest answer's time.
fn post_some(bridge: &Bridge, name: &str) -> Duration {
    let mut client = bridge.client();
    (0..POSTS)
        .map(|number| {
            let body = json!({"event": "call.end", "call_id": format!("{name}-{number}")});
            let begun = Instant::now();
            let answer = bridge::post(&mut client, "default", body.to_string().as_bytes());
            assert_eq!(answer.expect("an answer").status, 200);
            begun.elapsed()
        })
        .max()
        .unwrap_or_default()
}

/// Every status that comes on a connection until it ends or falls silent.
fn answers(bridge: &Bridge, bytes: &[u8]) -> Vec<u16> {
    let mut stream = connect(bridge.webhooks_address()).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    // The bridge may close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut reader = BufReader::new(stream);
    let mut statuses = Vec::new();
    while let Ok(answer) = read_answer(&mut reader) {
        statuses.push(answer.status);
    }
    let _ = reader.read(&mut [0]);
    statuses
}

/// How many files a process here may open; its children inherit that.
fn open_files() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let soft = line.split_whitespace().nth(3).unwrap();
    soft.parse().unwrap_or(u64::MAX)
}

const CONNECTIONS: usize = 10_000;
/// The README's figure for a connection that rests.
const CONNECTION_BYTES: u64 = 32 << 10;
const LARGE: usize = 64;
const LARGE_BYTES: usize = 16 << 20;
/// The README's formula for `listen.max_body` = 16 MiB.
const DOCUMENTED_BYTES: u64 = (2 * (256 + 16) + 64) << 20;
const POSTS: u64 = 50;
const SMALL: usize = 20_000;
/// What is kept of each in memory takes 512 bytes beside its body.
const SMALL_BYTES: u64 = 2048;
const LIMIT: Duration = Duration::from_secs(30);
