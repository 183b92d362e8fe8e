//! All logs of a whole run of the tests, searched for every secret, phone number and sentence that was used in it.
//!
//! `tests/run` runs this behind all other tests. The harness keeps what each bridge printed to standard error, and notes
//! the secrets that it was given; numbers and sentences are those of the fixtures, of the samples that `dev` and `send`
//! post, and of the calls that the harness makes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aho_corasick::{AhoCorasick, MatchKind};
use atoms_kafka_bridge::sender::samples::{self, Dialect};
use atoms_kafka_bridge::time::Timestamp;
use serde_json::Value;

use crate::harness::bridge::Bridge;
use crate::harness::{calls, logs, shared_broker, unique, until};

#[test]
fn no_log_of_this_run_holds_a_secret_a_number_or_what_was_said() {
    let logs = files(&logs::folder(), "log");
    assert!(
        !logs.is_empty(),
        "nothing to search: tests/run runs this behind all other tests"
    );
    let words = Words::of_the_run();
    let (mut lines, mut found) = (0, Vec::new());
    for log in &logs {
        let text = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
        lines += text.lines().count();
        found.extend(words.find(&log.display().to_string(), &text));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    println!(
        "{} logs with {lines} lines hold none of {} secrets, numbers and sentences",
        logs.len(),
        words.kinds.len()
    );
}

#[test]
fn what_is_private_is_found_wherever_it_stands_in_a_line() {
    let body = String::from_utf8(calls::delivery("CALL-1", 0)).unwrap();
    let fixture = fixtures().join("envelope/post-conversation/body.json");
    let fixture: Value = serde_json::from_slice(&fs::read(fixture).unwrap()).unwrap();
    let fixture = fixture.to_string();
    let words = Words::of([body.as_str(), fixture.as_str()].map(str::to_owned));
    let debug = format!("{:?}", Some(&body));
    for text in [&body, &fixture, &debug] {
        let found = words.find("a.log", &format!("first line\nbody={text} end"));
        assert!(found[0].starts_with("a.log:2: "), "{found:?}");
    }
    assert_eq!(
        words.find("a.log", "stored id=CALL-1.0000 bytes=4096"),
        [""; 0]
    );
}

#[test]
fn a_log_line_stays_short_whatever_was_sent() {
    let bridge = Bridge::new(&shared_broker().address())
        .with("TOPICS__PREFIX", &format!("{}.", unique("long")))
        .with_argument("-v")
        .start();
    bridge.await_publishing();
    let call = "C".repeat(10_000);
    let event = format!(r#"{{"id":"E-1","event":"call.end","call_id":"{call}"}}"#);
    assert_eq!(bridge.post("default", event.as_bytes()).status, 200);
    assert_eq!(bridge.post("default", event.as_bytes()).status, 200);
    let mut client = bridge.client();
    let path = format!("/webhooks/{}", "p".repeat(10_000));
    assert_eq!(client.get(&path).expect("an answer").status, 404);
    bridge.await_published();
    let told = |log: &str| {
        let clipped = format!("call_id=\"{}\"", "C".repeat(128));
        log.contains(&clipped) && log.contains("duplicate") && log.contains("no such webhook")
    };
    until("the lines", Duration::from_secs(10), || {
        match bridge.log() {
            log if told(&log) => Ok(()),
            log => Err(log),
        }
    });
    let longest = bridge.log().lines().map(str::len).max();
    assert!(longest < Some(500), "{longest:?}");
}

#[test]
fn a_good_delivery_costs_no_line_and_two_with_v() {
    let start = |arguments: &[&'static str]| {
        let bridge = Bridge::new(&shared_broker().address())
            .with("TOPICS__PREFIX", &format!("{}.", unique("lines")));
        let bridge = arguments
            .iter()
            .fold(bridge, |bridge, argument| bridge.with_argument(argument));
        let bridge = bridge.start();
        bridge.await_publishing();
        bridge
    };
    let post = |bridge: &Bridge, step| {
        assert_eq!(
            bridge
                .post("default", &calls::delivery("CALL-lines", step))
                .status,
            200
        );
        bridge.await_published();
    };
    let quiet = start(&[]);
    post(&quiet, 0);
    let before = quiet.log();
    (1..20).for_each(|step| post(&quiet, step));
    assert_eq!(quiet.log(), before);

    let talkative = start(&["-v", "--log-format=json"]);
    post(&talkative, 0);
    let id = calls::id("CALL-lines", 0);
    let lines = until("both lines", Duration::from_secs(10), || {
        let log = talkative.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<Value> = lines.filter(|line| line["id"] == id).collect();
        if lines.len() == 2 {
            Ok(lines)
        } else {
            Err(log)
        }
    });
    assert_eq!(lines[0]["message"], "stored");
    assert_eq!(lines[1]["message"], "published");
    assert_eq!(lines[1]["call_id"], "CALL-lines");
    assert!(
        lines.iter().all(|line| line["webhook"] == "default"),
        "{lines:?}"
    );
}

/// What no log may hold, and of which kind each is.
struct Words {
    kinds: BTreeMap<String, &'static str>,
    searcher: AhoCorasick,
}

impl Words {
    fn of_the_run() -> Self {
        let fixtures = files(&fixtures(), "json").into_iter();
        let recorded = fixtures
            .filter(|file| file.ends_with("body.json"))
            .map(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned());
        let now = Timestamp::now();
        let numbers = (0..32).flat_map(|number| Dialect::ALL.map(|dialect| (dialect, number)));
        let made = numbers.flat_map(|(dialect, number)| samples::call(dialect, number, now));
        let made = made.map(|sample| sample.body);
        let own = (0..5).map(|step| String::from_utf8(calls::delivery("CALL", step)).unwrap());
        Self::of(recorded.chain(made).chain(own))
    }

    fn of(bodies: impl IntoIterator<Item = String>) -> Self {
        let mut kinds = BTreeMap::new();
        for body in bodies {
            // Some fixtures are no JSON; what is in them is in others too.
            if let Ok(body) = serde_json::from_str(&body) {
                collect(&body, "", &mut kinds);
            }
        }
        for file in files(&logs::folder(), "secrets") {
            for secret in fs::read_to_string(file).unwrap().lines() {
                kinds.insert(secret.to_owned(), "a secret");
            }
        }
        let searcher = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(kinds.keys())
            .unwrap();
        Self { kinds, searcher }
    }

    /// `FILE:LINE: what it holds`, for each line.
    fn find(&self, file: &str, text: &str) -> Vec<String> {
        let words: Vec<_> = self.kinds.iter().collect();
        let of_line = |(number, line): (usize, &str)| {
            let found = self.searcher.find(line)?;
            let (word, kind) = words[found.pattern().as_usize()];
            let line: String = line.chars().take(SHOWN_CHARS).collect();
            Some(format!(
                "{file}:{}: {kind}, {word:?}, in: {line}",
                number + 1
            ))
        };
        text.lines().enumerate().filter_map(of_line).collect()
    }
}

/// Numbers are known by their names or a plus; sentences are taken apart where a log could escape something in them.
fn collect(value: &Value, name: &str, kinds: &mut BTreeMap<String, &'static str>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                collect(value, name, kinds);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, name, kinds)),
        Value::String(text) => {
            let digits = text.trim_start_matches('+');
            let is_number = digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_digit());
            let name = name.to_lowercase();
            let is_phone =
                text.starts_with('+') || name.contains("phone") || name.contains("number");
            if is_number && is_phone {
                kinds.insert(digits.to_owned(), "a phone number");
            }
            for part in text.split(|c: char| c.is_control() || "\"\\'.,;:!?।。、".contains(c)) {
                let part = part.trim();
                let is_said = part.contains(' ') || !part.is_ascii();
                if is_said && part.len() >= SHORTEST {
                    // As it is, and as Rust's `Debug` would show it.
                    kinds.insert(part.to_owned(), "what was said");
                    kinds.insert(part.escape_debug().to_string(), "what was said");
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// All files below a folder with this extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = paths
        .flat_map(|path| match path.extension() {
            _ if path.is_dir() => files(&path, extension),
            Some(its) if its == extension => vec![path],
            Some(_) | None => Vec::new(),
        })
        .collect();
    found.sort();
    found
}

/// Enough to see who wrote a line.
const SHOWN_CHARS: usize = 120;
/// Shorter parts would be found in our own words.
const SHORTEST: usize = 8;
