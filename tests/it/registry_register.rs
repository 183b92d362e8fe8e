//! `schemas register` against a real registry: twice the same, what may follow what, and levels that stay.

use std::process::Output;

use atoms_kafka_bridge::event::compatible::differences;
use atoms_kafka_bridge::event::schema;
use serde_json::{Value, json};

use crate::harness::bridge::Bridge;
use crate::harness::registry::{Registry, shared_registry};
use crate::harness::unique;

#[test]
fn a_second_registration_changes_nothing() {
    let registry = shared_registry();
    let prefix = unique("twice.");
    let sales = format!("{prefix}sales.");
    let bridge = configured(registry, &prefix)
        .with("TOPICS__ALL", &format!("{prefix}everything"))
        .with("WEBHOOKS__SALES__SECRETS", "literal:long-enough-for-a-test")
        .with("WEBHOOKS__SALES__TOPIC_PREFIX", &sales);

    let would = lines(&bridge.run(&["schemas", "register", "--dry-run", "--json"]));
    assert_eq!(would.len(), 9);
    assert!(
        would
            .iter()
            .all(|line| line["result"] == "would register" && line["version"] == 1),
        "{would:?}"
    );
    assert_eq!(
        registry.versions(would[0]["subject"].as_str().unwrap()),
        [0; 0],
        "nothing was written"
    );

    let first = lines(&bridge.run(&["schemas", "register", "--json"]));
    assert!(
        first.iter().all(|line| line["result"] == "registered"),
        "{first:?}"
    );
    for (topic, file) in [
        (
            format!("{prefix}post-conversation"),
            "post-conversation.v1.json",
        ),
        (format!("{sales}unrecognized"), "unrecognized.v1.json"),
        (format!("{prefix}everything"), "unrecognized.v1.json"),
    ] {
        let subject = format!("{topic}-value");
        let line = first
            .iter()
            .find(|line| line["subject"] == subject)
            .unwrap();
        assert_eq!(
            (&line["schema"], &line["version"]),
            (&json!(file), &json!(1))
        );
        let found = registry
            .get(&format!("/subjects/{subject}/versions/1"))
            .json();
        assert_eq!(found["schema"], json!(text(file)), "byte for byte");
        assert_eq!(found["id"], line["id"]);
        assert_eq!(level(registry, &subject), "FORWARD_TRANSITIVE");
    }

    let second = lines(&bridge.run(&["schemas", "register", "--json"]));
    for (before, after) in first.iter().zip(&second) {
        assert_eq!(after["result"], "unchanged");
        for key in ["subject", "id", "version"] {
            assert_eq!(before[key], after[key]);
        }
        assert_eq!(
            after["notes"],
            json!([]),
            "nothing is done to levels either"
        );
        assert_eq!(registry.versions(after["subject"].as_str().unwrap()), [1]);
    }
    let table = bridge.run(&["schemas", "register"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert_eq!(table.matches("unchanged").count(), 9, "{table}");
}

#[test]
fn a_forward_compatible_schema_follows_and_an_incompatible_one_is_refused_by_its_field() {
    let registry = shared_registry();
    let prefix = unique("follows.");
    let subject = format!("{prefix}post-conversation-value");
    registry.register(
        &subject,
        &post_conversation(|schema| drop(call(schema).remove("cost"))),
    );
    set_level(registry, &subject, "FORWARD_TRANSITIVE");
    let output = configured(registry, &prefix).run(&["schemas", "register", "--json"]);
    let of_subject = line(&lines(&output), &subject);
    assert_eq!(
        (&of_subject["result"], &of_subject["version"]),
        (&json!("registered"), &json!(2))
    );
    assert_eq!(registry.versions(&subject), [1, 2]);

    let prefix = unique("refused.");
    let subject = format!("{prefix}post-conversation-value");
    let other = post_conversation(|schema| {
        call(schema).insert("durationSeconds".to_owned(), json!({"type": "string"}));
    });
    registry.register(&subject, &other);
    set_level(registry, &subject, "FORWARD_TRANSITIVE");
    let bridge = configured(registry, &prefix);
    for arguments in [
        &["schemas", "register", "--dry-run"][..],
        &["schemas", "register"],
    ] {
        let output = bridge.run(arguments);
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8(output.stdout).unwrap();
        let reason =
            format!("{subject}: version 1: call.durationSeconds: was string and is number");
        assert!(told.contains(&reason), "{told}");
    }
    assert_eq!(registry.versions(&subject), [1], "nothing was added");
    let others = format!("{prefix}pre-conversation-value");
    assert_eq!(
        registry.versions(&others),
        [1],
        "the others are registered all the same"
    );
}

#[test]
fn our_judgement_of_a_second_version_is_the_registrys() {
    let registry = shared_registry();
    let first: Value = serde_json::from_str(&text("post-conversation.v1.json")).unwrap();
    type Change = fn(&mut Value);
    let changes: [(&str, Change, bool); 8] = [
        (
            "an optional field",
            |schema| property(schema, "language", json!({"type": "string"})),
            true,
        ),
        (
            "an optional field of a part",
            |schema| drop(call(schema).insert("ringSeconds".to_owned(), json!({"type": "number"}))),
            true,
        ),
        (
            "another description",
            |schema| schema["description"] = json!("In other words."),
            true,
        ),
        (
            "a field that is always there from now on",
            |schema| required(schema).push(json!("agentId")),
            true,
        ),
        (
            "a field that is no longer there",
            |schema| drop(call(schema).remove("cost")),
            false,
        ),
        (
            "a field that is not always there any more",
            |schema| required(schema).retain(|name| name != "callId"),
            false,
        ),
        (
            "another type",
            |schema| property(schema, "stage", json!({"type": "string"})),
            false,
        ),
        (
            "one type more",
            |schema| property(schema, "agentName", json!({"type": ["string", "null"]})),
            false,
        ),
    ];
    for (what, change, may_follow) in changes {
        let mut second = first.clone();
        change(&mut second);
        let subject = format!("{}-value", unique("judged"));
        registry.register(&subject, &first.to_string());
        set_level(registry, &subject, "FORWARD_TRANSITIVE");
        let body = json!({ "schemaType": "JSON", "schema": second.to_string() });
        let answer = registry.request("POST", &format!("/subjects/{subject}/versions"), &body);
        assert_eq!(
            answer.status,
            if may_follow { 200 } else { 409 },
            "{what}: {}",
            answer.text()
        );
        let found = differences(&first, &second);
        assert_eq!(found.is_empty(), may_follow, "{what}: {found:?}");
    }
}

#[test]
fn a_level_that_somebody_set_is_never_lowered() {
    let registry = shared_registry();
    let prefix = unique("level.");
    let subject = |topic: &str| format!("{prefix}{topic}-value");
    let (strict, other, lax) = (
        subject("pre-conversation"),
        subject("post-conversation"),
        subject("unrecognized"),
    );
    set_level(registry, &strict, "FULL_TRANSITIVE");
    set_level(registry, &other, "BACKWARD");
    registry.register(&lax, &text("unrecognized.v1.json"));
    set_level(registry, &lax, "NONE");
    let bridge = configured(registry, &prefix);

    let output = bridge.run(&["schemas", "register", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for (subject, kept) in [
        (&strict, "FULL_TRANSITIVE"),
        (&other, "BACKWARD"),
        (&lax, "NONE"),
    ] {
        assert_eq!(level(registry, subject), kept);
    }
    let asked = [
        "schemas",
        "register",
        "--json",
        "--compatibility",
        "FORWARD_TRANSITIVE",
    ];
    let output = bridge.run(&asked);
    assert_eq!(
        output.status.code(),
        Some(1),
        "what was asked for was not done everywhere"
    );
    for (subject, now) in [
        (&strict, "FULL_TRANSITIVE"),
        (&other, "BACKWARD"),
        (&lax, "FORWARD_TRANSITIVE"),
    ] {
        assert_eq!(level(registry, subject), now);
    }
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("the level BACKWARD is kept: FORWARD_TRANSITIVE would allow what it forbids"),
        "{told}"
    );
    assert!(
        told.contains("the level was set from NONE to FORWARD_TRANSITIVE"),
        "{told}"
    );
}

/// A bridge that is only asked to register: no Kafka is needed for that.
fn configured(registry: &Registry, prefix: &str) -> Bridge {
    Bridge::new("127.0.0.1:1")
        .with("REGISTRY__URL", &registry.url())
        .with("TOPICS__PREFIX", prefix)
}

fn lines(output: &Output) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn line(lines: &[Value], subject: &str) -> Value {
    lines
        .iter()
        .find(|line| line["subject"] == subject)
        .unwrap()
        .clone()
}

fn level(registry: &Registry, subject: &str) -> String {
    let answer = registry.get(&format!("/config/{subject}")).json();
    answer["compatibilityLevel"].as_str().unwrap().to_owned()
}

fn set_level(registry: &Registry, subject: &str, level: &str) {
    let body = json!({ "compatibility": level });
    let answer = registry.request("PUT", &format!("/config/{subject}"), &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The published text of a file.
fn text(file: &str) -> String {
    let schemas = schema::published();
    schemas
        .into_iter()
        .find(|schema| schema.file == file)
        .unwrap()
        .text
}

/// The schema of post-conversation, changed.
fn post_conversation(change: impl FnOnce(&mut Value)) -> String {
    let mut schema = serde_json::from_str(&text("post-conversation.v1.json")).unwrap();
    change(&mut schema);
    schema.to_string()
}

fn call(schema: &mut Value) -> &mut serde_json::Map<String, Value> {
    schema["definitions"]["Call"]["properties"]
        .as_object_mut()
        .unwrap()
}

fn property(schema: &mut Value, name: &str, property: Value) {
    schema["properties"][name] = property;
}

fn required(schema: &mut Value) -> &mut Vec<Value> {
    schema["required"].as_array_mut().unwrap()
}
