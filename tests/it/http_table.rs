//! Each row of the table of answers, over a real socket on the built binary.

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::bridge::{Bridge, SECRET, signature};
use crate::harness::calls::{delivery, id, judge};
use crate::harness::http::{Answer, Client, connect, read_answer};
use crate::harness::kafka::Broker;
use crate::harness::{kcat, shared_broker, unique, until};

#[test]
fn what_is_proven_is_stored_and_what_is_not_is_answered_alike() {
    let bridge = TestBridge::start();
    let (body, other) = (delivery("CALL-proven", 0), delivery("CALL-other", 0));
    let right = signature(SECRET, &body);
    let wrong = signature("another secret than the configured", &body);
    let foreign = signature(SECRET, &other);
    let unproven: &[(&str, &[(&str, &str)])] = &[
        ("default", &[]),
        ("default", &[("x-signature", "")]),
        ("default", &[("x-signature", &wrong)]),
        ("default", &[("x-signature", &foreign)]),
        ("default", &[("x-signature", &right[1..])]),
        ("default", &[("x-signature", &format!("sha1={right}"))]),
        ("default", &[("authorization", &right)]),
        (
            "default",
            &[
                ("x-signature", &[wrong.as_str(); 8].join(",")),
                ("x-signature", &right),
            ],
        ),
        ("factor", &[("x-signature", &right)]),
        ("factor", &[("x-signature", &right), ("x-api-key", "")]),
        (
            "factor",
            &[
                ("x-signature", &right),
                ("x-api-key", "the second factor, wrong"),
            ],
        ),
        ("factor", &[("x-signature", &wrong), ("x-api-key", FACTOR)]),
        ("factor", &[("x-api-key", FACTOR)]),
    ];
    let mut answers = BTreeSet::new();
    for (webhook, headers) in unproven {
        let answer = bridge.post(webhook, headers, &body);
        assert_problem(&answer, 401);
        answers.insert(format!("{:?} {}", without_date(&answer), answer.text()));
    }
    assert_eq!(
        answers.len(),
        1,
        "nothing tells which secret or header was wrong: {answers:?}"
    );
    assert_eq!(bridge.bridge.pending(), 0);

    let with_factor: &[(&str, &str)] = &[("x-signature", &right), ("x-api-key", FACTOR)];
    assert_kept(
        &bridge.post("factor", with_factor, &body),
        "stored",
        "CALL-proven.0000",
    );
    bridge.judge(&["CALL-proven"], 1);
}

#[test]
fn a_signature_is_read_in_every_spelling_and_from_any_secret() {
    let bridge = TestBridge::start();
    let wrong = "0".repeat(64);
    let spellings: [&dyn Fn(&str) -> Fields; 9] = [
        &|right| vec![("X-Signature", right.to_owned())],
        &|right| vec![("X-Atoms-Signature", format!("sha256={right}"))],
        &|right| vec![("x-atoms-signature", right.to_owned())],
        &|right| vec![("x-signature", format!("sha256={right}"))],
        &|right| vec![("x-signature", right.to_uppercase())],
        &|right| vec![("x-signature", format!("SHA256={}", right.to_uppercase()))],
        &|right| vec![("x-signature", format!("{wrong}, sha256={right}"))],
        &|right| {
            vec![
                ("x-signature", wrong.clone()),
                ("x-atoms-signature", right.to_owned()),
            ]
        },
        &|right| {
            [
                vec![("x-signature", wrong.clone()); 7],
                vec![("x-signature", right.to_owned())],
            ]
            .concat()
        },
    ];
    let mut step = 0;
    for secret in [SECRET, ROTATED] {
        for spelling in spellings {
            let body = delivery("CALL-spelled", step);
            let headers = spelling(&signature(secret, &body));
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            assert_kept(
                &bridge.post("default", &headers, &body),
                "stored",
                &id("CALL-spelled", step),
            );
            step += 1;
        }
    }
    bridge.judge(&["CALL-spelled"], step);
}

#[test]
fn other_paths_methods_and_bodies_are_refused_and_the_bridge_goes_on() {
    let bridge = TestBridge::start();
    let body = delivery("CALL-refused", 0);
    for path in [
        "/",
        "/webhooks",
        "/webhooks/",
        "/webhooks/nobody",
        "/webhooks/default/x",
        "/webhooks/Default",
    ] {
        let signature = signature(SECRET, &body);
        let answer = bridge
            .client()
            .request("POST", path, &[("x-signature", &signature)], &body)
            .expect(path);
        assert_problem(&answer, 404);
    }
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = bridge
            .client()
            .request(method, "/webhooks/default", &[], b"")
            .expect(method);
        assert_problem(&answer, 405);
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
    }
    assert_problem(&bridge.ask(&head("content-length: 65537"), b""), 413);
    let chunk = [b"8000\r\n".as_slice(), &[b' '; 0x8000], b"\r\n"].concat();
    assert_problem(
        &bridge.ask(&head("transfer-encoding: chunked"), &chunk.repeat(3)),
        413,
    );

    let began = Instant::now();
    assert_problem(&bridge.ask(&head("content-length: 100"), b"{\"cut\":"), 408);
    assert!(
        began.elapsed() >= READ_TIMEOUT,
        "after {:?}",
        began.elapsed()
    );

    let chunked = format!(
        "{:x}\r\n{}\r\n0\r\n\r\n",
        body.len(),
        String::from_utf8_lossy(&body)
    );
    let signed = head(&format!(
        "transfer-encoding: chunked\r\nx-signature: {}",
        signature(SECRET, &body)
    ));
    assert_kept(
        &bridge.ask(&signed, chunked.as_bytes()),
        "stored",
        &id("CALL-refused", 0),
    );
    bridge.judge(&["CALL-refused"], 1);
}

#[test]
fn fifty_posts_of_one_delivery_at_once_are_one_event() {
    let bridge = TestBridge::start();
    let body = delivery("CALL-fifty", 0);
    let lanes = vec![vec![body]; 50];
    let answers = bridge
        .bridge
        .post_lanes("default", &lanes)
        .into_iter()
        .flatten();
    let answers: Vec<Answer> = answers.map(|answer| answer.expect("an answer")).collect();
    let count = |status: &str| {
        let of = |answer: &&Answer| answer.status == 200 && answer.json()["status"] == status;
        answers.iter().filter(of).count()
    };
    assert_eq!(
        (count("stored"), count("duplicate")),
        (1, 49),
        "{answers:?}"
    );
    bridge.judge(&["CALL-fifty"], 1);
    // A repeat that comes when the first is long in Kafka is none the less one.
    let late = bridge.bridge.post("default", &delivery("CALL-fifty", 0));
    assert_kept(&late, "duplicate", &id("CALL-fifty", 0));
    bridge.judge(&["CALL-fifty"], 1);
}

#[test]
fn another_body_under_the_same_id_is_an_event_of_its_own() {
    let bridge = TestBridge::start();
    let first = json!({"id": "one", "event": "call.end", "call_id": "CALL-same"})
        .to_string()
        .into_bytes();
    let second =
        json!({"id": "one", "event": "call.end", "call_id": "CALL-same", "disposition": "x"})
            .to_string()
            .into_bytes();
    let second_id = format!("one-{}", &hex::encode(Sha256::digest(&second))[..8]);
    assert_kept(&bridge.bridge.post("default", &first), "stored", "one");
    assert_kept(
        &bridge.bridge.post("default", &second),
        "stored",
        &second_id,
    );
    assert_kept(
        &bridge.bridge.post("default", &second),
        "duplicate",
        &second_id,
    );
    assert_kept(&bridge.bridge.post("default", &first), "duplicate", "one");
    bridge.bridge.await_published();
    let topic = format!("{}post-conversation", bridge.prefix);
    let records = kcat::await_count(
        &shared_broker().address(),
        &topic,
        2,
        Duration::from_secs(10),
    );
    let ids: Vec<Value> = records
        .iter()
        .map(|record| record.json()["id"].clone())
        .collect();
    assert_eq!(ids, ["one", second_id.as_str()]);
}

#[test]
fn a_full_journal_answers_503_until_kafka_is_back() {
    let mut broker = Broker::prepare(&[]);
    let bridge = Bridge::new(&broker.address())
        .with("TOPICS__PARTITIONS", "2")
        .with("JOURNAL__MAX_BYTES", "400KiB")
        .start();
    let mut client = bridge.client();
    let mut post = |step| {
        crate::harness::bridge::post(&mut client, "default", &delivery("CALL-full", step))
            .expect("an answer")
    };
    let full = (0..1000).find(|step| {
        let answer = post(*step);
        if answer.status != 200 {
            assert_problem(&answer, 503);
            let seconds: Option<u32> = answer
                .header("retry-after")
                .and_then(|text| text.parse().ok());
            assert!(seconds.is_some_and(|seconds| seconds > 0), "{answer:?}");
        }
        answer.status != 200
    });
    let full = full.expect("400 KiB hold less than 1000 deliveries");
    assert!(full > 20, "only {full} deliveries in 400 KiB");
    assert_eq!(
        bridge.health("/readyz").expect("an answer").status,
        503,
        "a load balancer must know"
    );
    assert_eq!(client.get("/readyz").expect("an answer").status, 503);

    broker.resume();
    until("room in the journal", Duration::from_secs(60), || {
        let answer = bridge.health("/readyz").expect("an answer");
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.text())
        }
    });
    assert_kept(
        &bridge.post("default", &delivery("CALL-full", full)),
        "stored",
        &id("CALL-full", full),
    );
    bridge.await_published();
    judge(
        &broker.address(),
        "atoms.",
        &(0..=full).map(|step| id("CALL-full", step)).collect(),
    );
}

/// Header fields, made for a signature.
type Fields = Vec<(&'static str, String)>;

/// A bridge with small limits, two secrets, and a webhook with a second factor.
struct TestBridge {
    bridge: Bridge,
    prefix: String,
}

impl TestBridge {
    fn start() -> Self {
        let prefix = format!("{}.", unique("http"));
        let file = format!(
            "[webhooks.default]\nsecrets = [\"env:ATOMS_WEBHOOK_SECRET\", \"literal:{ROTATED}\"]\n\
             [webhooks.factor]\nsecrets = [\"env:ATOMS_WEBHOOK_SECRET\"]\n\
             header = {{ name = \"X-Api-Key\", value = \"literal:{FACTOR}\" }}\n"
        );
        let bridge = Bridge::new(&shared_broker().address())
            .with_file("bridge.toml", &file)
            .with("TOPICS__PREFIX", &prefix)
            .with("TOPICS__PARTITIONS", "2")
            .with("LISTEN__MAX_BODY", "64KiB")
            .with("LISTEN__READ_TIMEOUT", "1s")
            .start();
        Self { bridge, prefix }
    }

    fn client(&self) -> Client {
        self.bridge.client()
    }

    fn post(&self, webhook: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let path = format!("/webhooks/{webhook}");
        self.client()
            .request("POST", &path, headers, body)
            .expect("an answer")
    }

    /// Writes a request as it stands and reads the answer.
    fn ask(&self, head: &str, body: &[u8]) -> Answer {
        ask(self.bridge.webhooks_address(), head, body)
    }

    /// The topics hold so many deliveries of each call, once each, and nothing that was refused.
    fn judge(&self, calls: &[&str], steps: usize) {
        self.bridge.await_published();
        let ids = calls
            .iter()
            .flat_map(|call| (0..steps).map(|step| id(call, step)))
            .collect();
        judge(&shared_broker().address(), &self.prefix, &ids);
    }
}

fn ask(address: SocketAddr, head: &str, body: &[u8]) -> Answer {
    let stream = connect(address).expect("a connection");
    let mut writing = stream.try_clone().expect("a second handle");
    // The bridge may answer and close before it has read everything.
    let (head, body) = (head.to_owned(), body.to_vec());
    let writer = thread::spawn(move || {
        writing
            .write_all(head.as_bytes())
            .and_then(|()| writing.write_all(&body))
    });
    let answer = read_answer(&mut BufReader::new(stream)).expect("an answer");
    let _ = writer.join().expect("the writer does not panic");
    answer
}

fn head(fields: &str) -> String {
    format!("POST /webhooks/default HTTP/1.1\r\nhost: bridge\r\n{fields}\r\n\r\n")
}

fn assert_kept(answer: &Answer, status: &str, id: &str) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json(), json!({"status": status, "id": id}));
}

/// RFC 9457, and not a word on what was wrong with secrets and headers.
fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert!(
        problem["title"].is_string() && problem["detail"].is_string(),
        "{problem}"
    );
    let text = answer.text().to_lowercase();
    for word in ["signature", "secret", "api-key", "header", "hmac", "factor"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

fn without_date(answer: &Answer) -> Vec<(String, String)> {
    answer
        .headers
        .iter()
        .filter(|(name, _)| name != "date")
        .cloned()
        .collect()
}

const ROTATED: &str = "the secret that takes over after the rotation";
const FACTOR: &str = "the second factor, shared with the sender";
const READ_TIMEOUT: Duration = Duration::from_secs(1);
