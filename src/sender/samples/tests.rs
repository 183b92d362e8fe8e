//! That every sample reads as it should: wholly, with its own type and call, at consistent times.

use std::collections::HashSet;

use super::*;
use crate::dialect::{Arrival, parse};
use crate::event::Origin;
use crate::event::json::{Document, peek_id};

const CALLS: u64 = 40;

fn now() -> Timestamp {
    Timestamp::parse("2026-05-08T07:52:55.412Z").unwrap()
}

/// The canonical events of a call, as JSON.
fn events(dialect: Dialect, number: u64) -> Vec<Value> {
    let samples = call(dialect, number, now());
    let event = |sample: &Sample| {
        let id = peek_id(sample.body.as_bytes()).unwrap_or_else(|| "sha256-x".into());
        let document = Document::parse(sample.body.as_bytes()).unwrap();
        let arrival = Arrival {
            webhook: "default",
            id: &id,
            received_at: now(),
            origin: Origin::Webhook,
        };
        let event = parse(&document, &arrival).unwrap();
        assert_eq!(event.stage(), Some(sample.stage), "{}", sample.body);
        assert_eq!(event.call_id, sample.call_id);
        assert!(
            event.unmapped.is_empty(),
            "{:?} in {}",
            event.unmapped,
            sample.body
        );
        assert!(event.occurred_at <= now(), "{}", sample.body);
        serde_json::to_value(&event).unwrap()
    };
    samples.iter().map(event).collect()
}

#[test]
fn every_sample_is_read_wholly_as_what_it_is() {
    for dialect in Dialect::ALL {
        for number in 0..CALLS {
            let events = events(dialect, number);
            let times: Vec<_> = events.iter().map(|e| e["occurredAt"].to_string()).collect();
            assert!(times.is_sorted(), "{dialect:?} {number}: {times:?}");
            let expected = match dialect {
                Dialect::Envelope | Dialect::TwoEvent => "envelope",
                Dialect::Settings => "settings",
                Dialect::Flat => "flat",
            };
            assert!(events.iter().all(|e| e["source"]["dialect"] == expected));
        }
    }
}

#[test]
fn the_first_five_calls_show_several_languages_and_outcomes() {
    let statuses: HashSet<_> = (0..5).map(|n| Scenario::of(n).outcome.of_guide()).collect();
    let languages: HashSet<_> = (0..5).map(|n| Scenario::of(n).language).collect();
    assert_eq!(
        statuses,
        HashSet::from(["completed", "no-answer", "failed"])
    );
    assert_eq!(languages.len(), 5);
    let dialects: Vec<_> = (0..4).map(Dialect::of).collect();
    assert_eq!(dialects, Dialect::ALL);
}

#[test]
fn a_call_says_the_same_in_every_dialect_that_can_say_it() {
    for number in 0..9 {
        let status = Scenario::of(number).outcome.of_guide();
        let direction = match Scenario::of(number).way {
            Way::Inbound => json!("inbound"),
            Way::Outbound => json!("outbound"),
            Way::Web => Value::Null,
        };
        for dialect in Dialect::ALL {
            let events = events(dialect, number);
            assert_eq!(
                events[0]["call"]["direction"], direction,
                "{dialect:?} {number}"
            );
            if dialect != Dialect::Flat {
                assert_eq!(events[1]["call"]["status"], status, "{dialect:?} {number}");
            }
            let metrics = events.last().unwrap()["analytics"]["metrics"]
                .as_array()
                .unwrap()
                .len();
            assert!(metrics >= 4, "{dialect:?} {number}");
        }
    }
}

#[test]
fn the_api_knows_the_same_of_a_call_as_its_deliveries_tell() {
    for number in 0..CALLS {
        let told = events(Dialect::Envelope, number);
        let known = api::recorded(Dialect::Envelope, number, now());
        let (detail, row) = (
            json!(known.detail).to_string(),
            json!(known.row).to_string(),
        );
        let body = crate::dialect::api::merged(&detail, Some(&row)).unwrap();
        let document = Document::parse(body.as_bytes()).unwrap();
        for (stage, told) in Stage::ALL.into_iter().zip(told) {
            let arrival = Arrival {
                webhook: "default",
                id: "x",
                received_at: now(),
                origin: Origin::Reconcile(stage),
            };
            let event = parse(&document, &arrival).unwrap();
            let event = serde_json::to_value(&event).unwrap();
            for place in [
                "callId",
                "agentId",
                "type",
                "stage",
                "transcript",
                "variables",
            ] {
                assert_eq!(event.get(place), told.get(place), "{place} of {number}");
            }
            for place in [
                "fromNumber",
                "toNumber",
                "userNumber",
                "direction",
                "status",
                "durationSeconds",
            ] {
                let told = told["call"].get(place);
                assert!(
                    told.is_none() || event["call"].get(place) == told,
                    "{place} of {number}"
                );
            }
            if stage == Stage::AnalyticsCompleted {
                let metrics = event["analytics"]["metrics"].as_array().unwrap();
                assert!(
                    metrics.iter().all(|metric| metric.get("type").is_some()),
                    "{event}"
                );
            }
        }
    }
}

#[test]
fn a_call_that_nobody_answered_has_no_answer_time_and_no_recording() {
    let events = events(Dialect::Envelope, 2);
    assert_eq!(events[1]["call"]["status"], "no-answer");
    assert_eq!(events[1]["call"]["durationSeconds"], 0);
    assert!(events[1]["call"].get("answeredAt").is_none());
    assert!(events[1]["call"].get("recordingUrl").is_none());
    assert_eq!(events[1]["transcript"], json!([]));
}

#[test]
fn ids_are_the_senders_kind_and_never_repeat() {
    let mut seen = HashSet::new();
    for number in 0..1_000 {
        let samples = call(Dialect::Envelope, number, now());
        let call_id = &samples[0].call_id;
        assert_eq!(
            call_id.len(),
            "CALL-1778226705739-7e4c17".len(),
            "{call_id}"
        );
        assert!(seen.insert(call_id.clone()));
        for sample in &samples {
            let id = peek_id(sample.body.as_bytes()).unwrap();
            assert!(
                id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit()),
                "{id}"
            );
            assert!(seen.insert(id));
        }
    }
}

#[test]
fn weekdays_are_right() {
    assert_eq!(weekday(now()), "Friday");
}
