//! `atoms webhooks · agents · secret`: what is there, what differs, and no secret where none was asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use atoms_kafka_bridge::event::Stage;
use atoms_kafka_bridge::sender::simulator::KEY;
use serde_json::{Value, json};

use crate::harness::bridge::Bridge;
use crate::harness::simulator::Simulator;

const AGENT: &str = "69fc7dd072a0c1d28d948ace";
const OURS: &str = "https://bridge.example.com/webhooks/default";
const OTHER: &str = "https://other.example.com/atoms";

#[test]
fn webhooks_are_listed_with_what_differs_from_the_configuration() {
    let simulator = Simulator::start();
    simulator.add_agent(AGENT, "Collections");
    let bridge = simulator.known_to(Bridge::new(NOWHERE));
    let states = |bridge: &Bridge, expected: i32| -> Vec<String> {
        let listed = bridge.run(&["atoms", "webhooks", "--json"]);
        assert_eq!(listed.status.code(), Some(expected), "{}", printed(&listed));
        let lines = json_lines(&listed).into_iter();
        lines
            .map(|line| line["state"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        states(&bridge, 1),
        ["missing"],
        "configured here, unknown there"
    );

    simulator.add_webhook(OTHER, &[]);
    let ours = simulator.add_webhook(
        OURS,
        &[
            (AGENT, Stage::PreConversation),
            (AGENT, Stage::PostConversation),
        ],
    );
    assert_eq!(
        states(&bridge, 1),
        ["not-configured", "other-secret", "missing"]
    );

    let secret = simulator.secret_of(&ours).unwrap();
    let bridge = bridge.with_variable("ATOMS_WEBHOOK_SECRET", &secret);
    assert_eq!(states(&bridge, 0), ["not-configured", "ok"]);

    let table = bridge.run(&["atoms", "webhooks"]);
    let expected = format!("{AGENT}:pre-conversation+post-conversation");
    assert!(printed(&table).contains(&expected), "{}", printed(&table));
    for hidden in [secret.as_str(), KEY] {
        assert!(!printed(&table).contains(hidden), "{}", printed(&table));
    }
}

#[test]
fn agents_are_listed_with_where_their_events_go() {
    let simulator = Simulator::start();
    simulator.add_agent(AGENT, "Collections");
    simulator.add_agent("69fc7dd072a0c1d28d948acf", "खाता\u{1b}[2J");
    let webhook = simulator.add_webhook(OURS, &[(AGENT, Stage::PostConversation)]);
    let bridge = simulator.known_to(Bridge::new(NOWHERE));
    let listed = bridge.run(&["atoms", "agents", "--json"]);
    assert_eq!(listed.status.code(), Some(0), "{}", printed(&listed));
    let lines = json_lines(&listed);
    let to = json!([{ "id": webhook, "url": OURS, "events": ["post-conversation"] }]);
    assert_eq!(
        (&lines[0]["name"], &lines[0]["webhooks"]),
        (&json!("Collections"), &to)
    );
    assert_eq!(lines[1]["webhooks"], json!([]));
    let table = bridge.run(&["atoms", "agents"]);
    assert!(printed(&table).contains(OURS), "{}", printed(&table));
    assert!(
        !printed(&table).contains('\u{1b}'),
        "a name moves no cursor"
    );
}

#[test]
fn a_secret_is_fetched_into_a_file_and_printed_only_when_asked() {
    let simulator = Simulator::start();
    let ours = simulator.add_webhook(OURS, &[]);
    simulator.add_webhook(OTHER, &[]);
    let secret = simulator.secret_of(&ours).unwrap();
    let bridge = simulator
        .known_to(Bridge::new(NOWHERE))
        .with("WEBHOOKS__DEFAULT__SECRETS", "file:keys/default");

    let fetched = bridge.run(&["atoms", "secret"]);
    assert_eq!(fetched.status.code(), Some(0), "{}", printed(&fetched));
    assert!(
        !printed(&fetched).contains(&secret),
        "{}",
        printed(&fetched)
    );
    let file = bridge.dir().join("keys/default");
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), secret);
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    for which in ["default", ours.as_str(), OURS] {
        let shown = bridge.run(&["atoms", "secret", which, "--print"]);
        assert_eq!(
            String::from_utf8(shown.stdout).unwrap(),
            format!("{secret}\n")
        );
    }
    let unknown = bridge.run(&["atoms", "secret", "sales"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", printed(&unknown));
}

fn json_lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn printed(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]]
        .map(String::from_utf8_lossy)
        .concat()
}

/// None of these commands speaks to Kafka.
const NOWHERE: &str = "127.0.0.1:9";
