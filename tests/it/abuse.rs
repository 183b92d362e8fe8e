//! What is thrown at the public listener costs bounded memory, is answered honestly, and does not touch other callers.
//!
//! In each test a caller who signs goes on meanwhile and must be answered nothing but 200.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::harness::bridge::{Bridge, SECRET, signature};
use crate::harness::calls;
use crate::harness::http::{connect, read_answer};
use crate::harness::load::Load;
use crate::harness::tally::padded;
use crate::harness::until;

#[test]
fn ten_thousand_idle_connections_cost_little_and_disturb_nobody() {
    allow_open_files();
    let mut bridge = Bridge::new("127.0.0.1:9").start();
    let before = bridge.usage().rss_bytes;
    let address = bridge.webhooks_address();
    let load = Load::start(address);
    // Half of them had a request and rest, half never say a word.
    let idle: Vec<_> = (0..CONNECTIONS)
        .map(|nth| {
            let mut stream = connect(address).expect("a connection");
            if nth % 2 == 0 {
                stream
                    .write_all(b"GET /readyz HTTP/1.1\r\nhost: bridge\r\n\r\n")
                    .expect("it is read");
                assert_eq!(
                    read_answer(&mut BufReader::new(&stream))
                        .expect("an answer")
                        .status,
                    200
                );
            }
            stream
        })
        .collect();
    let open = fs::read_dir(format!("/proc/{}/fd", bridge.running().pid()))
        .expect("it runs")
        .count();
    assert!(open > CONNECTIONS / 2, "{open} open files");
    load.await_more(200);
    let held = bridge.usage().rss_bytes - before;
    let answered = load.finish().len();
    let each = held / CONNECTIONS as u64;
    println!(
        "{} idle connections: {} MiB more, {each} bytes each; {answered} signed deliveries meanwhile, all 200; peak {} MiB",
        idle.len(),
        held >> 20,
        peak_mib(&mut bridge)
    );
    assert!(each < 40 << 10, "{each} bytes a connection");
    // An idle one is still good.
    let mut rested = idle.into_iter().next().expect("there are some");
    rested
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: bridge\r\n\r\n")
        .expect("it is read");
    assert_eq!(
        read_answer(&mut BufReader::new(rested))
            .expect("an answer")
            .status,
        200
    );
}

#[test]
fn sixty_four_bodies_of_16_mib_at_once_stay_within_the_budget() {
    let mut bridge = Bridge::new("127.0.0.1:9")
        .with("LISTEN__READ_TIMEOUT", "40s")
        .start();
    let address = bridge.webhooks_address();
    let load = Load::start(address);
    let before = peak_mib(&mut bridge);
    let answers: Vec<u16> = thread::scope(|scope| {
        let senders: Vec<_> = (0..64)
            .map(|nth| {
                scope.spawn(move || {
                    let body = padded(&format!("CALL-large-{nth}"), 0, MAX_BODY - 4096);
                    let signed = format!(
                        "x-signature: {}\r\ncontent-length: {}",
                        signature(SECRET, &body),
                        body.len()
                    );
                    ask(address, &[head(&signed).as_bytes(), &body].concat())
                        .map(|(status, _)| status)
                })
            })
            .collect();
        senders
            .into_iter()
            .map(|sender| sender.join().expect("no panic").expect("an answer"))
            .collect()
    });
    let count = |status: u16| answers.iter().filter(|answer| **answer == status).count();
    let meanwhile = load.finish().len();
    let peak = peak_mib(&mut bridge);
    println!(
        "64 bodies of 16 MiB at once: {} answered 200, {} answered 503; {meanwhile} signed small ones meanwhile, all 200; \
         peak {peak} MiB, {before} MiB before",
        count(200),
        count(503)
    );
    assert_eq!(count(200) + count(503), 64, "{answers:?}");
    assert!(count(200) > 0);
    assert!(peak < PEAK_MIB, "{peak} of {PEAK_MIB} MiB");
    assert_eq!(
        bridge.pending() as usize,
        count(200) + meanwhile,
        "what was answered 200 is there"
    );
}

#[test]
fn slow_senders_and_floods_of_headers_are_answered_and_cut_off() {
    let mut bridge = Bridge::new("127.0.0.1:9")
        .with("LISTEN__READ_TIMEOUT", "2s")
        .start();
    let address = bridge.webhooks_address();
    let load = Load::start(address);
    let slow: Vec<TcpStream> = (0..1000)
        .map(|nth| {
            let mut stream = connect(address).expect("a connection");
            let part: &[u8] = if nth % 2 == 0 {
                b"POST /webhooks/default HTTP/1.1\r\nhost: bri"
            } else {
                b"POST /webhooks/default HTTP/1.1\r\nhost: bridge\r\ncontent-length: 5000\r\n\r\n{\"half\":"
            };
            stream.write_all(part).expect("it is read");
            stream
        })
        .collect();
    let (mut cut, mut told) = (0, 0);
    for (nth, mut stream) in slow.into_iter().enumerate() {
        let mut rest = Vec::new();
        // The connection ends by itself, or the read would run into the client's own limit.
        let _ = stream.read_to_end(&mut rest);
        let text = String::from_utf8_lossy(&rest);
        match nth % 2 {
            0 => cut += usize::from(rest.is_empty() || text.starts_with("HTTP/1.1 408")),
            _ => told += usize::from(text.starts_with("HTTP/1.1 408")),
        }
    }
    assert_eq!((cut, told), (500, 500), "slow headers, slow bodies");

    let many = (0..200)
        .map(|nth| format!("x-{nth}: y\r\n"))
        .collect::<String>();
    let long = format!("x-long: {}\r\n", "y".repeat(200_000));
    for (what, flood) in [("200 headers", many), ("a header of 200 kB", long)] {
        let statuses: BTreeSet<u16> = (0..50)
            .map(|_| {
                ask(
                    address,
                    format!("POST /webhooks/default HTTP/1.1\r\nhost: b\r\n{flood}\r\n").as_bytes(),
                )
                .map_or(0, |(status, _)| status)
            })
            .collect();
        assert_eq!(statuses, [431].into(), "{what}");
    }
    let meanwhile = load.finish().len();
    println!(
        "500 slow headers cut off, 500 slow bodies answered 408, 100 floods of headers 431; {meanwhile} signed ones meanwhile, \
         all 200; peak {} MiB",
        peak_mib(&mut bridge)
    );
    assert_eq!(bridge.pending() as usize, meanwhile);
}

#[test]
fn a_request_that_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_taken() {
    let bridge = Bridge::new("127.0.0.1:9")
        .with("LISTEN__READ_TIMEOUT", "2s")
        .start();
    let address = bridge.webhooks_address();
    let body = calls::delivery("CALL-smuggled", 0);
    let hidden = format!(
        "POST /webhooks/default HTTP/1.1\r\nhost: b\r\nx-signature: {}\r\ncontent-length: {}\r\n\r\n{}",
        signature(SECRET, &body),
        body.len(),
        String::from_utf8_lossy(&body)
    );
    let chunked = "transfer-encoding: chunked";
    let shapes: Vec<(&str, String)> = vec![
        (
            "length and chunks",
            format!(
                "{}0\r\n\r\n{hidden}",
                head(&format!("content-length: 5\r\n{chunked}"))
            ),
        ),
        (
            "two lengths that differ",
            format!(
                "{}{hidden}",
                head("content-length: 0\r\ncontent-length: 9999")
            ),
        ),
        (
            "two lengths in one",
            format!("{}{hidden}", head("content-length: 0, 9999")),
        ),
        (
            "a length with a sign",
            format!("{}{hidden}", head("content-length: +0")),
        ),
        (
            "a negative length",
            format!("{}{hidden}", head("content-length: -1")),
        ),
        (
            "a length beyond numbers",
            format!(
                "{}{hidden}",
                head("content-length: 99999999999999999999999")
            ),
        ),
        (
            "chunks, spelled otherwise",
            format!("{}0\r\n\r\n{hidden}", head("transfer-encoding: xchunked")),
        ),
        (
            "chunks before another coding",
            format!(
                "{}0\r\n\r\n{hidden}",
                head("transfer-encoding: chunked, identity")
            ),
        ),
        (
            "a chunk's size with a sign",
            format!("{}+0\r\n\r\n{hidden}", head(chunked)),
        ),
        (
            "a chunk's size beyond numbers",
            format!("{}fffffffffffffffff\r\n{hidden}", head(chunked)),
        ),
        (
            "a chunk's size that is none",
            format!("{}zz\r\n{hidden}", head(chunked)),
        ),
        (
            "a chunk longer than its size",
            format!("{}1\r\nabc\r\n0\r\n\r\n{hidden}", head(chunked)),
        ),
        (
            "space before the colon",
            format!("{}{hidden}", head("content-length : 0")),
        ),
        (
            "a folded header",
            format!("{}{hidden}", head("x-folded: a\r\n content-length: 9999")),
        ),
        (
            "a header without a colon",
            format!("{}{hidden}", head("content-length")),
        ),
        (
            "a null in a header",
            format!("{}{hidden}", head("x-null: a\0b")),
        ),
        (
            "a lone carriage return",
            format!("{}{hidden}", head("x-cr: a\rcontent-length: 9999")),
        ),
        (
            "HTTP/1.0 with chunks",
            format!("POST /webhooks/default HTTP/1.0\r\n{chunked}\r\n\r\n0\r\n\r\n{hidden}"),
        ),
        (
            "another version",
            format!("POST /webhooks/default HTTP/3.0\r\nhost: b\r\n\r\n{hidden}"),
        ),
        (
            "no request at all",
            format!("\x16\x03\x01\x02\0\x01{hidden}"),
        ),
    ];
    for (what, shape) in &shapes {
        let (first, all) = ask(address, shape.as_bytes()).unwrap_or((0, 0));
        println!("{what}: {first}, {all} answers");
        assert!(first != 200 && all <= 1, "{what}: {first}, {all} answers");
        assert_eq!(bridge.pending(), 0, "{what}");
    }
    // Bare line feeds end lines for many servers; then both see the same two requests, and the second is a delivery.
    let answer = bridge.post("default", &body);
    assert_eq!(
        answer.json()["status"],
        "stored",
        "it was never taken before"
    );
}

/// Sends bytes and reads until the connection ends or rests: the first answer's status and how many came.
fn ask(address: SocketAddr, bytes: &[u8]) -> io::Result<(u16, usize)> {
    let stream = connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(90)))?;
    let mut writing = stream.try_clone()?;
    thread::scope(|scope| {
        scope.spawn(move || {
            // The bridge may answer and close before it has read everything.
            let _ = writing.write_all(bytes);
        });
        let mut reading = BufReader::new(stream);
        let first = read_answer(&mut reading)?.status;
        // Whatever else it would say, it says at once, or within the time that a request may take.
        reading
            .get_ref()
            .set_read_timeout(Some(Duration::from_millis(300)))?;
        let mut all = 1;
        while read_answer(&mut reading).is_ok() {
            all += 1;
        }
        Ok((first, all))
    })
}

fn head(fields: &str) -> String {
    format!("POST /webhooks/default HTTP/1.1\r\nhost: bridge\r\n{fields}\r\n\r\n")
}

/// The most memory that was ever resident.
fn peak_mib(bridge: &mut Bridge) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", bridge.running().pid())).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("VmHWM");
    let kib: u64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    kib >> 10
}

/// Our side of the connections needs descriptors as well; the bridge inherits the limit and raises its own.
fn allow_open_files() {
    until(
        "a limit of 12000 open files",
        Duration::from_secs(1),
        || {
            let own = std::process::id().to_string();
            let set = Command::new("prlimit")
                .args(["--pid", &own, "--nofile=20000:20000"])
                .output();
            match set {
                Ok(output) if output.status.success() => Ok(()),
                other => Err(format!("{other:?}; run as root, or with ulimit -n 20000")),
            }
        },
    );
}

const CONNECTIONS: usize = 10_000;
const MAX_BODY: usize = 16 << 20;
/// The README's formula: bodies under way and one more, 64 + 192 + 16 MiB, as much again that the allocator holds for a
/// moment when they change hands, and 64 MiB for everything else.
const PEAK_MIB: u64 = 2 * (64 + 192 + 16) + 64;
