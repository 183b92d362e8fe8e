//! Senders that dawdle, flood with headers, or send what two servers would read in two ways: each is answered or cut off,
//! nothing that hides behind a request is taken, and a caller who signs meanwhile hears nothing but 200.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::harness::bridge::{Bridge, SECRET, signature};
use crate::harness::calls;
use crate::harness::http::{connect, read_answer};
use crate::harness::load::Load;

#[test]
fn slow_senders_and_floods_of_headers_are_answered_and_cut_off() {
    let bridge = Bridge::new("127.0.0.1:9")
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
        bridge.usage().peak_rss_bytes >> 20
    );
    assert_eq!(bridge.pending() as usize, meanwhile);
}

/// What comes behind the answer must not be taken for the next request, whose time would then run.
#[test]
fn where_a_body_is_not_read_the_answer_ends_the_connection() {
    let bridge = Bridge::new("127.0.0.1:9").start();
    for (first, status) in [
        ("POST /nowhere", 404),
        ("POST /webhooks/nobody", 404),
        ("PUT /webhooks/default", 405),
        ("POST /readyz", 405),
        ("GET /readyz", 200),
    ] {
        for (fields, ends) in [("content-length: 5", true), ("content-length: 0", false)] {
            let mut stream = connect(bridge.webhooks_address()).expect("a connection");
            let head = format!("{first} HTTP/1.1\r\nhost: bridge\r\n{fields}\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("it is read");
            let answer = read_answer(&mut BufReader::new(stream)).expect("an answer");
            assert_eq!(answer.status, status, "{first}");
            let is_last = answer.header("connection") == Some("close");
            assert_eq!(is_last, ends, "{first}, {fields}");
        }
    }
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
