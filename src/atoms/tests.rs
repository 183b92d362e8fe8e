//! The client against the simulator: both keep to the contract's table, and neither trouble nor a guess of the API's
//! costs an answer or shows a key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;

use super::answers::{ListedCall, RemoteWebhook, Subscription};
use super::client::{Failed, NewWebhook};
use super::contract::{self, ALL};
use super::{AtomsError, Client};
use crate::config::Atoms;
use crate::event::Stage;
use crate::sender::samples::Dialect;
use crate::sender::samples::api::recorded;
use crate::sender::simulator::{Fault, KEY, Listed, Simulator};
use crate::time::Timestamp;
use crate::verify::secret::Secret;

const AGENT: &str = "69fc7dd072a0c1d28d948ace";

async fn simulator() -> Simulator {
    let simulator = Simulator::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .await
        .unwrap();
    simulator.add_agent(AGENT, "Collections");
    simulator
}

fn config(simulator: &Simulator, key: &str) -> Atoms {
    Atoms {
        api_key: Secret::new(key.as_bytes()),
        base_url: simulator.base_url(),
        requests_per_second: 100,
        timeout: Duration::from_secs(10),
        reconcile_every: None,
        settling_time: Duration::from_secs(600),
        analytics_patience: Duration::from_secs(86_400),
    }
}

fn client(simulator: &Simulator) -> Client {
    Client::new(&config(simulator, KEY)).unwrap()
}

fn listed(call_id: &str) -> ListedCall {
    let row = json!({ "callId": call_id }).to_string();
    ListedCall::read(RawValue::from_string(row).unwrap()).unwrap()
}

fn new_webhook(url: &str) -> NewWebhook {
    NewWebhook {
        url: url.to_owned(),
        description: "x".to_owned(),
        events: vec![(AGENT.to_owned(), Stage::PostConversation)],
    }
}

#[tokio::test]
async fn every_request_and_every_answer_agrees_with_the_contracts_table() {
    let simulator = simulator().await;
    let client = client(&simulator);
    client.check_key().await.unwrap();
    let id = client
        .create_webhook(&new_webhook("http://127.0.0.1:9/x"))
        .await
        .unwrap();
    let headers = BTreeMap::from([("x-api-key".to_owned(), "word".to_owned())]);
    client.set_headers(&id, &headers).await.unwrap();
    assert_eq!(simulator.headers_of(&id), headers);
    assert_eq!(client.webhooks().await.unwrap().len(), 1);
    let one = client.webhook(&id).await.unwrap().unwrap();
    let secret = one.secret.as_ref().unwrap();
    let expected = simulator.secret_of(&id).unwrap();
    assert_eq!(secret.expose(), expected.as_bytes());
    assert!(client.webhook("6a01").await.unwrap().is_none());
    client
        .replace_subscriptions(AGENT, &id, &Stage::ALL)
        .await
        .unwrap();
    assert_eq!(client.subscriptions(AGENT).await.unwrap().len(), 3);
    assert_eq!(client.agents().await.unwrap().len(), 1);

    let call = recorded(Dialect::Envelope, 0, Timestamp::now());
    let retry = recorded(Dialect::Envelope, 9, Timestamp::now());
    let (call_id, retry_id) = (call.call_id.clone(), retry.call_id.clone());
    simulator.add_call(call, Listed::First);
    simulator.add_retry(&call_id, retry);
    for reached in [
        None,
        Some(Stage::PreConversation),
        Some(Stage::PostConversation),
        Some(Stage::AnalyticsCompleted),
    ] {
        if let Some(stage) = reached {
            simulator.advance(&call_id, stage).await;
        }
        let page = client.calls(1, 500).await.unwrap();
        assert_eq!(page.calls.len(), 1, "a hidden try is not listed");
        assert_eq!((page.calls[0].retry_count, page.has_more), (1, false));
        let fetched = client.call(&page.calls[0]).await.unwrap().unwrap();
        let has_analytics = fetched.glance().has_analytics;
        assert_eq!(has_analytics, reached == Some(Stage::AnalyticsCompleted));
        assert_eq!(fetched.glance().agent_id.as_deref(), Some(AGENT));
    }
    let retries = client.retries(&call_id).await.unwrap();
    assert_eq!(retries[0].call_id, retry_id);
    assert!(client.call(&listed("CALL-1-a")).await.unwrap().is_none());
    let ids = [call_id.clone(), "CALL-1-a".to_owned()];
    let found = client.search(&ids).await.unwrap();
    assert_eq!(found.len(), 1, "one is unknown");
    assert_eq!(found[0].call_id, call_id);

    // What the bridge itself never does, the simulator plays all the same.
    let raw = reqwest::Client::builder().no_proxy().build().unwrap();
    let subscriptions = format!(
        "{}/agent/{AGENT}/webhook-subscriptions",
        simulator.base_url()
    );
    let webhook = format!("{}/webhook/{id}", simulator.base_url());
    for (request, status) in [
        (raw.delete(&webhook), 400),
        (raw.delete(&subscriptions), 200),
        (raw.delete(&webhook), 200),
    ] {
        let answer = request.bearer_auth(KEY).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
    }

    assert_eq!(simulator.departures(), Vec::<String>::new());
    let asked: BTreeSet<String> = simulator.counts().into_keys().collect();
    let table = ALL.map(|call| format!("{} {}", call.method, call.path));
    assert_eq!(asked, BTreeSet::from(table));
}

#[tokio::test]
async fn what_departs_from_the_table_is_seen() {
    let simulator = simulator().await;
    let raw = reqwest::Client::builder().no_proxy().build().unwrap();
    for (path, expected) in [
        (
            "/conversation?sortBy=createdAt",
            "GET /conversation: query parameter sortBy is unknown or does not fit",
        ),
        (
            "/conversation?limit=501",
            "GET /conversation: query parameter limit is unknown or does not fit",
        ),
        ("/deliveries", "GET : no such call"),
    ] {
        let request = raw.get(format!("{}{path}", simulator.base_url()));
        request.bearer_auth(KEY).send().await.unwrap();
        assert_eq!(
            simulator.departures().last().map(String::as_str),
            Some(expected)
        );
    }
}

#[tokio::test]
async fn a_refused_key_is_told_once_and_shown_never() {
    let simulator = simulator().await;
    let client = Client::new(&config(&simulator, "WRONG-KEY-TOPSECRET")).unwrap();
    let error = client.check_key().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the API key is refused: check atoms.api_key"
    );
    assert_eq!(simulator.asked().len(), 1, "asking again would not help");
    let printed = format!("{client:?} {error:?} {error}");
    assert!(!printed.contains("TOPSECRET"), "{printed}");
}

#[tokio::test]
async fn a_key_is_taken_out_of_what_the_api_says_and_of_calls_it_says_nothing() {
    let simulator = simulator().await;
    let client = client(&simulator);
    let said = json!({ "errors": [format!("key {KEY} may not\u{1b}"), { "message": "no" }, 7] });
    let failed: Failed = serde_json::from_value(said).unwrap();
    assert_eq!(
        client.words(&contract::CREATE_WEBHOOK, &failed),
        "key *** may not; no"
    );
    for call in [
        &contract::CALLS,
        &contract::CALL,
        &contract::RETRIES,
        &contract::SEARCH_CALLS,
    ] {
        assert_eq!(client.words(call, &failed), "");
    }
}

#[tokio::test]
async fn trouble_that_passes_costs_a_second_request_and_no_answer() {
    let faults = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::DoneBut(502),
        Fault::BrokenJson,
        Fault::Html,
        Fault::TooMany {
            header: None,
            body: None,
        },
        Fault::TooMany {
            header: Some(0),
            body: None,
        },
        Fault::TooMany {
            header: None,
            body: Some(0.01),
        },
        Fault::Silence,
        Fault::Slow(Duration::from_millis(10)),
    ];
    for fault in faults {
        let simulator = simulator().await;
        let mut config = config(&simulator, KEY);
        if fault == Fault::Silence {
            config.timeout = Duration::from_millis(300);
        }
        simulator.fail_next(None, fault);
        let found = Client::new(&config).unwrap().agents().await;
        assert_eq!(found.unwrap().len(), 1, "{fault:?}");
        let expected = if matches!(fault, Fault::Slow(_)) {
            1
        } else {
            2
        };
        assert_eq!(simulator.asked().len(), expected, "{fault:?}");
    }
}

#[tokio::test]
async fn trouble_that_stays_is_told_after_so_many_requests() {
    let simulator = simulator().await;
    let client = client(&simulator).with_tries(2);
    simulator.go_away();
    let error = client.check_key().await.unwrap_err();
    assert!(
        matches!(error, AtomsError::Unwell { status: 503, .. }),
        "{error}"
    );
    assert!(error.may_pass());
    assert_eq!(simulator.asked().len(), 2);
    simulator.come_back();
    client.check_key().await.unwrap();

    let nowhere = Atoms {
        base_url: "http://127.0.0.1:9/x".to_owned(),
        ..config(&simulator, KEY)
    };
    let error = Client::new(&nowhere)
        .unwrap()
        .with_tries(2)
        .check_key()
        .await
        .unwrap_err();
    assert!(matches!(error, AtomsError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_longer_wait_than_anybody_waits_is_told_at_once() {
    let simulator = simulator().await;
    simulator.fail_next(
        None,
        Fault::TooMany {
            header: Some(500),
            body: None,
        },
    );
    let error = client(&simulator).check_key().await.unwrap_err();
    assert!(matches!(error, AtomsError::TooMany { .. }), "{error}");
    assert_eq!(simulator.asked().len(), 1);
}

#[tokio::test]
async fn a_webhook_is_not_made_twice() {
    let simulator = simulator().await;
    let client = client(&simulator);
    simulator.fail_next(None, Fault::DoneBut(500));
    let error = client
        .create_webhook(&new_webhook("http://127.0.0.1:9/a"))
        .await;
    assert!(matches!(error, Err(AtomsError::Unwell { .. })), "{error:?}");
    assert_eq!(simulator.asked().len(), 1, "it may have been made, and was");
    simulator.fail_next(
        None,
        Fault::TooMany {
            header: Some(0),
            body: None,
        },
    );
    client
        .create_webhook(&new_webhook("http://127.0.0.1:9/b"))
        .await
        .unwrap();
    assert_eq!(simulator.asked().len(), 3, "429 says that it was not");
    let again = client
        .create_webhook(&new_webhook("http://127.0.0.1:9/a"))
        .await;
    assert_eq!(
        again.unwrap_err().to_string(),
        "POST /webhook is refused with 400: A webhook with this URL already exists"
    );
}

#[tokio::test]
async fn agents_and_calls_come_page_by_page() {
    let simulator = simulator().await;
    for number in 0..250 {
        simulator.add_agent(&format!("69fc7dd072a0c1d2{number:08x}"), "one of many");
        simulator.add_call(
            recorded(Dialect::Envelope, number, Timestamp::now()),
            Listed::First,
        );
    }
    let client = client(&simulator);
    assert_eq!(client.agents().await.unwrap().len(), 251);
    assert_eq!(simulator.asked().len(), 3);
    let first = client.calls(1, 200).await.unwrap();
    let second = client.calls(2, 200).await.unwrap();
    assert_eq!((first.calls.len(), first.has_more), (200, true));
    assert_eq!((second.calls.len(), second.has_more), (50, false));
    // What changes comes first, and all others stand one place further on.
    let moved = second.calls[49].call_id.clone();
    simulator.advance(&moved, Stage::PreConversation).await;
    let shifted = client.calls(1, 200).await.unwrap();
    assert_eq!(shifted.calls[0].call_id, moved);
    assert_eq!(shifted.calls[1].call_id, first.calls[0].call_id);
    assert_eq!(simulator.departures(), Vec::<String>::new());
}

#[tokio::test]
async fn an_id_from_outside_leads_nowhere_else() {
    let simulator = simulator().await;
    let client = client(&simulator);
    for id in ["../webhook", "a/b", "", "a?b=c"] {
        assert_eq!(
            client.call(&listed(id)).await.unwrap_err(),
            AtomsError::NotAnId
        );
    }
    assert_eq!(simulator.asked().len(), 0);
}

#[test]
fn a_row_is_read_whatever_else_it_says() {
    let made_at = Timestamp::from_unix_ms(1_778_226_705_739);
    let later = Timestamp::parse("2026-05-08T08:00:00.000Z");
    for (row, agent, created_at, seconds) in [
        (
            json!({ "agentId": "a", "createdAt": "2026-05-08T08:00:00Z", "duration": 1.5 }),
            Some("a"),
            later,
            Some(1.5),
        ),
        (
            json!({ "agentId": { "_id": "a", "name": "n" } }),
            Some("a"),
            Some(made_at),
            None,
        ),
        (
            json!({ "agentId": 7, "createdAt": 7, "duration": "long", "status": null }),
            None,
            Some(made_at),
            None,
        ),
        (
            json!({ "duration": -1.0, "retryCount": null }),
            None,
            Some(made_at),
            None,
        ),
    ] {
        let mut row = row;
        row["callId"] = json!("CALL-1778226705739-7e4c17");
        let row = RawValue::from_string(row.to_string()).unwrap();
        let call = ListedCall::read(row).unwrap();
        assert_eq!(
            (call.agent_id.as_deref(), call.created_at),
            (agent, created_at)
        );
        assert_eq!(call.duration, seconds.map(Duration::from_secs_f64));
    }
    let nameless = RawValue::from_string("{}".to_owned()).unwrap();
    assert!(ListedCall::read(nameless).is_err());
}

#[test]
fn a_subscription_is_read_in_every_form_of_its_agent() {
    for (agent, expected) in [
        (json!({ "_id": "a", "name": "n" }), Some("a")),
        (json!({ "_id": "a", "name": null, "more": 1 }), Some("a")),
        (json!("a"), Some("a")),
        (json!(null), None),
    ] {
        let row = json!({ "_id": "1", "webhookId": "w", "agentId": agent, "eventType": "pre-conversation" });
        let row: Subscription = serde_json::from_value(row).unwrap();
        assert_eq!(row.agent.as_ref().map(|agent| agent.id.as_str()), expected);
        assert_eq!(row.stage(), Some(Stage::PreConversation));
    }
    let bare = json!({ "_id": "w", "url": "https://x", "status": "disabled" });
    let bare: RemoteWebhook = serde_json::from_value(bare).unwrap();
    assert!(!bare.is_enabled() && bare.secret.is_none() && bare.subscriptions.is_empty());
}
