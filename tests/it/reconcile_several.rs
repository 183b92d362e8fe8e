//! Several bridges on the same topics: one reconciles at a time, by what is on the topics, whoever published it.

use std::time::Duration;

use atoms_kafka_bridge::event::Stage;
use atoms_kafka_bridge::sender::simulator::{Listed, Loss};

use crate::harness::bridge::Bridge;
use crate::harness::healing::{Healing, call, ledger};
use crate::harness::{shared_broker, unique, until};

#[test]
fn two_bridges_publish_nothing_that_the_other_has_and_one_goes_on_when_the_other_dies() {
    let broker = shared_broker();
    let prefix = unique("several") + ".";
    let mut healing = Healing::new(&broker.address(), &prefix)
        .with("ATOMS__RECONCILE_EVERY", "300ms")
        .with("ATOMS__SETTLING_TIME", SETTLING)
        .start();
    let secret = healing.simulator.secret_of(&healing.webhook).unwrap();
    let other = healing
        .simulator
        .known_to(Bridge::new(&broker.address()))
        .with("TOPICS__PREFIX", &prefix)
        .with("ATOMS__RECONCILE_EVERY", "300ms")
        .with("ATOMS__SETTLING_TIME", SETTLING)
        .with("ATOMS__REQUESTS_PER_SECOND", "100")
        .with_variable("ATOMS_WEBHOOK_SECRET", &secret)
        .start();

    until("one of them to have compared", WITHIN, || {
        let scans = [&healing.bridge, &other]
            .map(|bridge| ledger(bridge, "SELECT completed_scan FROM state"));
        if scans.iter().sum::<i64>() > 1 {
            Ok(())
        } else {
            Err(format!("{scans:?}"))
        }
    });
    // As a balancer would, event by event.
    let urls = [&healing.bridge, &other].map(url);
    let mut calls = Vec::new();
    for number in 0..30 {
        let call = call(number);
        let call_id = call.call_id.clone();
        healing.simulator.add_call(call, Listed::First);
        for (turn, stage) in Stage::ALL.into_iter().enumerate() {
            let to = &urls[(turn + calls.len()) % 2];
            healing.simulator.move_webhook(&healing.webhook, to);
            healing.simulator.advance(&call_id, stage);
        }
        calls.push(call_id);
    }
    healing.bridge.await_published();
    other.await_published();
    // Whoever does it knows of each that nothing is missing.
    let known = |bridge: &Bridge| {
        ledger(
            bridge,
            "SELECT count(*) FROM listed WHERE ended_ms > 0 AND next_ms IS NULL",
        )
    };
    until("every call to be known as complete", WITHIN, || {
        match [&healing.bridge, &other].map(known).into_iter().max() {
            Some(30) => Ok(()),
            known => Err(format!("{known:?}")),
        }
    });
    let counts = healing.simulator.counts();
    assert!(
        !counts.contains_key("GET /conversation/{callId}"),
        "{counts:?}"
    );
    assert_eq!(healing.judge_once(&calls), 0, "each has all by webhooks");
    // While it passes from one to the other, for a moment none does it.
    let elected = until("one of the two to do it", WITHIN, || {
        let elected = [&healing.bridge, &other].map(is_elected);
        match elected.iter().filter(|one| **one).count() {
            1 => Ok(elected),
            _ => Err(format!("{elected:?}")),
        }
    });

    // The one that does it dies, and the other goes on.
    let mut other = other;
    healing.simulator.lose(Loss::All);
    if elected[0] {
        healing.bridge.kill9();
    } else {
        other.kill9();
    }
    calls.extend(healing.play(30..40));
    assert_eq!(healing.await_whole(&calls, Duration::from_secs(90)), 30);

    // Who was killed comes back, and one of them does it.
    if elected[0] {
        healing.bridge.resume();
    } else {
        other.resume();
    }
    let told = |bridge: &Bridge| {
        let run = bridge.run(&["reconcile", "--since", "1h", "--json"]);
        (
            run.status.code(),
            String::from_utf8_lossy(&run.stdout).into_owned(),
        )
    };
    until("one to do it and the other to refuse", WITHIN, || {
        let (one, another) = (told(&healing.bridge), told(&other));
        let refused = [&one, &another].map(|(code, said)| {
            *code == Some(1) && said.contains("another bridge of these topics reconciles")
        });
        let done =
            [&one, &another].map(|(code, said)| *code == Some(0) && said.contains("\"fetched\":0"));
        match (refused, done) {
            ([true, false], [false, true]) | ([false, true], [true, false]) => Ok(()),
            _ => Err(format!("{one:?} {another:?}")),
        }
    });
    assert_eq!(healing.judge_once(&calls), 30);
    // A delivery that comes after all reaches the one that did not reconcile.
    let back_url = url(if elected[0] { &healing.bridge } else { &other });
    healing.simulator.lose(Loss::None);
    healing.simulator.move_webhook(&healing.webhook, &back_url);
    until("the late delivery to say what it replaces", WITHIN, || {
        healing
            .simulator
            .advance(&calls[35], Stage::PostConversation);
        let records = healing.records();
        let replaces = records
            .iter()
            .filter_map(|record| Some(record.json()["source"]["replaces"].as_str()?.to_owned()));
        let replaces: Vec<String> = replaces.collect();
        match replaces.first() {
            Some(id) if *id == format!("reconcile-{}-post-conversation", calls[35]) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

fn url(bridge: &Bridge) -> String {
    format!("http://{}/webhooks/default", bridge.webhooks_address())
}

/// By its own metrics.
fn is_elected(bridge: &Bridge) -> bool {
    let text = bridge.health("/metrics").unwrap().text();
    text.lines()
        .any(|line| line == "atoms_bridge_reconcile_elected 1")
}

/// Longer than deliveries take here.
const SETTLING: &str = "20s";
const WITHIN: Duration = Duration::from_secs(60);
