//! Runs of `reconcile` over long spans: what is no longer known is refused, and an interrupted run goes on where it was.

use std::time::Duration;

use atoms_kafka_bridge::event::Stage;
use atoms_kafka_bridge::sender::simulator::Loss;
use atoms_kafka_bridge::time::Timestamp;
use serde_json::Value;

use crate::harness::healing::Healing;
use crate::harness::{shared_broker, unique, until};

#[test]
fn calls_of_which_the_topics_have_lost_the_events_are_refused_unless_forced() {
    let broker = shared_broker();
    let prefix = prefix("reach");
    for topic in [
        "pre-conversation",
        "post-conversation",
        "analytics-completed",
        "unrecognized",
        "dead-letter",
    ] {
        // By its size, whose hour nobody knows.
        let by_size = [("retention.bytes", "1000000000")];
        broker.create_topic_with(&format!("{prefix}{topic}"), 1, &by_size);
    }
    let healing = Healing::new(&broker.address(), &prefix).start();
    let old = healing.play(0..5);
    healing.bridge.await_published();
    // As retention would: what was published is gone from the topics.
    for stage in Stage::ALL {
        broker.delete_records(&format!("{prefix}{}", stage.name()));
    }
    let refused = healing.reconcile(&["--since", "1h"]);
    assert_eq!(
        (refused.code, refused.count("fetched")),
        (1, 0),
        "{refused:?}"
    );
    let reason = refused.sum["reason"].as_str().unwrap();
    assert!(
        reason.contains("--force") && reason.contains("--since"),
        "{reason}"
    );
    // What the message says to do.
    let reach = reason
        .split("before ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap();
    let within = healing.reconcile(&["--since", reach]);
    assert_eq!((within.code, within.count("fetched")), (0, 0), "{within:?}");
    let forced = healing.reconcile(&["--since", "1h", "--force"]);
    assert_eq!(
        (forced.code, forced.count("fetched")),
        (0, 15),
        "{forced:?}"
    );
    healing.bridge.await_published();
    assert_eq!(healing.await_whole(&old, WITHIN), 15);
    let again = healing.reconcile(&["--since", "1h", "--force"]);
    assert_eq!((again.code, again.count("fetched")), (0, 0), "{again:?}");
}

#[test]
fn a_run_that_was_interrupted_goes_on_where_it_was_and_publishes_nothing_twice() {
    let broker = shared_broker();
    let mut healing = Healing::new(&broker.address(), &prefix("resumed")).start();
    healing.simulator.lose(Loss::All);
    let calls = healing.play(0..1200);
    assert_eq!(healing.bridge.term(WITHIN), 0);
    let since = Timestamp::from_unix_ms(Timestamp::now().unix_ms() - 3_600_000).to_string();
    let line = ["reconcile", "--json", "--since", &since];
    let mut run = healing.bridge.begin(&line);
    until(
        "the second page to be under way",
        Duration::from_secs(120),
        || match healing.ledger("SELECT page FROM bookmark") {
            page if page >= 2 => Ok(()),
            page => Err(format!("page {page}")),
        },
    );
    run.kill9();
    let rest = healing.reconcile(&line[2..]);
    assert_eq!(rest.code, 0, "{rest:?}");
    assert!(rest.count("resumedAtPage") >= 2, "{:?}", rest.sum);
    assert!(rest.count("fetched") <= 3 * 700, "{:?}", rest.sum);
    println!("resumed: {}", rest.sum);
    assert_eq!(healing.ledger("SELECT count(*) FROM bookmark"), 0);
    healing.bridge.resume();
    assert_eq!(
        healing.await_whole(&calls, Duration::from_secs(90)),
        3 * calls.len()
    );
    let second = healing.reconcile(&line[2..]);
    assert_eq!(
        (
            second.code,
            second.count("fetched"),
            second.count("complete")
        ),
        (0, 0, 1200),
        "{:?}",
        second.sum
    );
}

#[test]
fn how_complete_calls_are_is_told_by_command_metrics_and_console() {
    let broker = shared_broker();
    let healing = Healing::new(&broker.address(), &prefix("complete"))
        .with("ATOMS__ANALYTICS_PATIENCE", "1ms");
    let mut healing = Healing {
        bridge: healing.bridge.with_console(),
        ..healing
    }
    .start();
    let empty = healing.bridge.run(&["reconcile", "--status", "--json"]);
    let calls = healing.play(0..3);
    // Nothing compares before the webhook's events are there: it would fetch what is only on its way.
    healing.bridge.await_published();
    healing.simulator.lose(Loss::All);
    let lost = healing.play(3..4);
    // Of this one there never is an evaluation.
    let never = crate::harness::healing::call(4);
    let never_id = never.call_id.clone();
    healing
        .simulator
        .add_call(never, atoms_kafka_bridge::sender::simulator::Listed::First);
    healing
        .simulator
        .advance(&never_id, Stage::PostConversation);
    assert_eq!(healing.bridge.term(WITHIN), 0);
    healing.bridge.set("ATOMS__RECONCILE_EVERY", "300ms");
    healing.bridge.resume();
    let told = until("all to be told", WITHIN, || {
        let status = healing.bridge.run(&["reconcile", "--status", "--json"]);
        let told: Value =
            serde_json::from_slice(&status.stdout).map_err(|error| error.to_string())?;
        match (
            told["hour"]["ended"].as_u64(),
            told["hour"]["complete"].as_u64(),
        ) {
            (Some(5), Some(4)) => Ok((status.status.code(), told)),
            _ => Err(told.to_string()),
        }
    });
    assert_eq!(
        empty.status.code().map(|code| code < 2),
        Some(true),
        "{empty:?}"
    );
    let (code, told) = told;
    assert_eq!(code, Some(1), "something is missing for good: {told}");
    let of_type = |at: usize| {
        let of = &told["day"]["events"][at];
        ["expected", "webhook", "reconciled", "missing"].map(|name| of[name].as_u64().unwrap())
    };
    assert_eq!(of_type(0), [5, 3, 2, 0], "{told}");
    assert_eq!(of_type(2), [5, 3, 1, 1], "{told}");
    let incomplete = &told["incomplete"];
    assert_eq!(incomplete.as_array().unwrap().len(), 1, "{told}");
    assert_eq!(
        (&incomplete[0]["callId"], &incomplete[0]["why"]),
        (&never_id.as_str().into(), &"no-analytics".into())
    );
    let people = healing.bridge.run(&["reconcile", "--status"]);
    let people = String::from_utf8_lossy(&people.stdout).into_owned();
    assert!(
        people.contains("given up") && people.contains(&never_id),
        "{people}"
    );

    let expected = [
        "calls_missing_events{reason=\"no-analytics\",type=\"analytics-completed\",window=\"day\"} 1",
        "calls_ended{window=\"hour\"} 5",
        "calls_complete{window=\"day\"} 4",
        "calls_events{origin=\"webhook\",type=\"pre-conversation\",window=\"hour\"} 3",
        "calls_events{origin=\"reconcile\",type=\"pre-conversation\",window=\"hour\"} 2",
        "reconciled_total{type=\"post-conversation\"} 2",
        "reconcile_elected 1",
    ];
    until("the same in metrics", WITHIN, || {
        let text = healing.bridge.health("/metrics").unwrap().text();
        assert!(!text.contains(&never_id), "no label grows with calls");
        let is_told = |series: &&&str| {
            !text
                .lines()
                .any(|line| line == format!("atoms_bridge_{series}"))
        };
        match expected.iter().find(is_told) {
            None => Ok(()),
            Some(series) => Err((*series).to_owned()),
        }
    });

    let mut console = crate::harness::http::Client::new(healing.bridge.console_address());
    let host = healing.bridge.console_address().to_string();
    let mut page = |path: &str| {
        let answer = console
            .request("GET", path, &[("host", &host)], b"")
            .unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    };
    let overview = page("/");
    assert!(
        overview.contains("1 event is missing for good") && overview.contains("/completeness"),
        "{overview}"
    );
    let completeness = page("/completeness");
    assert!(
        completeness.contains(&never_id) && completeness.contains("given up"),
        "{completeness}"
    );
    let call = page(&format!("/call?id={}", lost[0]));
    assert!(
        call.contains("from Atoms' API, in place of webhook")
            || call.contains("from Atoms&#39; API"),
        "{call}"
    );
    drop(calls);
}

fn prefix(name: &str) -> String {
    unique(&format!("span-{name}")) + "."
}

const WITHIN: Duration = Duration::from_secs(60);
