//! `/metrics`: counts what came and what became of it, by names that Prometheus' own tool accepts, and never grows with
//! calls. The alert rules and the dashboard ask for nothing that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::bridge::Bridge;
use crate::harness::{calls, shared_broker, unique, until};

#[test]
fn what_came_and_what_became_of_it_is_counted() {
    let (bridge, _) = bridge("counted");
    let mut client = bridge.client();
    for step in 0..20 {
        let delivery = calls::delivery("CALL-counted", step);
        assert_eq!(bridge.post("default", &delivery).status, 200);
    }
    for step in 0..3 {
        let delivery = calls::delivery("CALL-counted", step);
        assert_eq!(bridge.post("default", &delivery).status, 200);
    }
    assert_eq!(bridge.post("default", b"not JSON").status, 200);
    let changed = br#"{"id":"E-new","event":"call.end","call_id":"CALL-new","brandNew":1,"list":[{"Jane Doe":2}]}"#;
    assert_eq!(bridge.post("default", changed).status, 200);
    let mut status = |method, path, headers: &[(&str, &str)]| {
        let answer = client.request(method, path, headers, b"{}");
        answer.expect("the bridge answers").status
    };
    let wrong = "00".repeat(32);
    for (method, path, signature, expected) in [
        ("POST", "/webhooks/default", None, 401),
        ("POST", "/webhooks/default", Some(wrong.as_str()), 401),
        ("GET", "/webhooks/default", None, 405),
        ("POST", "/webhooks/unknown", None, 404),
    ] {
        let headers: Vec<_> = signature.map(|s| ("x-signature", s)).into_iter().collect();
        assert_eq!(status(method, path, &headers), expected);
    }
    bridge.await_published();

    let counted = Counted::of(&bridge);
    for (series, value) in [
        (
            "deliveries_total{outcome=\"stored\",webhook=\"default\"}",
            22.0,
        ),
        (
            "deliveries_total{outcome=\"duplicate\",webhook=\"default\"}",
            3.0,
        ),
        (
            "deliveries_total{outcome=\"no-signature\",webhook=\"default\"}",
            1.0,
        ),
        (
            "deliveries_total{outcome=\"wrong-signature\",webhook=\"default\"}",
            1.0,
        ),
        (
            "deliveries_total{outcome=\"other-method\",webhook=\"default\"}",
            1.0,
        ),
        (
            "deliveries_total{outcome=\"no-such-webhook\",webhook=\"\"}",
            1.0,
        ),
        (
            "deliveries_total{outcome=\"not-stored\",webhook=\"default\"}",
            0.0,
        ),
        ("signatures_total{secret=\"1\",webhook=\"default\"}", 25.0),
        ("receipt_to_journal_seconds_count", 25.0),
        ("receipt_to_kafka_seconds_count", 21.0),
        (
            "dead_letters_total{reason=\"not-json\",webhook=\"default\"}",
            1.0,
        ),
        (
            "unmapped_fields_total{dialect=\"flat\",field=\"/brandNew\"}",
            1.0,
        ),
        ("publishing", 1.0),
        ("accepting", 1.0),
        ("wants_attention", 0.0),
        ("journal_pending_rows", 0.0),
        ("journal_pending_bytes", 0.0),
        ("producers_total", 1.0),
    ] {
        assert_eq!(
            counted.value(&format!("atoms_bridge_{series}")),
            Some(value),
            "{series}"
        );
    }
    let events = counted.sum("atoms_bridge_events_total{");
    assert!((events - 21.0).abs() < 0.5, "{events} events");
    assert!(counted.value("atoms_bridge_journal_bytes") > Some(0.0));
    assert!(counted.value("process_resident_memory_bytes") > Some(0.0));
    assert!(
        !counted.text.contains("Jane"),
        "a name that a sender made up"
    );
    promtool(
        &["check", "metrics"],
        Path::new("."),
        counted.text.as_bytes(),
    );
}

#[test]
fn series_do_not_grow_with_calls() {
    let (bridge, prefix) = bridge("bounded");
    let post = |calls: std::ops::Range<usize>| {
        let lane = |lane: usize| {
            let of_lane = calls.clone().filter(|call| call % LANES == lane);
            of_lane
                .flat_map(|call| (0..10).map(move |step| (call, step)))
                .map(|(call, step)| calls::delivery(&format!("{prefix}{call}"), step))
                .collect()
        };
        let lanes: Vec<Vec<_>> = (0..LANES).map(lane).collect();
        for answer in bridge.post_lanes("default", &lanes).into_iter().flatten() {
            assert_eq!(answer.expect("an answer").status, 200);
        }
        bridge.await_published();
        // librdkafka has told of itself, and of a request that was answered: it tells nothing of the first that is on its way.
        until("statistics of the brokers", Duration::from_secs(60), || {
            let counted = Counted::of(&bridge);
            let names = counted.names();
            let is_timed =
                |name: &String| name.starts_with("atoms_bridge_kafka_broker_round_trip_seconds{");
            let told = counted.sum("atoms_bridge_kafka_broker_up{") > 0.0;
            if told && names.iter().any(is_timed) {
                Ok(names)
            } else {
                Err("none".to_owned())
            }
        })
    };
    let few = post(0..20);
    let calls =
        std::env::var("METRICS_CALLS").map_or(400, |calls| calls.parse().expect("a number"));
    let many = post(20..20 + calls);
    let grown: Vec<_> = many.difference(&few).collect();
    assert!(grown.is_empty(), "{grown:?}");
    println!(
        "{} series after 200 deliveries of 20 calls, {} after {} more of {calls}",
        few.len(),
        many.len(),
        calls * 10
    );
}

#[test]
fn a_kafka_that_is_away_shows_as_backlog() {
    let bridge = Bridge::new("127.0.0.1:9").start();
    let mut bytes = 0;
    for step in 0..5 {
        let delivery = calls::delivery("CALL-waits", step);
        bytes += delivery.len();
        assert_eq!(bridge.post("default", &delivery).status, 200);
    }
    let counted = until("some waiting", Duration::from_secs(20), || {
        let counted = Counted::of(&bridge);
        let waited = counted.value("atoms_bridge_journal_pending_seconds");
        if waited > Some(0.0) {
            Ok(counted)
        } else {
            Err(format!("{waited:?}"))
        }
    });
    let value = |name: &str| counted.value(&format!("atoms_bridge_{name}"));
    assert_eq!(value("publishing"), Some(0.0));
    assert_eq!(value("accepting"), Some(1.0));
    assert_eq!(value("journal_pending_rows"), Some(5.0));
    assert_eq!(value("journal_pending_bytes"), Some(bytes as f64));
}

#[test]
fn alerts_and_dashboard_ask_for_what_is_there_and_promtool_accepts_them() {
    let (bridge, _) = bridge("alerts");
    assert_eq!(bridge.post("default", b"not JSON").status, 200);
    let delivery = br#"{"id":"E","event":"call.end","call_id":"C","brandNew":1}"#;
    assert_eq!(bridge.post("default", delivery).status, 200);
    bridge.await_published();
    let files = [
        "alerts.yml",
        "alerts.test.yml",
        "dashboard.json",
        "../operations.md",
    ];
    let asked = files.map(|file| {
        let text = fs::read_to_string(monitoring().join(file)).expect("it is in the repository");
        let asked = names_in(&text);
        assert!(!asked.is_empty(), "{file}: {asked:?}");
        (file, asked)
    });
    // What librdkafka tells of brokers comes some seconds after the start.
    until("what is asked for", Duration::from_secs(60), || {
        let there = Counted::of(&bridge).families();
        for (file, asked) in &asked {
            let unknown: Vec<_> = asked.difference(&there).collect();
            if !unknown.is_empty() {
                return Err(format!("{file} asks for {unknown:?}; there are {there:?}"));
            }
        }
        Ok(())
    });
    promtool(&["check", "rules", "alerts.yml"], &monitoring(), b"");
    promtool(&["test", "rules", "alerts.test.yml"], &monitoring(), b"");
}

/// What `/metrics` says.
struct Counted {
    text: String,
    values: BTreeMap<String, f64>,
}

impl Counted {
    fn of(bridge: &Bridge) -> Self {
        let answer = bridge.health("/metrics").expect("the bridge answers");
        assert_eq!(answer.status, 200);
        let text = answer.text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let values = samples
            .map(|line| line.rsplit_once(' ').expect("a name and a value"))
            .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
            .collect();
        Self { text, values }
    }

    fn value(&self, series: &str) -> Option<f64> {
        self.values.get(series).copied()
    }

    fn sum(&self, begins: &str) -> f64 {
        let of_it = self
            .values
            .iter()
            .filter(|(name, _)| name.starts_with(begins));
        of_it.map(|(_, value)| value).sum()
    }

    fn names(&self) -> BTreeSet<String> {
        self.values.keys().cloned().collect()
    }

    /// The bridge's own names without labels and what histograms add.
    fn families(&self) -> BTreeSet<String> {
        names_in(&self.text)
    }
}

fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("atoms_bridge_"))
        .map(|word| {
            let ends = ["_bucket", "_sum", "_count"];
            let base = ends.iter().find_map(|end| word.strip_suffix(end));
            base.unwrap_or(word).to_owned()
        })
        .collect()
}

/// Runs Prometheus' own tool, which must find nothing to say against its input.
fn promtool(arguments: &[&str], directory: &Path, input: &[u8]) {
    let mut tool = Command::new("promtool")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(
            "promtool is not installed: apt-get install prometheus, or run tests/run once as root",
        );
    let mut stdin = tool.stdin.take().expect("stdin is piped");
    stdin.write_all(input).expect("promtool reads its input");
    drop(stdin);
    let output = tool.wait_with_output().expect("it is our child");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    println!("promtool {arguments:?}: {}", said.trim());
}

fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/monitoring")
}

fn bridge(name: &str) -> (Bridge, String) {
    let prefix = format!("{}.", unique(name));
    let bridge = Bridge::new(&shared_broker().address())
        .with("TOPICS__PARTITIONS", "2")
        .with("TOPICS__PREFIX", &prefix)
        .with("KAFKA__STATISTICS_INTERVAL_MS", "1000")
        .start();
    bridge.await_publishing();
    (bridge, prefix)
}

const LANES: usize = 8;
