//! The public listener over a real socket, with a client so raw that it can misbehave.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::health::{Health, Readiness};
use super::*;
use crate::config::StaticHeader;
use crate::journal::Row;
use crate::metrics::Metrics;
use crate::verify::secret::Secret;

#[tokio::test]
async fn a_signed_delivery_is_stored_and_its_repeat_is_a_duplicate() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let post = signed_post(br#"{"id":"a \"quoted\\ id"}"#);
    let stored = bridge.ask(&post).await;
    assert_eq!(stored.code, 200);
    assert_eq!(stored.json()["status"], "stored");
    assert_eq!(stored.json()["id"], r#"a "quoted\ id"#);
    assert!(stored.head.contains("content-type: application/json\r\n"));
    let again = bridge.ask(&post).await;
    assert_eq!(again.code, 200);
    assert_eq!(again.json()["status"], "duplicate");
    assert_eq!(again.json()["id"], stored.json()["id"]);
}

#[tokio::test]
async fn either_signature_header_is_read() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    for (place, header) in [
        format!("X-Signature: {}", signature(BODY)),
        format!("X-Signature: sha256={}", signature(BODY).to_uppercase()),
        format!("X-Atoms-Signature: sha256={}", signature(BODY)),
        format!("x-atoms-signature: {}", signature(BODY)),
        format!("X-Signature: 00\r\nX-Atoms-Signature: {}", signature(BODY)),
    ]
    .iter()
    .enumerate()
    {
        let answer = bridge.ask(&post("default", header, BODY)).await;
        assert_eq!(answer.code, 200, "{header}");
        let expected = if place == 0 { "stored" } else { "duplicate" };
        assert_eq!(answer.json()["status"], expected, "{header}");
    }
}

#[tokio::test]
async fn what_is_not_proven_is_answered_401_and_always_alike() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let right = format!("X-Signature: {}", signature(BODY));
    let mut bodies = Vec::new();
    for (webhook, header) in [
        ("default", "X-Nothing: 0".to_owned()),
        ("default", format!("X-Signature: {}", "0".repeat(64))),
        (
            "default",
            format!("X-Signature: {}", &signature(BODY)[..40]),
        ),
        ("strict", right.clone()),
        ("strict", format!("{right}\r\nX-Api-Key: wrong")),
    ] {
        let answer = bridge.ask(&post(webhook, &header, BODY)).await;
        assert_eq!(answer.code, 401, "{webhook} {header}");
        answer.assert_problem(401);
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "an answer says what was wrong");
    let kept = || bridge.quarantine.counts().kept == 5;
    assert!(until(kept).await, "{:?}", bridge.quarantine.counts());
    assert!(bridge.rows().is_empty());
    let complete = format!("{right}\r\nX-Api-Key: open sesame");
    assert_eq!(bridge.ask(&post("strict", &complete, BODY)).await.code, 200);
}

#[tokio::test]
async fn other_paths_and_methods_are_answered_404_and_405() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    for (line, code, allow) in [
        ("POST /webhooks/other", 404, None),
        ("GET /webhooks/other", 404, None),
        ("POST /webhooks/default/", 404, None),
        ("POST /webhooks/default/more", 404, None),
        ("POST /webhooks/%FF", 404, None),
        ("POST /webhooks/", 404, None),
        ("POST /", 404, None),
        ("GET /metrics", 404, None),
        ("GET /webhooks/default", 405, Some("POST")),
        ("PUT /webhooks/default", 405, Some("POST")),
        ("OPTIONS /webhooks/default", 405, Some("POST")),
        ("POST /readyz", 405, Some("GET, HEAD")),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{{}}");
        let answer = bridge.ask(request.as_bytes()).await;
        assert_eq!(answer.code, code, "{line}");
        answer.assert_problem(code);
        let allow = allow.map(|methods| format!("allow: {methods}\r\n"));
        assert!(
            answer.head.contains(&allow.unwrap_or_default()),
            "{line}: {}",
            answer.head
        );
    }
}

#[tokio::test]
async fn an_unknown_webhook_is_answered_before_its_body_comes() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let head = "POST /webhooks/other HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
    assert_eq!(bridge.ask(head.as_bytes()).await.code, 404);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_413() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let head = "POST /webhooks/default HTTP/1.1\r\nHost: a\r\n";
    let declared = format!("{head}Content-Length: {}\r\n\r\n", MAX_BODY + 1);
    let answer = bridge.ask(declared.as_bytes()).await;
    answer.assert_problem(413);

    let mut streamed = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..9 {
        streamed.extend_from_slice(format!("{:x}\r\n", MAX_BODY / 8).as_bytes());
        streamed.extend(std::iter::repeat_n(b'a', MAX_BODY as usize / 8));
        streamed.extend_from_slice(b"\r\n");
    }
    bridge.ask(&streamed).await.assert_problem(413);
}

#[tokio::test]
async fn a_sender_that_sends_all_of_a_body_too_large_still_hears_413() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let body = vec![b'a'; 10 * MAX_BODY as usize];
    let mut client = bridge.connect().await;
    client.write_all(&signed_post(&body)).await.unwrap();
    read_answer(&mut client).await.assert_problem(413);
    assert_eq!(
        client.read(&mut [0]).await.unwrap(),
        0,
        "and then the connection ends"
    );
}

#[tokio::test]
async fn the_largest_body_is_stored_declared_or_chunked() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let body = vec![b'a'; MAX_BODY as usize];
    assert_eq!(bridge.ask(&signed_post(&body)).await.code, 200);
    let mut chunked = format!(
        "POST /webhooks/default HTTP/1.1\r\nHost: a\r\nX-Signature: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        signature(&body)
    )
    .into_bytes();
    for part in body.chunks(10_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let answer = bridge.ask(&chunked).await;
    assert_eq!(answer.json()["status"], "duplicate");
    assert_eq!(
        bridge.rows().first().map(|row| row.body.len()),
        Some(body.len())
    );
}

#[tokio::test]
async fn a_body_that_trickles_is_answered_408_after_its_whole_time() {
    let bridge = Bridge::start(MAX_BODY, HASTY).await;
    let (mut answers, mut sender) = bridge.connect().await.into_split();
    let begun = Instant::now();
    let trickle = tokio::spawn(async move {
        let head = "POST /webhooks/default HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
        let mut sent = sender.write_all(head.as_bytes()).await;
        while sent.is_ok() {
            tokio::time::sleep(HASTY / 10).await;
            sent = sender.write_all(b"a").await;
        }
    });
    read_answer(&mut answers).await.assert_problem(408);
    assert!(begun.elapsed() >= HASTY);
    trickle.abort();
}

#[tokio::test]
async fn a_header_that_trickles_ends_the_connection_and_an_idle_one_stays() {
    let bridge = Bridge::start(MAX_BODY, HASTY).await;
    let mut idle = bridge.connect().await;
    idle.write_all(&signed_post(BODY)).await.unwrap();
    assert_eq!(read_answer(&mut idle).await.code, 200);

    let (mut answers, mut sender) = bridge.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        while sender.write_all(b"P").await.is_ok() {
            tokio::time::sleep(HASTY / 10).await;
        }
    });
    assert!(matches!(answers.read(&mut [0]).await, Ok(0) | Err(_)));
    trickle.abort();

    let mut silent = bridge.connect().await;
    assert!(matches!(silent.read(&mut [0]).await, Ok(0) | Err(_)));

    idle.write_all(&signed_post(BODY)).await.unwrap();
    assert_eq!(
        read_answer(&mut idle).await.code,
        200,
        "after more than the time for a header"
    );
    idle.write_all(b"POST /webh").await.unwrap();
    assert!(matches!(idle.read(&mut [0]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_sender_that_hangs_up_behind_a_complete_body_cancels_nothing() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let part = signed_post(b"[]");
    for call in 0..50 {
        // Of many sizes, so that the end of the connection is met in every state of reading.
        let body = format!(r#"{{"id":"{call}","more":"{}"}}"#, "a".repeat(call * 2500));
        let mut complete = bridge.connect().await;
        let post = signed_post(body.as_bytes());
        complete.write_all(&post).await.unwrap();
        // Before the bridge has had a turn.
        drop(complete);
        let mut incomplete = bridge.connect().await;
        incomplete.write_all(&part[..part.len() - 1]).await.unwrap();
    }
    let all = until(|| bridge.rows().len() == 50).await;
    assert!(all, "{} rows", bridge.rows().len());
}

#[tokio::test]
async fn a_sender_that_ends_its_side_still_hears_the_answer() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let header = format!("X-Signature: {}", signature(BODY));
    let mut client = bridge.connect().await;
    let slowly_answered = post("kafka", &header, BODY);
    client.write_all(&slowly_answered).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_answer(&mut client).await.code, 200);
}

#[tokio::test]
async fn kept_alive_and_pipelined_requests_are_answered_in_order() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let mut client = bridge.connect().await;
    for expected in ["stored", "duplicate"] {
        client.write_all(&signed_post(BODY)).await.unwrap();
        assert_eq!(read_answer(&mut client).await.json()["status"], expected);
    }
    let pipelined: Vec<u8> = (0..20)
        .flat_map(|n| signed_post(format!(r#"{{"id":"p{n}"}}"#).as_bytes()))
        .collect();
    client.write_all(&pipelined).await.unwrap();
    for n in 0..20 {
        assert_eq!(read_answer(&mut client).await.json()["id"], format!("p{n}"));
    }
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_to_go_on_or_not() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let whole = signed_post(BODY);
    let (head, body) = whole.split_at(whole.len() - BODY.len());
    let head = String::from_utf8(head.to_vec())
        .unwrap()
        .replace("Host:", "Expect: 100-continue\r\nHost:");
    let mut client = bridge.connect().await;
    client.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut client).await.code, 100);
    client.write_all(body).await.unwrap();
    assert_eq!(read_answer(&mut client).await.code, 200);

    let too_large = head.replace(
        &format!("Content-Length: {}", BODY.len()),
        "Content-Length: 99999999",
    );
    assert_eq!(bridge.ask(too_large.as_bytes()).await.code, 413);
}

#[tokio::test]
async fn headers_worth_keeping_are_kept_when_short_and_plain() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let headers = format!(
        "X-Signature: {}\r\nContent-Type: application/json\r\nTraceparent: 00-a-b-01\r\nUser-Agent: caf\u{e9}\r\nContent-Encoding: {}",
        signature(BODY),
        "x".repeat(1025),
    );
    assert_eq!(bridge.ask(&post("default", &headers, BODY)).await.code, 200);
    let kept = bridge.rows().remove(0).headers;
    assert_eq!(kept.content_type.as_deref(), Some("application/json"));
    assert_eq!(kept.traceparent.as_deref(), Some("00-a-b-01"));
    assert_eq!((kept.user_agent, kept.content_encoding), (None, None));
}

#[tokio::test]
async fn a_header_too_large_is_refused_and_the_next_connection_served() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let flood = format!(
        "POST /webhooks/default HTTP/1.1\r\nA: {}\r\n\r\n",
        "a".repeat(100_000)
    );
    let mut client = bridge.connect().await;
    let _ = client.write_all(flood.as_bytes()).await;
    let many: String = (0..200).map(|n| format!("A{n}: b\r\n")).collect();
    let many = format!("POST /webhooks/default HTTP/1.1\r\n{many}\r\n");
    assert_eq!(bridge.ask(many.as_bytes()).await.code, 431);
    assert_eq!(bridge.ask(&signed_post(BODY)).await.code, 200);
}

#[tokio::test]
async fn readiness_follows_the_probe_and_says_nothing_else() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let ask = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n";
    let ready = bridge.ask(ask).await;
    assert_eq!(
        (ready.code, ready.body.as_str()),
        (200, r#"{"status":"ready"}"#)
    );
    bridge.ready.store(false, Relaxed);
    let not_ready = bridge.ask(ask).await;
    not_ready.assert_problem(503);
    assert!(not_ready.head.contains("retry-after: "));
}

#[tokio::test]
async fn stopping_answers_what_is_under_way_and_closes_the_idle() {
    let mut bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let mut idle = bridge.connect().await;
    idle.write_all(&signed_post(b"{}")).await.unwrap();
    assert_eq!(read_answer(&mut idle).await.code, 200);
    let whole = signed_post(BODY);
    let (first, rest) = whole.split_at(whole.len() - 3);
    let mut under_way = bridge.connect().await;
    under_way.write_all(first).await.unwrap();
    // Clients open connections in advance.
    let mut silent = bridge.connect().await;
    // It is under way once the bridge has accepted what came before this answer.
    assert_eq!(bridge.ask(&signed_post(b"{}")).await.code, 200);

    bridge.stop.take().unwrap().send(()).unwrap();
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    under_way.write_all(rest).await.unwrap();
    let answer = read_answer(&mut under_way).await;
    assert_eq!(answer.code, 200);
    assert!(answer.head.contains("connection: close\r\n"));
    // Long before those are cut that do not end in time.
    tokio::time::timeout(Duration::from_secs(5), silent.read(&mut [0]))
        .await
        .unwrap()
        .unwrap();
    tokio::time::timeout(Duration::from_secs(2), &mut bridge.task)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(bridge.address).await.is_err());
}

#[tokio::test]
async fn an_answer_that_waits_for_kafka_waits_no_longer_than_allowed() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    let header = format!("X-Signature: {}", signature(BODY));
    let begun = Instant::now();
    assert_eq!(bridge.ask(&post("kafka", &header, BODY)).await.code, 200);
    assert!(begun.elapsed() >= ACK_TIMEOUT);
    bridge.journal.settle(u64::MAX >> 1);
}

#[tokio::test]
async fn what_the_journal_does_not_take_is_answered_503() {
    let bridge = Bridge::start(MAX_BODY, PATIENT).await;
    bridge.journal.close();
    let answer = bridge.ask(&signed_post(BODY)).await;
    answer.assert_problem(503);
    assert!(answer.head.contains("retry-after: "));
}

#[tokio::test]
async fn health_tells_the_parts_and_kafka_is_never_a_reason_for_503() {
    let failing = |reason: &str| Health::Failing {
        reason: reason.into(),
    };
    for (journal, kafka, code) in [
        (Health::Ok, Health::Ok, 200),
        (Health::Ok, failing("no broker answers"), 200),
        (failing("the disk is full"), Health::Ok, 503),
    ] {
        let readiness = Readiness {
            journal,
            kafka,
            registry: Some(failing("no registry answers")),
        };
        let probe: Probe = {
            let readiness = readiness.clone();
            Arc::new(move || readiness.clone())
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listen = listen(MAX_BODY, PATIENT);
        let serving = tokio::spawn(async move {
            health::serve(
                listener,
                &listen,
                (probe, Metrics::new()),
                std::future::pending(),
            )
            .await;
        });
        let live = ask(address, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(
            (live.code, live.body.as_str()),
            (200, r#"{"status":"live"}"#)
        );
        let ready = ask(address, b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(ready.code, code, "{readiness:?}");
        assert_eq!(
            ready.json()["journal"]["status"] == "ok",
            readiness.is_ready()
        );
        assert_eq!(
            ready.json()["kafka"]["status"] == "ok",
            readiness.kafka == Health::Ok
        );
        for (line, code) in [
            ("POST /livez", 405),
            ("DELETE /readyz", 405),
            ("GET /metrics.json", 404),
        ] {
            let request = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(ask(address, request.as_bytes()).await.code, code, "{line}");
        }
        serving.abort();
    }
}

/// A receiver on a port of its own, with a journal in a directory of its own.
struct Bridge {
    address: SocketAddr,
    journal: Journal,
    quarantine: Quarantine,
    ready: Arc<AtomicBool>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Bridge {
    async fn start(max_body_bytes: u64, read_timeout: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.db");
        let journal = Journal::open(&path).unwrap();
        let quarantine = Quarantine::open(&path).unwrap();
        let ready = Arc::new(AtomicBool::new(true));
        let probe: Probe = {
            let ready = ready.clone();
            Arc::new(move || Readiness {
                journal: if ready.load(Relaxed) {
                    Health::Ok
                } else {
                    Health::Failing {
                        reason: "full".into(),
                    }
                },
                kafka: Health::Ok,
                registry: None,
            })
        };
        let listen = listen(max_body_bytes, read_timeout);
        let stores = (journal.clone(), quarantine.clone());
        let telemetry = (&Metrics::new(), Traces::default());
        let receiver = Receiver::new(&listen, &webhooks(), stores, probe, telemetry);
        let listener = TcpListener::bind(listen.webhooks).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(receiver.serve(listener, async { _ = stopped.await }));
        Self {
            address,
            journal,
            quarantine,
            ready,
            stop: Some(stop),
            task,
            _directory: directory,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn ask(&self, request: &[u8]) -> Answer {
        ask(self.address, request).await
    }

    fn rows(&self) -> Vec<Row> {
        self.journal
            .reader()
            .unwrap()
            .pending(0, 1000, usize::MAX >> 1)
            .unwrap()
    }
}

fn listen(max_body_bytes: u64, read_timeout: Duration) -> Listen {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Listen {
        console: None,
        webhooks: any,
        health: any,
        max_body_bytes,
        read_timeout,
        tls: None,
        proxies: Proxies::default(),
    }
}

fn webhooks() -> BTreeMap<WebhookName, Webhook> {
    let webhook = |name: &str, header: Option<StaticHeader>, ack: Ack| {
        let name = WebhookName::parse(name).unwrap();
        let secrets = vec![Secret::new(SECRET).unwrap()];
        (
            name.clone(),
            Webhook {
                name,
                secrets,
                header,
                topic_prefix: None,
                ack,
            },
        )
    };
    let value = Secret::new(b"open sesame").unwrap();
    let header = StaticHeader {
        name: "x-api-key".into(),
        value,
    };
    BTreeMap::from([
        webhook("default", None, Ack::Journal),
        webhook("strict", Some(header), Ack::Journal),
        webhook(
            "kafka",
            None,
            Ack::Kafka {
                timeout: ACK_TIMEOUT,
            },
        ),
    ])
}

fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn post(webhook: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /webhooks/{webhook} HTTP/1.1\r\nHost: a\r\n{headers}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn signed_post(body: &[u8]) -> Vec<u8> {
    post(
        "default",
        &format!("X-Signature: {}", signature(body)),
        body,
    )
}

async fn ask(address: SocketAddr, request: &[u8]) -> Answer {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request).await.unwrap();
    read_answer(&mut client).await
}

/// Whether a condition comes true before long.
async fn until(condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    condition()
}

struct Answer {
    code: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn assert_problem(&self, code: u16) {
        assert_eq!(self.code, code, "{}", self.head);
        assert!(
            self.head
                .contains("content-type: application/problem+json\r\n"),
            "{}",
            self.head
        );
        let problem = self.json();
        assert_eq!(problem["status"], code);
        for field in ["type", "title", "detail"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "{problem}"
            );
        }
    }
}

/// Reads one answer and not a byte more.
async fn read_answer(stream: &mut (impl AsyncReadExt + Unpin)) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    let head = String::from_utf8(head).unwrap();
    let code = head[9..12].parse().unwrap();
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
        rest.split("\r\n").next().unwrap().parse().unwrap()
    });
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Answer {
        code,
        head,
        body: String::from_utf8(body).unwrap(),
    }
}

const SECRET: &[u8] = b"a secret of more than sixteen bytes";
const BODY: &[u8] = br#"{"id":"69fd96578d7c3809f58ce555"}"#;
const MAX_BODY: u64 = 256 * 1024;
const PATIENT: Duration = Duration::from_secs(10);
const HASTY: Duration = Duration::from_millis(300);
const ACK_TIMEOUT: Duration = Duration::from_millis(200);
