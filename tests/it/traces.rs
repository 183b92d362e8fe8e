//! Traces: one from the sender's request to the record in Kafka, as a collector received it, also over a restart; and a
//! collector that hangs, refuses or is away costs the traces and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::harness::bridge::{Bridge, post, post_with};
use crate::harness::collector::Collector;
use crate::harness::record::Record;
use crate::harness::{calls, kcat, ports, shared_broker, unique};

#[test]
fn one_trace_goes_from_the_request_to_the_record_as_a_collector_received_it() {
    let (broker, collector) = (shared_broker().address(), Collector::start());
    let prefix = format!("{}.", unique("traces"));
    let mut bridge = bridge(&broker, &collector.endpoint())
        .with("TOPICS__PREFIX", &prefix)
        .start();
    let mut client = bridge.client();
    let sent = [("traceparent", SENT)];
    let unsampled = [("traceparent", UNSAMPLED)];
    for (step, headers) in [&sent[..], &[], &unsampled[..]].into_iter().enumerate() {
        let body = calls::delivery("CALL-traced", step);
        let answer = post_with(&mut client, "default", headers, &body).expect("an answer");
        assert_eq!(answer.status, 200);
    }
    let answer = post(&mut client, "default", b"no JSON").expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(
        client
            .request("POST", "/webhooks/default", &sent, b"unsigned")
            .expect("an answer")
            .status,
        401
    );
    bridge.await_published();
    assert_eq!(bridge.term(Duration::from_secs(10)), 0);

    let spans = collector.spans();
    assert_eq!(spans.len(), 9, "3 of each sampled delivery: {spans:#?}");
    let [pre, post, dead] = ["pre-conversation", "post-conversation", "dead-letter"]
        .map(|topic| kcat::read(&broker, &format!("{prefix}{topic}")));
    check_way(&spans, &pre[0], Some(SENT), &calls::id("CALL-traced", 0));
    check_way(&spans, &post[0], None, &calls::id("CALL-traced", 1));
    let dead_send = check_way(&spans, &dead[0], None, dead[0].header("ce_id").unwrap());
    assert_eq!(dead_send["reason"], "not-json", "{dead_send:#}");
    assert_eq!(post[1].header("traceparent"), Some(UNSAMPLED));
    for span in &spans {
        assert_eq!(span["service"]["service.name"], "atoms-kafka-bridge");
        let text = span.to_string();
        for private in ["passt", "JSON", "Collections"] {
            assert!(!text.contains(private), "{private} in {text}");
        }
    }
    print_trace(&spans, &pre[0]);
}

#[test]
fn an_event_that_is_published_after_a_crash_goes_on_with_its_trace() {
    let (broker, collector) = (shared_broker().address(), Collector::start());
    let prefix = format!("{}.", unique("traces-later"));
    let away = ports::free_address().to_string();
    let mut bridge = bridge(&away, &collector.endpoint())
        .with("TOPICS__PREFIX", &prefix)
        .with_variable("OTEL_BSP_SCHEDULE_DELAY", "100")
        .with_variable("OTEL_SERVICE_NAME", "calls")
        .start();
    let body = calls::delivery("CALL-later", 0);
    assert_eq!(bridge.post("default", &body).status, 200);
    collector.await_spans(2);
    bridge.kill9();
    bridge.set("KAFKA__BOOTSTRAP_SERVERS", &broker);
    bridge.resume();
    bridge.await_published();
    let spans = collector.await_spans(3);
    let records = kcat::read(&broker, &format!("{prefix}pre-conversation"));
    let send = check_way(&spans, &records[0], None, &calls::id("CALL-later", 0));
    assert_eq!(send["service"]["service.name"], "calls");
}

#[test]
fn a_collector_that_hangs_or_refuses_or_is_away_costs_nothing_but_the_traces() {
    let broker = shared_broker().address();
    let (hangs, refuses) = (Collector::that("hang"), Collector::that("refuse"));
    let away = format!("http://{}", ports::free_address());
    for (what, endpoint) in [
        ("hangs", hangs.endpoint()),
        ("refuses", refuses.endpoint()),
        ("is away", away),
    ] {
        let prefix = format!("{}.", unique("traces-lost"));
        let mut bridge = bridge(&broker, &endpoint)
            .with("TOPICS__PREFIX", &prefix)
            .with("TOPICS__PARTITIONS", "2")
            .with_variable("OTEL_BSP_SCHEDULE_DELAY", "100")
            .with_variable("OTEL_BSP_MAX_QUEUE_SIZE", "64")
            .start();
        let mut client = bridge.client();
        let mut ids = BTreeSet::new();
        for step in 0..200 {
            let body = calls::delivery("CALL-lost", step);
            let answer = post(&mut client, "default", &body).expect("an answer");
            assert_eq!(answer.status, 200, "with a collector that {what}");
            ids.insert(calls::id("CALL-lost", step));
        }
        bridge.await_published();
        let metrics = bridge.health("/metrics").expect("an answer").text();
        let counted = |outcome| value(&metrics, outcome);
        assert_eq!(counted("exported"), 0, "with a collector that {what}");
        let lost = counted("dropped") + counted("failed");
        // All but those that still wait: 3 of each delivery.
        assert!(
            (600 - 64..=600).contains(&lost),
            "{lost} lost when it {what}"
        );
        assert_eq!(bridge.term(Duration::from_secs(10)), 0, "{}", bridge.log());
        let told = bridge.log().matches("the collector takes no spans").count();
        assert!(told <= 1, "told once: {}", bridge.log());
        calls::judge(&broker, &prefix, &ids);
    }
}

#[test]
fn a_wish_that_cannot_be_met_is_told_and_the_bridge_runs_without_traces() {
    let bridge = bridge(&shared_broker().address(), "http://127.0.0.1:4317")
        .with_variable("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .start();
    let told = "no traces are sent: OTEL_EXPORTER_OTLP_PROTOCOL is \"grpc\"; the bridge speaks http/protobuf";
    assert!(bridge.log().contains(told), "{}", bridge.log());
    let metrics = bridge.health("/metrics").expect("an answer").text();
    assert!(!metrics.contains("spans_total"), "{metrics}");
}

/// The spans of a record's delivery: request → append and send, the last of which is what the record names as its parent.
fn check_way(spans: &[Value], record: &Record, sent: Option<&str>, id: &str) -> Value {
    let (trace, parent) = parts(record.header("traceparent").expect("every record has one"));
    let find = |what: &str, fits: &dyn Fn(&Value) -> bool| {
        let mut found = spans.iter().filter(|span| fits(span));
        let only = (found.next(), found.next());
        match only {
            (Some(span), None) => span.clone(),
            other => panic!("{what} of {id}: {other:#?} in {spans:#?}"),
        }
    };
    let send = find("send", &|span| span["span"] == parent);
    let request = find("request", &|span| span["span"] == send["parent"]);
    let append = find("append", &|span| {
        span["parent"] == request["span"] && span["name"] == "append"
    });
    for span in [&request, &append, &send] {
        assert_eq!(span["trace"], trace, "{span:#}");
        assert!(span["began"].as_u64() <= span["ended"].as_u64(), "{span:#}");
    }
    assert_eq!(send["name"], format!("send {}", record.topic));
    assert_eq!(send["kind"], "SPAN_KIND_PRODUCER");
    assert_eq!(send["attributes"]["messaging.message.id"], id);
    assert_eq!(
        send["attributes"]["messaging.destination.name"],
        record.topic
    );
    assert_eq!(request["name"], "POST /webhooks/{name}");
    assert_eq!(request["kind"], "SPAN_KIND_SERVER");
    assert_eq!(request["attributes"]["messaging.message.id"], id);
    assert_eq!(request["attributes"]["bridge.outcome"], "stored");
    assert_eq!(request["attributes"]["http.response.status_code"], 200);
    let (sent_trace, sender) = sent.map_or((trace, ""), parts);
    assert_eq!((trace, &request["parent"]), (sent_trace, &sender.into()));
    send
}

/// The trace's id and the parent's.
fn parts(traceparent: &str) -> (&str, &str) {
    let parts: Vec<&str> = traceparent.split('-').collect();
    match parts.as_slice() {
        ["00", trace, parent, "01"] => (trace, parent),
        _ => panic!("not a sampled trace: {traceparent}"),
    }
}

fn value(metrics: &str, outcome: &str) -> u64 {
    let name = format!("atoms_bridge_spans_total{{outcome=\"{outcome}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
    value.expect("it is counted").parse().expect("a number")
}

fn print_trace(spans: &[Value], record: &Record) {
    let (trace, _) = parts(record.header("traceparent").expect("every record has one"));
    for span in spans.iter().filter(|span| span["trace"] == trace) {
        let us = |from: &Value, to: &Value| (to.as_u64().unwrap() - from.as_u64().unwrap()) / 1000;
        println!(
            "trace {trace}: span {} of {}, {} ({} µs)",
            span["span"],
            span["parent"],
            span["name"],
            us(&span["began"], &span["ended"]),
        );
    }
    println!(
        "record {}: {:?}",
        record.topic,
        record.header("traceparent")
    );
}

/// A bridge that sends its traces there.
fn bridge(broker: &str, endpoint: &str) -> Bridge {
    Bridge::new(broker)
        .with_variable("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .with_variable("OTEL_BSP_SCHEDULE_DELAY", "60000")
}

const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b8-00";
