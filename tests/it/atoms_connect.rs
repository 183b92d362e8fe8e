//! `atoms connect`: from an empty configuration to the first call, and nobody else loses theirs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use atoms_kafka_bridge::event::Stage;
use atoms_kafka_bridge::sender::samples::Dialect;
use atoms_kafka_bridge::sender::samples::api::{Recorded, recorded};
use atoms_kafka_bridge::sender::simulator::{Fault, KEY, Outcome};
use atoms_kafka_bridge::time::Timestamp;
use serde_json::{Value, json};

use crate::harness::bridge::Bridge;
use crate::harness::simulator::Simulator;
use crate::harness::{kcat, shared_broker, unique};

/// The agent of the first sample call.
const AGENT: &str = "69fc7dd072a0c1d28d948ace";
const OTHER_AGENT: &str = "69fc7dd072a0c1d28d948acf";

#[test]
fn from_an_empty_configuration_to_the_first_call_signed_and_verified() {
    let broker = shared_broker();
    let prefix = unique("connect") + ".";
    let simulator = simulator();
    // Somebody else hears of this agent's calls already.
    let everything = Stage::ALL.map(|stage| (AGENT, stage));
    let other = simulator.add_webhook("http://127.0.0.1:9/other", &everything);
    let bridge = empty(&simulator, &broker.address()).with("TOPICS__PREFIX", &prefix);

    let url = format!("http://{}", bridge.webhooks_address());
    let connected = bridge.run(&["atoms", "connect", "--url", &url, "--agent", "Collections"]);
    assert_eq!(code(&connected), 0, "{}", printed(&connected));
    let own = simulator.subscriptions_of(AGENT);
    assert_eq!(own.len(), 6, "{own:?}");
    for stage in Stage::ALL {
        assert!(
            own.contains(&(other.clone(), stage)),
            "the other webhook keeps the agent"
        );
    }
    let webhook = own
        .iter()
        .map(|(id, _)| id)
        .find(|id| **id != other)
        .unwrap();

    let file = bridge.dir().join("data/default.secret");
    let secret = simulator.secret_of(webhook).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{secret}\n"));
    assert_eq!(mode(&file), 0o600);
    for shown in [secret.as_str(), KEY] {
        assert!(
            !printed(&connected).contains(shown),
            "{}",
            printed(&connected)
        );
    }
    // What it says is all that is left to do.
    let said = printed(&connected);
    let setting = said
        .lines()
        .find(|line| line.contains("secrets = "))
        .unwrap();
    let bridge = bridge.with_file("bridge.toml", &format!("[webhooks.default]\n{setting}\n"));

    let bridge = bridge.start();
    let call = call(0);
    let call_id = call.call_id.clone();
    simulator.play(call);
    let to_bridge = outcomes(&simulator, webhook);
    assert_eq!(to_bridge, [Outcome::Taken; 3], "{}", bridge.log());
    for stage in Stage::ALL {
        let topic = format!("{prefix}{}", stage.name());
        let records = kcat::await_count(&broker.address(), &topic, 1, WITHIN);
        let event: Value = serde_json::from_slice(&records[0].value).unwrap();
        assert_eq!(event["callId"], *call_id);
        assert_eq!(event["source"]["origin"], "webhook");
    }
    let listed = bridge.run(&["atoms", "webhooks", "--json"]);
    assert_eq!(code(&listed), 0, "{}", printed(&listed));

    let again_line = [
        "atoms", "connect", "--url", &url, "--agent", AGENT, "--json",
    ];
    let again = bridge.run(&again_line);
    assert_eq!(code(&again), 0, "{}", printed(&again));
    let report: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(
        (&report["action"], &report["isConfigured"]),
        (&json!("unchanged"), &json!(true))
    );
    assert_eq!(simulator.subscriptions_of(AGENT), own);
    let checked = bridge.run(&again_line[..6]);
    assert_eq!(code(&checked), 0, "{}", printed(&checked));
    let delivery = printed(&checked)
        .lines()
        .any(|line| line.contains("delivery"));
    assert!(delivery, "it ends with check: {}", printed(&checked));
}

#[test]
fn an_agent_is_taken_from_another_webhook_only_when_told_to() {
    let simulator = simulator();
    let bridge = empty(&simulator, NOWHERE);
    let url = format!("http://{}/webhooks/default", bridge.webhooks_address());
    // Made by hand, without any agent: a subscription to it is the only way.
    let own = simulator.add_webhook(&url, &[]);
    let other = simulator.add_webhook(
        "http://127.0.0.1:9/other",
        &[(AGENT, Stage::PostConversation)],
    );
    let before = simulator.subscriptions_of(AGENT);
    let line = [
        "atoms", "connect", "--url", &url, "--agent", AGENT, "--json",
    ];

    let refused = bridge.run(&line);
    assert_eq!(code(&refused), 1, "{}", printed(&refused));
    let report: Value = serde_json::from_slice(&refused.stdout).unwrap();
    let cost = json!({ "agentId": AGENT, "webhookId": other, "event": "post-conversation" });
    assert_eq!(
        (&report["action"], &report["costs"]),
        (&json!("refused"), &json!([cost]))
    );
    assert_eq!(simulator.subscriptions_of(AGENT), before);
    assert!(!bridge.dir().join("data/default.secret").exists());
    let told = bridge.run(&line[..6]);
    assert!(printed(&told).contains("--replace"), "{}", printed(&told));

    let replaced = bridge.run(&[&line[..], &["--replace"]].concat());
    assert_eq!(code(&replaced), 0, "{}", printed(&replaced));
    let report: Value = serde_json::from_slice(&replaced.stdout).unwrap();
    assert_eq!(report["costs"], json!([cost]), "it is told all the same");
    assert_eq!(
        simulator.subscriptions_of(AGENT),
        Stage::ALL.map(|stage| (own.clone(), stage))
    );
}

#[test]
fn a_dry_run_changes_nothing() {
    let simulator = simulator();
    let bridge = empty(&simulator, NOWHERE);
    let url = format!("http://{}", bridge.webhooks_address());
    let shown = bridge.run(&[
        "atoms",
        "connect",
        "--url",
        &url,
        "--agent",
        AGENT,
        "--dry-run",
    ]);
    assert_eq!(code(&shown), 0, "{}", printed(&shown));
    assert!(
        printed(&shown).contains("would make a webhook"),
        "{}",
        printed(&shown)
    );
    let asked = simulator.counts();
    assert!(
        asked.keys().all(|what| what.starts_with("GET ")),
        "{asked:?}"
    );
    assert!(!bridge.dir().join("data").exists());
}

#[test]
fn a_second_factor_that_is_configured_is_set_at_the_sender_too() {
    let broker = shared_broker();
    let simulator = simulator();
    let bridge = empty(&simulator, &broker.address())
        .with("TOPICS__PREFIX", &(unique("connect-header") + "."))
        .with("WEBHOOKS__DEFAULT__HEADER__NAME", "x-api-key")
        .with(
            "WEBHOOKS__DEFAULT__HEADER__VALUE",
            "literal:the second factor",
        );
    let url = format!("http://{}", bridge.webhooks_address());
    let connected = bridge.run(&[
        "atoms", "connect", "--url", &url, "--agent", AGENT, "--json",
    ]);
    assert_eq!(code(&connected), 0, "{}", printed(&connected));
    assert!(!printed(&connected).contains("the second factor"));
    let report: Value = serde_json::from_slice(&connected.stdout).unwrap();
    let webhook = report["webhookId"].as_str().unwrap();
    let file = report["secretFile"].as_str().unwrap();
    let bridge = bridge
        .with("WEBHOOKS__DEFAULT__SECRETS", &format!("file:{file}"))
        .start();
    simulator.play(call(0));
    assert_eq!(
        outcomes(&simulator, webhook),
        [Outcome::Taken; 3],
        "{}",
        bridge.log()
    );
}

#[test]
fn only_some_agents_and_events_where_that_is_asked_for() {
    let simulator = simulator();
    let bridge = empty(&simulator, NOWHERE);
    let url = format!("http://{}/webhooks/sales", bridge.webhooks_address());
    let line = [
        "atoms",
        "connect",
        "--url",
        &url,
        "--agent",
        AGENT,
        "--agent",
        OTHER_AGENT,
        "--events",
        "end,analytics-completed",
        "--secret-file",
        "here.secret",
        "--print-secret",
    ];
    let connected = bridge.run(&line);
    assert_eq!(code(&connected), 0, "{}", printed(&connected));
    for agent in [AGENT, OTHER_AGENT] {
        let stages: Vec<Stage> = simulator
            .subscriptions_of(agent)
            .into_iter()
            .map(|(_, stage)| stage)
            .collect();
        assert_eq!(stages, [Stage::PostConversation, Stage::AnalyticsCompleted]);
    }
    let secret = fs::read_to_string(bridge.dir().join("here.secret")).unwrap();
    assert!(
        printed(&connected).contains(secret.trim()),
        "it was asked for"
    );
    assert!(
        printed(&connected).contains("[webhooks.sales]"),
        "{}",
        printed(&connected)
    );
}

#[test]
fn a_webhook_that_was_made_though_the_answer_got_lost_is_found() {
    let simulator = simulator();
    let bridge = empty(&simulator, NOWHERE);
    let url = format!("http://{}", bridge.webhooks_address());
    // The list of webhooks comes, then the new one is made and nobody hears of it.
    simulator.fail_next(Some("/webhook"), Fault::Slow(Duration::ZERO));
    simulator.fail_next(Some("/webhook"), Fault::DoneBut(500));
    let connected = bridge.run(&["atoms", "connect", "--url", &url, "--agent", AGENT]);
    assert_eq!(code(&connected), 0, "{}", printed(&connected));
    assert_eq!(simulator.subscriptions_of(AGENT).len(), 3);
    assert_eq!(
        simulator.counts()["POST /webhook"],
        1,
        "it is not made again"
    );
}

#[test]
fn what_cannot_work_is_told_with_what_to_do() {
    let simulator = simulator();
    let bridge = empty(&simulator, NOWHERE);
    let connect = |bridge: &Bridge, url: &str, agent: &str| {
        let ended = bridge.run(&["atoms", "connect", "--url", url, "--agent", agent]);
        (code(&ended), printed(&ended))
    };
    for (url, agent, expected) in [
        ("http://bridge.example.com", AGENT, "HTTPS"),
        ("https://bridge.example.com", "Nobody", "`atoms agents`"),
        ("ftp://x", AGENT, "write a URL"),
    ] {
        let (code, printed) = connect(&bridge, url, agent);
        assert_eq!(code, 2, "{printed}");
        assert!(printed.contains(expected), "{printed}");
    }
    // A file that holds something else is found before anything is made.
    fs::create_dir(bridge.dir().join("data")).unwrap();
    fs::write(
        bridge.dir().join("data/default.secret"),
        "of another webhook",
    )
    .unwrap();
    let (ended, told) = connect(&bridge, "https://bridge.example.com", AGENT);
    assert_eq!(ended, 1, "{told}");
    assert!(told.contains("holds another secret"), "{told}");
    assert_eq!(simulator.subscriptions_of(AGENT), []);

    let bridge = bridge.with_variable("ATOMS_API_KEY", "WRONG-KEY-TOPSECRET");
    let (ended, told) = connect(&bridge, "https://bridge.example.com", AGENT);
    assert_eq!(ended, 1, "{told}");
    assert!(
        told.contains("the API key is refused: check atoms.api_key"),
        "{told}"
    );
    assert!(!told.contains("TOPSECRET"), "{told}");

    let bridge = bridge.without_variable("ATOMS_API_KEY");
    let (ended, told) = connect(&bridge, "https://bridge.example.com", AGENT);
    assert_eq!(ended, 2, "{told}");
    assert!(told.contains("ATOMS_API_KEY"), "{told}");
}

fn simulator() -> Simulator {
    let simulator = Simulator::start();
    simulator.add_agent(AGENT, "Collections");
    simulator.add_agent(OTHER_AGENT, "Support");
    simulator
}

/// A bridge that is given nothing but the key: no secret, no file.
fn empty(simulator: &Simulator, broker: &str) -> Bridge {
    simulator
        .known_to(Bridge::new(broker))
        .without_variable("ATOMS_WEBHOOK_SECRET")
}

fn call(number: u64) -> Recorded {
    recorded(Dialect::Envelope, number, Timestamp::now())
}

fn outcomes(simulator: &Simulator, webhook: &str) -> Vec<Outcome> {
    let delivered = simulator.delivered().into_iter();
    delivered
        .filter(|delivered| delivered.webhook_id == webhook)
        .map(|delivered| delivered.outcome)
        .collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn printed(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]]
        .map(String::from_utf8_lossy)
        .concat()
}

/// No command here but the ones that start the bridge speaks to Kafka.
const NOWHERE: &str = "127.0.0.1:9";
const WITHIN: Duration = Duration::from_secs(30);
