//! Of what the API knows of a call nothing is missing from its three events together; and of the evaluation, which comes
//! later than the rest, nothing from its own event.

use atoms_kafka_bridge::dialect::{self, Arrival, api};
use atoms_kafka_bridge::event::json::Document;
use atoms_kafka_bridge::event::{Origin, Stage};
use atoms_kafka_bridge::time::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::bodies::{Sent, Text, conversation};
use crate::nothing_missing::{Check, without_quotes};
use crate::tree::Tree;

#[test]
fn nothing_is_missing_from_the_events_of_a_reconciled_call() {
    let config = Config {
        cases: 2500,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&(conversation(), any::<u64>()), |(sent, mut seed)| {
            let unique = sent.without_repeats();
            let told = without_the_agents_own(unique.clone());
            let [pre, post, analytics] = events(&unique);
            for (event, root) in [
                (&together(&post, &analytics), &told),
                (&analytics, &evaluation(&told)),
            ] {
                if *root == Sent::Object(vec![]) {
                    continue;
                }
                let check = Check {
                    event,
                    root,
                    known_as,
                };
                check.value(root, &mut Vec::new())?;
            }
            prop_assert_eq!(post.at("/call"), analytics.at("/call"));
            if let Some(Tree::Object(before)) = pre.at("/call") {
                for (name, value) in before {
                    prop_assert_eq!(post.at(&format!("/call/{name}")), Some(value));
                }
            }
            let ours = [pre, post, analytics].map(without_quotes);
            for same in [&sent, &unique.shuffled(&mut seed)] {
                prop_assert_eq!(&ours, &events(same).map(without_quotes), "{}", same.json());
            }
            Ok(())
        })
        .unwrap();
}

/// What a row adds to a detail is what the detail does not say.
#[test]
fn a_row_adds_to_its_detail_and_never_contradicts_it() {
    let config = Config {
        cases: 500,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&(conversation(), conversation()), |(detail, row)| {
            let [detail, row] = [detail, row].map(|sent| sent.without_repeats());
            let merged = api::merged(&detail.json(), Some(&row.json())).unwrap();
            let merged = Document::parse(merged.as_bytes()).unwrap();
            let told = |key: &Text| {
                let mut members = merged.root().members();
                let same = |of: &str| of == key.raw || (!key.is_broken && of == key.decoded);
                let found = members.find(|(of, _)| same(of.inner()));
                found.map(|(_, value)| value.raw().to_owned())
            };
            let members = |sent: &Sent| {
                let Sent::Object(members) = sent else {
                    panic!("no object: {sent:?}");
                };
                members.clone()
            };
            let is_own =
                |(key, _): &(Text, Sent)| ["agent", "agentId"].contains(&key.decoded.as_str());
            for (key, value) in members(&detail)
                .into_iter()
                .filter(|member| !is_own(member))
            {
                prop_assert_eq!(told(&key), Some(value.json()));
            }
            for (key, _) in members(&row).into_iter().filter(|member| !is_own(member)) {
                prop_assert!(told(&key).is_some(), "{} is missing", key.raw);
            }
            Ok(())
        })
        .unwrap();
}

fn events(sent: &Sent) -> [Tree; 3] {
    let body = api::merged(&sent.json(), None).unwrap_or_else(|| panic!("{}", sent.json()));
    Stage::ALL.map(|stage| {
        let id = api::id("CALL-1778226705739-7e4c17", stage);
        let arrival = Arrival {
            webhook: "default",
            id: &id,
            received_at: Timestamp::from_unix_ms(1_778_226_775_412),
            origin: Origin::Reconcile(stage),
        };
        let document = Document::parse(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}"));
        let event = dialect::parse(&document, &arrival);
        let event = event.unwrap_or_else(|e| panic!("{e}: {body}"));
        Tree::read(&serde_json::to_string(&event).unwrap())
    })
}

/// The end of a call with its evaluation.
fn together(post: &Tree, analytics: &Tree) -> Tree {
    let mut together = post.clone();
    if let (Tree::Object(members), Some(evaluation)) = (&mut together, analytics.at("/analytics")) {
        members.insert("analytics".to_owned(), evaluation.clone());
    }
    together
}

fn evaluation(told: &Sent) -> Sent {
    let Sent::Object(members) = told else {
        return Sent::Null;
    };
    let own = members
        .iter()
        .filter(|(key, _)| key.decoded == "postCallAnalytics" && !key.is_broken);
    Sent::Object(own.cloned().collect())
}

/// Of an agent its id and its name are part of a delivery, and nothing else.
fn without_the_agents_own(sent: Sent) -> Sent {
    let Sent::Object(members) = sent else {
        return sent;
    };
    let is_plain = |value: &Sent| !matches!(value, Sent::List(_) | Sent::Object(_));
    let kept = members.into_iter().filter_map(|(key, value)| {
        if !["agent", "agentId"].contains(&key.decoded.as_str()) || key.is_broken {
            return Some((key, value));
        }
        let Sent::Object(own) = value else {
            return is_plain(&value).then_some((key, value));
        };
        let named = |name: &str| ["_id", "name"].contains(&name);
        let own: Vec<_> = own
            .into_iter()
            .filter(|(key, value)| named(&key.decoded) && !key.is_broken && is_plain(value))
            .collect();
        (!own.is_empty()).then_some((key, Sent::Object(own)))
    });
    Sent::Object(kept.collect())
}

/// The API's names by those of the webhooks; names of webhooks that mean nothing here by one that is unknown.
fn known_as(names: Vec<&str>) -> Vec<&str> {
    let of_root = match names.as_slice() {
        ["from"] => "fromNumber",
        ["to"] => "toNumber",
        ["type"] => "conversationType",
        ["status"] => "callStatus",
        ["disconnectionReason"] => "endReason",
        ["retryAttemptNumber"] => "retryAttempt",
        ["agent"] | ["agent" | "agentId", "_id"] => return vec!["agentId"],
        ["agent" | "agentId", "name"] => return vec!["agentName"],
        ["postCallAnalytics", ..] => "analytics",
        [
            "metadata" | "data" | "callData" | "id" | "event" | "eventType" | "description" | "url"
            | "timestamp",
            ..,
        ] => return vec!["\0"],
        _ => return names,
    };
    std::iter::once(of_root)
        .chain(names.iter().skip(1).copied())
        .collect()
}
