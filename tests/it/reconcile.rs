//! `reconcile`: what no webhook brought is fetched, each event once however often it runs, and a dry run changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::Path;
use std::time::Duration;

use atoms_kafka_bridge::event::Stage;
use atoms_kafka_bridge::sender::simulator::Loss;

use crate::harness::healing::{Healing, call, origins};
use crate::harness::{shared_broker, unique};

#[test]
fn what_no_webhook_brought_is_fetched_and_a_second_run_publishes_nothing() {
    let broker = shared_broker();
    let healing = Healing::new(&broker.address(), &prefix("run")).start();
    healing.simulator.lose(Loss::percent(30));
    let calls = healing.play(0..40);
    healing.await_taken();
    let lost = healing.lost();
    assert!(lost >= 30, "{lost}");

    let first = healing.reconcile(&["--since", "1h"]);
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(first.count("fetched"), lost as u64, "{first:?}");
    assert_eq!(first.count("calls"), calls.len() as u64);
    healing.bridge.await_published();
    assert_eq!(healing.await_whole(&calls, WITHIN), lost);

    let before = healing.records();
    let second = healing.reconcile(&["--since", "1h"]);
    assert_eq!((second.code, second.count("fetched")), (0, 0), "{second:?}");
    assert_eq!(second.count("complete"), calls.len() as u64);
    assert_eq!(second.outcomes.len(), 0, "{second:?}");
    healing.bridge.await_published();
    assert_eq!(healing.records(), before);
    // Whoever looks at them: ids of call and type, and the dialect of the API.
    for record in before
        .iter()
        .filter(|record| record.json()["source"]["origin"] == "reconcile")
    {
        let event = record.json();
        let id = format!(
            "reconcile-{}-{}",
            record.key(),
            event["type"].as_str().unwrap()
        );
        assert_eq!(
            (&event["id"], record.header("ce_id")),
            (&id.clone().into(), Some(id.as_str()))
        );
        assert_eq!(event["source"]["dialect"], "api");
        assert_eq!(event["source"]["webhook"], "default");
        assert!(
            !record.value.windows(6).any(|part| part == b"SECRET"),
            "{event}"
        );
    }
}

#[test]
fn what_is_fetched_while_the_bridge_does_not_run_is_published_when_it_does() {
    let broker = shared_broker();
    let mut healing = Healing::new(&broker.address(), &prefix("own")).start();
    healing.simulator.lose(Loss::All);
    let calls = healing.play(0..5);
    assert_eq!(healing.bridge.term(WITHIN), 0);
    let first = healing.reconcile(&["--since", "1h"]);
    assert_eq!((first.code, first.count("fetched")), (0, 15), "{first:?}");
    assert_eq!(healing.records().len(), 0);
    // They are in the journal, and so they are known.
    let second = healing.reconcile(&["--since", "1h"]);
    assert_eq!((second.code, second.count("fetched")), (0, 0), "{second:?}");
    let listed = healing
        .bridge
        .run(&["journal", "list", "--json", "--state", "pending"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(
        listed.matches("\"origin\":\"reconcile\"").count(),
        15,
        "{listed}"
    );

    healing.bridge.resume();
    assert_eq!(healing.await_whole(&calls, WITHIN), 15);
    // Also after a replay they are what they were.
    let replayed = healing.bridge.run(&[
        "journal",
        "replay",
        "--type",
        "post-conversation",
        "--since",
        "1h",
    ]);
    assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
    healing.bridge.await_published();
    let origins = origins(&healing.records());
    for call in &calls {
        let by = &origins[&(call.clone(), "post-conversation")];
        assert_eq!(by.len(), 2, "{origins:?}");
        assert!(by.iter().all(|by| by == "reconcile"));
    }
}

#[test]
fn a_dry_run_says_what_it_would_do_and_changes_nothing_anywhere() {
    let broker = shared_broker();
    let mut healing = Healing::new(&broker.address(), &prefix("dry")).start();
    healing.simulator.lose(Loss::percent(50));
    healing.play(0..10);
    let records = healing.await_taken();
    let lost = 30 - records.len();
    let listed = |healing: &Healing| healing.bridge.run(&["journal", "list", "--json"]).stdout;
    let before = listed(&healing);
    let dry = healing.reconcile(&["--since", "1h", "--dry-run"]);
    assert_eq!(
        (dry.code, dry.count("fetched")),
        (0, lost as u64),
        "{dry:?}"
    );
    let told: usize = dry
        .outcomes
        .iter()
        .map(|outcome| outcome["events"].as_array().unwrap().len())
        .sum();
    assert_eq!(told, lost, "each event is named: {dry:?}");
    assert_eq!(dry.outcomes("would-fetch"), dry.outcomes.len());
    assert_eq!(listed(&healing), before);

    // Without a bridge that runs, no file changes either.
    assert_eq!(healing.bridge.term(WITHIN), 0);
    let files = contents(healing.bridge.dir());
    let dry = healing.reconcile(&["--since", "1h", "--dry-run"]);
    assert_eq!(
        (dry.code, dry.count("fetched")),
        (0, lost as u64),
        "{dry:?}"
    );
    assert_eq!(contents(healing.bridge.dir()), files);
    assert_eq!(healing.records(), records);
    for asked in healing.simulator.asked() {
        assert!(asked.what.starts_with("GET "), "{asked:?}");
    }
    // Where there never was a bridge, none is begun.
    let new = Healing::new(&broker.address(), &healing.prefix);
    let dry = new.reconcile(&["--since", "1h", "--dry-run"]);
    assert_eq!((dry.code, dry.count("calls")), (0, 0), "{dry:?}");
    assert!(!new.bridge.dir().join("data").exists());
}

#[test]
fn only_what_an_agent_subscribes_to_here_is_expected() {
    let broker = shared_broker();
    let healing = Healing::new(&broker.address(), &prefix("subscribed")).start();
    let (one, other) = (call(0), call(1));
    let url = format!(
        "http://{}/webhooks/default/",
        healing.bridge.webhooks_address()
    );
    // Another setup's webhook, whose secret is not ours though its path is.
    healing.simulator.unsubscribe(&one.agent_id);
    healing.simulator.unsubscribe(&other.agent_id);
    healing
        .simulator
        .add_webhook(&url, &[(&other.agent_id, Stage::PreConversation)]);
    healing
        .simulator
        .subscribe(&healing.webhook, &one.agent_id, Stage::PostConversation);
    healing.simulator.lose(Loss::All);
    let call_id = one.call_id.clone();
    healing.simulator.play(one);
    healing.simulator.play(other);
    let run = healing.reconcile(&["--since", "1h"]);
    assert_eq!((run.code, run.count("fetched")), (0, 1), "{run:?}");
    assert_eq!(run.count("notOurs"), 1);
    healing.bridge.await_published();
    let origins = healing.origins();
    let only = (call_id, "post-conversation");
    assert_eq!(origins.keys().collect::<Vec<_>>(), [&only]);
}

#[test]
fn what_keeps_it_from_working_is_told_with_what_to_do() {
    let broker = shared_broker();
    let healing = Healing::new(&broker.address(), &prefix("trouble")).start();
    let run = healing.reconcile(&["--since", "1h", "--until", "2h"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.log.contains("--until is not behind --since"), "{run:?}");

    for (agent, _) in atoms_kafka_bridge::sender::samples::api::agents() {
        healing.simulator.unsubscribe(agent);
    }
    healing.simulator.remove_webhook(&healing.webhook);
    let run = healing.reconcile(&["--since", "1h"]);
    assert_eq!(
        (run.code, &run.sum["ended"]),
        (1, &"failed".into()),
        "{run:?}"
    );
    assert!(
        run.sum["reason"]
            .as_str()
            .unwrap()
            .contains("`atoms connect`"),
        "{run:?}"
    );

    let without = Healing::new(&broker.address(), &prefix("no-key"));
    let bridge = without.bridge.without_variable("ATOMS_API_KEY");
    let ended = bridge.run(&["reconcile", "--since", "1h"]);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    // The running bridge has none, the command has one.
    let mut bridge = bridge.start();
    bridge.set_variable("ATOMS_API_KEY", "one-for-the-command-only");
    let ended = bridge.run(&["reconcile", "--since", "1h"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        said.contains("`serve` runs without an API key") && !said.contains("for-the-command"),
        "{said}"
    );
}

/// Every file of a directory with the hash of its content.
fn contents(dir: &Path) -> BTreeMap<String, u64> {
    let hash = |path: &Path| {
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(path).unwrap());
        hasher.finish()
    };
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.display().to_string(), hash(&path));
        }
    }
    found
}

fn prefix(name: &str) -> String {
    unique(&format!("reconcile-{name}")) + "."
}

const WITHIN: Duration = Duration::from_secs(60);
