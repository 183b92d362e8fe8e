//! The task of `serve` that fetches what no webhook brought, over losses, kills and an API that fails.

use std::collections::BTreeMap;
use std::time::Duration;

use atoms_kafka_bridge::event::Stage;
use atoms_kafka_bridge::sender::simulator::{Asked, Fault, Listed, Loss};
use atoms_kafka_bridge::time::Timestamp;

use crate::harness::healing::{Healing, call};
use crate::harness::{shared_broker, unique, until};

/// `tests/run reconcile CALLS` makes it a long run.
#[test]
fn every_call_has_each_event_once_though_deliveries_get_lost_the_bridge_dies_and_the_api_fails() {
    let count = std::env::var("RECONCILE_CALLS").map_or(240, |count| count.parse().unwrap());
    let mut healing = task("whole")
        .with("ATOMS__SETTLING_TIME", SETTLING)
        .start_comparing();
    healing.simulator.lose(Loss::percent(5));
    let too_many = Fault::TooMany {
        header: None,
        body: Some(0.1),
    };
    let faults = vec![Fault::Status(500), too_many, Fault::BrokenJson, Fault::Html];
    healing.simulator.fail_every(9, faults);
    let third = count / 3;
    let mut ended_ms = BTreeMap::new();
    let mut play = |healing: &Healing, numbers| {
        for call_id in healing.play(numbers) {
            ended_ms.insert(call_id, Timestamp::now().unix_ms());
        }
    };
    for round in 0..2 {
        let begin = round * third;
        play(&healing, begin..begin + third * 4 / 5);
        healing.bridge.kill9();
        // Nobody answers, and nobody sends again.
        play(&healing, begin + third * 4 / 5..begin + third);
        healing.bridge.resume();
    }
    play(&healing, 2 * third..count);

    let calls: Vec<String> = ended_ms.keys().cloned().collect();
    let limit =
        Duration::from_secs(90) + Duration::from_millis(100) * u32::try_from(count).unwrap();
    let reconciled = healing.await_whole(&calls, limit);
    assert!(
        reconciled > calls.len() / 10,
        "{reconciled} of {} calls' events",
        calls.len()
    );
    let slowest = healing
        .records()
        .into_iter()
        .filter(|record| record.json()["source"]["origin"] == "reconcile");
    let slowest = slowest
        .map(|record| record.timestamp_ms - ended_ms[record.key()])
        .max();
    println!(
        "{} calls, {} events: {} by webhook, {reconciled} by reconciliation, the slowest {:.1} s after its call's end; {} requests: {:?}",
        calls.len(),
        3 * calls.len(),
        3 * calls.len() - reconciled,
        Duration::from_millis(slowest.unwrap().unsigned_abs()).as_secs_f64(),
        healing.simulator.asked().len(),
        healing.simulator.counts(),
    );
}

#[test]
fn a_call_without_analytics_is_asked_for_again_with_growing_pauses_and_then_given_up() {
    let healing = task("analytics")
        .with("ATOMS__SETTLING_TIME", "300ms")
        .with("ATOMS__ANALYTICS_PATIENCE", "20s")
        .start();
    healing.simulator.lose(Loss::All);
    let (late, never) = (call(0), call(1));
    let (late_id, never_id) = (late.call_id.clone(), never.call_id.clone());
    for call in [late, never] {
        let call_id = call.call_id.clone();
        healing.simulator.add_call(call, Listed::First);
        healing.simulator.advance(&call_id, Stage::PostConversation);
    }
    await_event(&healing, &late_id, Stage::PostConversation);
    await_event(&healing, &never_id, Stage::PreConversation);
    healing
        .simulator
        .advance(&late_id, Stage::AnalyticsCompleted);
    await_event(&healing, &late_id, Stage::AnalyticsCompleted);
    let given_up = || {
        healing.ledger("SELECT count(*) FROM listed WHERE why = 'no-analytics' AND next_ms IS NULL")
    };
    until("the other to be given up", WITHIN, || match given_up() {
        1 => Ok(()),
        other => Err(format!("{other} given up")),
    });
    let asked = asked_for_details(&healing);
    assert!(asked <= 2 + 9, "{asked}: pauses double from 600 ms on");
    // And then nobody asks again.
    healing.await_scans(4);
    assert_eq!(asked_for_details(&healing), asked);
    assert_eq!(healing.origins().len(), 5);
    healing.judge_once(&[late_id, never_id]);
}

#[test]
fn calls_that_go_on_are_left_alone_and_further_tries_are_found() {
    let healing = task("tries").start();
    healing.simulator.lose(Loss::All);
    let (first, retry, going_on) = (call(0), call(9), call(1));
    let (first_id, retry_id) = (first.call_id.clone(), retry.call_id.clone());
    let going_on_id = going_on.call_id.clone();
    healing.simulator.add_call(going_on, Listed::First);
    healing
        .simulator
        .advance(&going_on_id, Stage::PreConversation);
    healing.simulator.play(first);
    // The list leaves it out; the first one's tries have it.
    healing.simulator.add_retry(&first_id, retry);
    healing.await_scans(4);
    let asked_before = asked_for_details(&healing);
    for stage in Stage::ALL {
        healing.simulator.advance(&retry_id, stage);
    }
    healing.await_whole_of(&[first_id.clone(), retry_id.clone()], WITHIN);
    assert_eq!((asked_before, asked_for_details(&healing)), (1, 2));
    let origins = healing.origins();
    assert!(
        !origins.keys().any(|(call, _)| *call == going_on_id),
        "{origins:?}"
    );
    // Its end brings it up in the list.
    healing
        .simulator
        .advance(&going_on_id, Stage::PostConversation);
    healing
        .simulator
        .advance(&going_on_id, Stage::AnalyticsCompleted);
    healing.await_whole(&[first_id, retry_id, going_on_id], WITHIN);
}

#[test]
fn what_was_missed_while_the_api_was_away_is_made_up_and_a_kill_in_a_scan_loses_no_page() {
    let mut healing = task("away").start();
    healing.simulator.lose(Loss::All);
    let before = healing.play(0..1);
    healing.await_whole(&before, WITHIN);
    healing.simulator.go_away();
    let calls = healing.play(1..1101);
    // Two pages are read, and at the third it dies.
    for _ in 0..2 {
        healing
            .simulator
            .fail_next(Some("/conversation"), Fault::Slow(Duration::ZERO));
    }
    healing
        .simulator
        .fail_next(Some("/conversation"), Fault::Silence);
    let pages = || pages(&healing.simulator.asked());
    let asked = pages().len();
    healing.simulator.come_back();
    until("the third page to be asked for", WITHIN, || {
        let since: Vec<u32> = pages()[asked..].to_vec();
        match since.contains(&3) {
            true => Ok(()),
            false => Err(format!("{since:?}")),
        }
    });
    healing.bridge.kill9();
    healing.bridge.resume();
    let all: Vec<String> = before.into_iter().chain(calls).collect();
    assert_eq!(
        healing.await_whole(&all, Duration::from_secs(150)),
        3 * all.len()
    );
}

#[test]
fn a_thousand_known_calls_cost_two_or_three_requests_and_then_one_in_the_indexed_order() {
    let mut healing = Healing::new(&shared_broker().address(), &prefix("requests")).start();
    let calls = healing.play(0..1000);
    healing.bridge.await_published();
    assert_eq!(healing.bridge.term(WITHIN), 0);
    assert_eq!(healing.simulator.asked(), []);
    healing.bridge.set("ATOMS__RECONCILE_EVERY", "300ms");
    healing.bridge.resume();
    healing.await_scans(5);
    let asked = healing.simulator.asked();
    let counts = healing.simulator.counts();
    let pages = pages(&asked);
    println!("1000 calls compared: {counts:?}; pages of the list: {pages:?}");
    assert_eq!(pages[..3], [1, 2, 1], "two pages, and the first once more");
    assert!(pages[3..].iter().all(|page| *page == 1), "{pages:?}");
    assert_eq!(
        counts.keys().collect::<Vec<_>>(),
        ["GET /conversation", "GET /webhook"]
    );
    for asked in asked
        .iter()
        .filter(|asked| asked.what == "GET /conversation")
    {
        let query: BTreeMap<_, _> = asked.query.iter().cloned().collect();
        assert_eq!(
            query.len(),
            3,
            "no order and no range of its own: {query:?}"
        );
        assert_eq!(
            (query["limit"].as_str(), query["callAttemptFilter"].as_str()),
            ("500", "all")
        );
    }
    assert_eq!(healing.judge_once(&calls), 0);
}

#[test]
fn a_delivery_that_comes_after_all_is_published_and_says_what_it_replaces() {
    let healing = Healing::new(&shared_broker().address(), &prefix("late")).start();
    healing.simulator.lose(Loss::All);
    let calls = healing.play(0..1);
    assert_eq!(healing.reconcile(&["--since", "1h"]).count("fetched"), 3);
    healing.await_whole(&calls, WITHIN);
    healing.simulator.lose(Loss::None);
    healing
        .simulator
        .advance(&calls[0], Stage::PostConversation);
    healing.simulator.play(call(1));
    healing.bridge.await_published();
    let replaces: Vec<String> = healing
        .records()
        .iter()
        .filter_map(|record| Some(record.json()["source"]["replaces"].as_str()?.to_owned()))
        .collect();
    assert_eq!(
        replaces,
        [format!("reconcile-{}-post-conversation", calls[0])]
    );
    // It is the last of its call and type, from the webhook, and nothing is fetched for it again.
    assert_eq!(
        healing.origins()[&(calls[0].clone(), "post-conversation")],
        ["reconcile", "webhook"]
    );
    assert_eq!(healing.reconcile(&["--since", "1h"]).count("fetched"), 0);
}

/// A bridge that compares all the time.
fn task(name: &str) -> Healing {
    Healing::new(&shared_broker().address(), &prefix(name)).with("ATOMS__RECONCILE_EVERY", "300ms")
}

fn await_event(healing: &Healing, call: &str, stage: Stage) {
    let key = (call.to_owned(), stage.name());
    until(&format!("{key:?}"), WITHIN, || {
        let origins = healing.origins();
        origins
            .contains_key(&key)
            .then_some(())
            .ok_or(format!("{origins:?}"))
    });
}

fn asked_for_details(healing: &Healing) -> u64 {
    let counts = healing.simulator.counts();
    counts
        .get("GET /conversation/{callId}")
        .copied()
        .unwrap_or_default()
}

/// The pages of the list that were asked for.
fn pages(asked: &[Asked]) -> Vec<u32> {
    let of_list = asked
        .iter()
        .filter(|asked| asked.what == "GET /conversation");
    let page = |asked: &Asked| {
        asked
            .query
            .iter()
            .find(|(name, _)| name == "page")
            .unwrap()
            .1
            .parse()
            .unwrap()
    };
    of_list.map(page).collect()
}

fn prefix(name: &str) -> String {
    unique(&format!("task-{name}")) + "."
}

/// Longer than deliveries take here, also those of a call that is played while the list is read.
const SETTLING: &str = "4s";
const WITHIN: Duration = Duration::from_secs(60);
