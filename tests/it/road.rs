//! What is posted lands as its golden event: every recorded delivery, through `serve` as two variables configure it.
//!
//! Topic, key, partition, headers, timestamp and value of each record are compared in full, so that nothing is there that
//! is not promised either.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atoms_kafka_bridge::time::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::bridge::{Bridge, post_with};
use crate::harness::kafka::Broker;
use crate::harness::record::Record;
use crate::harness::{java, kcat, ports};
use crate::tree::Tree;

#[test]
fn every_recorded_delivery_lands_as_its_golden_event() {
    let broker = Broker::start();
    let _ports = ports::default_ports();
    let bridge = Bridge::with_two_variables(&broker.address()).start();
    let sent = post_all_cases(&bridge);
    assert!(sent.len() > 60, "only {} cases", sent.len());
    bridge.await_published();

    let mut records = by_id(&broker.address(), sent.len());
    let partitions = javas_partitions(&broker, &sent);
    let mut last_seq = 0;
    let mut journals = BTreeSet::new();
    for sent in &sent {
        let record = records
            .remove(&sent.id)
            .unwrap_or_else(|| panic!("{}: no record", sent.case));
        match &sent.golden {
            Golden::Event(text) => sent.check_event(&record, text, &partitions),
            Golden::Unreadable(told) => sent.check_dead_letter(&record, told),
        }
        assert!(
            sent.posted_ms.contains(&record.timestamp_ms),
            "{}: {record:?}",
            sent.case
        );
        sent.check_trace(&record);
        let seq: u64 = header(&record, "bridge.seq").parse().expect("a number");
        assert!(seq > last_seq, "{}: {seq} behind {last_seq}", sent.case);
        last_seq = seq;
        journals.insert(header(&record, "bridge.journal").to_owned());
    }
    assert!(records.is_empty(), "nobody sent {records:?}");
    assert_eq!(journals.len(), 1);
    uuid::Uuid::parse_str(journals.first().expect("one")).expect("the journal's name is a UUID");
}

/// A case as it was posted.
struct Sent {
    case: String,
    body: Vec<u8>,
    golden: Golden,
    id: String,
    traceparent: Option<&'static str>,
    posted_ms: RangeInclusive<i64>,
}

/// What it must become.
enum Golden {
    Event(String),
    Unreadable(Value),
}

/// Posts each case once, in order, every other with a trace of its own.
fn post_all_cases(bridge: &Bridge) -> Vec<Sent> {
    let mut client = bridge.client();
    let (mut ids, mut bodies) = (BTreeSet::new(), BTreeSet::new());
    let mut all = Vec::new();
    for (number, case) in cases().into_iter().enumerate() {
        let body = fs::read(case.join("body.json")).expect("a body");
        if !bodies.insert(body.clone()) {
            continue;
        }
        let golden = golden(&case);
        let id = expected_id(&golden, &body, &mut ids);
        let traceparent = (number % 2 == 0).then_some(TRACEPARENT);
        let trace = traceparent.map(|trace| ("traceparent", trace));
        let began_ms = now_ms();
        let answer = post_with(&mut client, "default", trace.as_slice(), &body).expect("an answer");
        let case = case
            .strip_prefix(fixtures())
            .expect("a fixture")
            .display()
            .to_string();
        assert_eq!(answer.status, 200, "{case}: {}", answer.text());
        assert_eq!(
            answer.json(),
            serde_json::json!({"status": "stored", "id": id}),
            "{case}"
        );
        all.push(Sent {
            case,
            body,
            golden,
            id,
            traceparent,
            posted_ms: began_ms..=now_ms(),
        });
    }
    all
}

/// The delivery's own id; with the body's hash behind it where another body had it before.
fn expected_id(golden: &Golden, body: &[u8], ids: &mut BTreeSet<String>) -> String {
    let hash = hex::encode(Sha256::digest(body));
    let own = match golden {
        Golden::Event(text) => {
            let event = Tree::read(text).to_value();
            event["id"].as_str().expect("an id").to_owned()
        }
        Golden::Unreadable(_) => {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            body["id"]
                .as_str()
                .map_or_else(|| format!("sha256-{}", &hash[..32]), str::to_owned)
        }
    };
    if ids.insert(own.clone()) {
        own
    } else {
        format!("{own}-{}", &hash[..8])
    }
}

impl Sent {
    fn check_event(&self, record: &Record, golden: &str, partitions: &BTreeMap<String, i32>) {
        let case = &self.case;
        let received_at = Timestamp::from_unix_ms(record.timestamp_ms).to_string();
        let expected = self.expected_value(golden, &received_at);
        assert_eq!(String::from_utf8_lossy(&record.value), expected, "{case}");

        let event = Tree::read(&expected).to_value();
        let text = |name: &str| {
            event[name]
                .as_str()
                .unwrap_or_else(|| panic!("{case}: no {name}"))
        };
        let topic = match event["stage"].as_u64() {
            Some(1) => "pre-conversation",
            Some(2) => "post-conversation",
            Some(3) => "analytics-completed",
            _ => "unrecognized",
        };
        assert_eq!(record.topic, format!("atoms.{topic}"), "{case}");
        assert_eq!(record.key(), text("callId"), "{case}");
        assert_eq!(
            partitions.get(record.key()),
            Some(&record.partition),
            "{case}"
        );
        let agent = event["agentId"]
            .as_str()
            .map(|id| format!("/{}", percent_encoded(id)));
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", &self.id),
            (
                "ce_source",
                &format!("/atoms/agents{}", agent.unwrap_or_default()),
            ),
            ("ce_type", &format!("ai.smallest.atoms.{}.v1", text("type"))),
            ("ce_subject", text("callId")),
            ("ce_time", text("occurredAt")),
            (
                "ce_dataschema",
                &format!("urn:atoms-kafka-bridge:schema:{topic}.v1"),
            ),
            ("content-type", "application/json"),
        ];
        self.check_headers(record, &headers);
    }

    /// The golden event in one line, with what depends on when and after whom it was posted.
    fn expected_value(&self, golden: &str, received_at: &str) -> String {
        let line = without_spaces(golden);
        let own_id = line
            .split('"')
            .nth(3)
            .expect("the id comes first")
            .to_owned();
        line.replacen(&own_id, &self.id, 1)
            .replacen(
                &format!("\"receivedAt\":\"{GOLDEN_RECEIVED_AT}\""),
                &format!("\"receivedAt\":\"{received_at}\""),
                1,
            )
            .replacen(
                &format!("\"occurredAt\":\"{GOLDEN_RECEIVED_AT}\""),
                &format!("\"occurredAt\":\"{received_at}\""),
                1,
            )
    }

    fn check_dead_letter(&self, record: &Record, told: &Value) {
        let case = &self.case;
        assert_eq!(record.topic, "atoms.dead-letter", "{case}");
        assert_eq!(record.value, self.body, "{case}");
        assert_eq!(record.key, None, "{case}");
        let seq: i32 = header(record, "bridge.seq").parse().expect("a number");
        assert_eq!(record.partition, seq % PARTITIONS, "{case}");
        let (reason, message) = (
            told["reason"].as_str().expect("a word"),
            told["message"].as_str().expect("a sentence"),
        );
        let received_at = Timestamp::from_unix_ms(record.timestamp_ms).to_string();
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", &self.id),
            ("ce_source", "/atoms/agents"),
            ("ce_type", "ai.smallest.atoms.dead-letter.v1"),
            ("ce_time", &received_at),
            ("content-type", "application/json"),
            ("error.stage", "parse"),
            ("error.reason", reason),
            ("error.message", message),
            ("source.webhook", "default"),
            ("__connect.errors.stage", "parse"),
            ("__connect.errors.exception.class.name", reason),
            ("__connect.errors.exception.message", message),
            ("__connect.errors.connector.name", "default"),
        ];
        self.check_headers(record, &headers);
    }

    /// These headers, the bridge's own and no others.
    fn check_headers(&self, record: &Record, expected: &[(&str, &str)]) {
        let own = ["traceparent", "bridge.journal", "bridge.seq"];
        let found: BTreeMap<&str, &str> = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !own.contains(name))
            .collect();
        assert_eq!(found, expected.iter().copied().collect(), "{}", self.case);
        assert_eq!(
            record.headers.len(),
            expected.len() + own.len(),
            "{}: {record:?}",
            self.case
        );
    }

    fn check_trace(&self, record: &Record) {
        let trace = header(record, "traceparent");
        match self.traceparent {
            Some(sent) => assert_eq!(trace, sent, "{}", self.case),
            None => {
                let lengths: Vec<usize> = trace.split('-').map(str::len).collect();
                assert_eq!(lengths, [2, 32, 16, 2], "{}: {trace}", self.case);
                assert_ne!(trace, TRACEPARENT);
            }
        }
    }
}

/// Everything on the five topics; ids must not meet.
fn by_id(broker: &str, count: usize) -> BTreeMap<String, Record> {
    let topics = [
        "pre-conversation",
        "post-conversation",
        "analytics-completed",
        "unrecognized",
    ];
    let read = || {
        let events = topics
            .iter()
            .flat_map(|topic| kcat::read(broker, &format!("atoms.{topic}")));
        let mut records: Vec<Record> = events.collect();
        records.extend(kcat::read_bytes(broker, "atoms.dead-letter"));
        if records.len() >= count {
            Ok(records)
        } else {
            Err(format!("{} records", records.len()))
        }
    };
    let records = crate::harness::until("every record", Duration::from_secs(10), read);
    assert_eq!(records.len(), count);
    let by_id: BTreeMap<String, Record> = records
        .into_iter()
        .map(|record| (header(&record, "ce_id").to_owned(), record))
        .collect();
    assert_eq!(by_id.len(), count, "ids are unique");
    by_id
}

fn javas_partitions(broker: &Broker, sent: &[Sent]) -> BTreeMap<String, i32> {
    let events = sent.iter().filter_map(|sent| match &sent.golden {
        Golden::Event(text) => Some(text),
        Golden::Unreadable(_) => None,
    });
    let keys: BTreeSet<String> = events
        .map(|text| {
            Tree::read(text).to_value()["callId"]
                .as_str()
                .expect("a call")
                .to_owned()
        })
        .collect();
    broker.create_topic("by-java", u32::try_from(PARTITIONS).expect("positive"));
    java::partitions(
        &broker.address(),
        "by-java",
        &keys.into_iter().collect::<Vec<_>>(),
    )
}

fn golden(case: &Path) -> Golden {
    match fs::read_to_string(case.join("event.json")) {
        Ok(text) => Golden::Event(text),
        Err(_) => {
            let text = fs::read(case.join("unreadable.json"))
                .expect("a golden event, or why there is none");
            Golden::Unreadable(serde_json::from_slice(&text).expect("JSON"))
        }
    }
}

fn cases() -> Vec<PathBuf> {
    let folders = |path: &Path| {
        let entries = fs::read_dir(path)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path());
        let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    };
    folders(&fixtures())
        .iter()
        .flat_map(|dialect| folders(dialect))
        .collect()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Takes out what stands between JSON's tokens; each digit and each escape stays as it is.
fn without_spaces(json: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    let keep = |c: &char| {
        if inside {
            inside = escaped || *c != '"';
            escaped = !escaped && *c == '\\';
            return true;
        }
        inside = *c == '"';
        !c.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn header<'r>(record: &'r Record, name: &str) -> &'r str {
    record
        .header(name)
        .unwrap_or_else(|| panic!("no {name} on {record:?}"))
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(since.as_millis()).expect("fits")
}

/// When the golden events were received.
const GOLDEN_RECEIVED_AT: &str = "2026-05-08T07:52:55.412Z";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// Of each topic, unless configured otherwise.
const PARTITIONS: i32 = 12;
