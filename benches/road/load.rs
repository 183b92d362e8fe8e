//! The load generator: kept connections that each send the next request once the last is answered.
//!
//! A thread of its own with a runtime of one thread; what it costs is not in any figure, but it takes from the same cores.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use atoms_kafka_bridge::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::body::{Own, Template};

/// What was sent, and how long each answer took.
pub(crate) struct Sent {
    /// How many were answered 200.
    pub(crate) answered: u64,
    /// For how long requests were begun.
    pub(crate) took: Duration,
    /// Ascending.
    pub(crate) answers_us: Vec<u32>,
}

impl Sent {
    /// The part of answers that took at most so long.
    pub(crate) fn answer_ms(&self, part: f64) -> f64 {
        let place = (self.answers_us.len() as f64 * part) as usize;
        f64::from(self.answers_us.get(place).copied().unwrap_or_default()) / 1000.0
    }
}

/// Sends for so long on so many connections; each goes round the templates, which are the events of one call.
pub(crate) fn run(
    to: SocketAddr,
    connections: usize,
    templates: &[Template],
    lasting: Duration,
) -> Sent {
    run_paced(to, connections, templates, lasting, Duration::ZERO)
}

/// [`run`], with a pause behind each answer.
pub(crate) fn run_paced(
    to: SocketAddr,
    connections: usize,
    templates: &[Template],
    lasting: Duration,
    pause: Duration,
) -> Sent {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let began = Instant::now();
        let until = began + lasting;
        let lanes: Vec<_> = (0..connections)
            .map(|_| tokio::spawn(lane(to, templates.to_vec(), until, pause)))
            .collect();
        let mut answers_us = Vec::new();
        for lane in lanes {
            answers_us.extend(lane.await.expect("a lane does not panic"));
        }
        answers_us.sort_unstable();
        Sent {
            answered: answers_us.len() as u64,
            took: began.elapsed(),
            answers_us,
        }
    })
}

async fn lane(
    to: SocketAddr,
    templates: Vec<Template>,
    until: Instant,
    pause: Duration,
) -> Vec<u32> {
    let mut stream = TcpStream::connect(to).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket option");
    let mut answers_us = Vec::new();
    let mut answer = Vec::with_capacity(1024);
    while Instant::now() < until {
        let call = next();
        for template in &templates {
            let own = template.request(next(), call, Timestamp::now().unix_ms());
            let asked = Instant::now();
            send(&mut stream, template, &own).await;
            receive(&mut stream, &mut answer).await;
            answers_us.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }
    answers_us
}

async fn send(stream: &mut TcpStream, template: &Template, own: &Own) {
    let parts = [own.head.as_bytes(), &template.fixed, own.end.as_bytes()];
    let total = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut written = stream
        .write_vectored(&parts.map(IoSlice::new))
        .await
        .expect("it reads");
    while written < total {
        let mut before = 0;
        for part in parts {
            let from = written.saturating_sub(before).min(part.len());
            let rest = part.get(from..).unwrap_or_default();
            if !rest.is_empty() {
                stream.write_all(rest).await.expect("it reads");
                written += rest.len();
            }
            before += part.len();
        }
    }
}

/// Reads one answer, which must be 200 and new.
async fn receive(stream: &mut TcpStream, answer: &mut Vec<u8>) {
    answer.clear();
    loop {
        let read = stream.read_buf(answer).await.expect("it answers");
        assert_ne!(read, 0, "the connection ended");
        if is_whole(answer) {
            break;
        }
    }
    let text = || String::from_utf8_lossy(answer);
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", text());
    assert!(
        memchr::memmem::find(answer, b"duplicate").is_none(),
        "{}",
        text()
    );
}

/// Answers have a body of one line, and say how long it is.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else {
        return false;
    };
    let (head, body) = answer.split_at(end + 4);
    let name = b"content-length: ";
    let at = memchr::memmem::find(head, name).expect("it says how long it is") + name.len();
    let digits = head
        .iter()
        .skip(at)
        .take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    body.len() >= length
}

/// A number that no other request of this process has; the process keeps runs apart.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
