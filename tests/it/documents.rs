//! The documents say what is on the topics: AsyncAPI's own parser takes the one, the other is what the types generate, and
//! the headers in both are those that real records have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use atoms_kafka_bridge::config::Config;
use atoms_kafka_bridge::dialect::{self, Arrival};
use atoms_kafka_bridge::documents;
use atoms_kafka_bridge::event::Origin;
use atoms_kafka_bridge::event::json::{Document, peek_id};
use atoms_kafka_bridge::receive::delivery::KeptHeaders;
use atoms_kafka_bridge::route::{self, Fault, Letter, Place, Record};
use atoms_kafka_bridge::time::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::harness::bridge::Bridge;
use crate::harness::foreign;

#[test]
fn the_documents_are_what_the_types_generate() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for document in documents::published(&Config::defaults().unwrap()) {
        let path = root().join("schemas").join(&document.file);
        if update {
            fs::write(&path, &document.text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == document.text, "{} has drifted", document.file);
    }
}

#[test]
fn asyncapis_own_parser_takes_the_document_without_a_word_against_it() {
    let told = parse(&root().join("schemas/asyncapi.yaml"));
    assert_eq!(told["errors"], json!([]));
    assert_eq!(told["warnings"], json!([]));
    // 3.1.0 adds nothing for Kafka, and fewer tools read it.
    let newer = told["others"].as_array().unwrap();
    assert!(
        newer.iter().all(|word| word
            .as_str()
            .unwrap()
            .starts_with("asyncapi-latest-version")),
        "{newer:?}"
    );
    assert_eq!(told["version"], "3.0.0");
    let channels = told["channels"].as_array().unwrap();
    let topics: Vec<&Value> = channels.iter().map(|channel| &channel["topic"]).collect();
    assert_eq!(
        json!(topics),
        json!(route::topics("atoms.").collect::<Vec<_>>())
    );
    for channel in channels {
        assert_eq!(channel["operations"], json!(["send"]));
        assert_eq!(channel["binding"]["topic"], channel["topic"]);
        assert_eq!(channel["binding"]["partitions"], 12);
        let message = &channel["message"];
        let file = format!("schemas/{}.v1.json", message["name"].as_str().unwrap());
        if channel["topic"] == "atoms.dead-letter" {
            assert_eq!(message["contentType"], "application/octet-stream");
            continue;
        }
        assert_eq!(message["contentType"], "application/json");
        assert_eq!(message["binding"]["key"]["type"], "string");
        assert_eq!(message["binding"]["schemaIdLocation"], "header");
        assert_eq!(
            message["schemaFormat"],
            "application/schema+json;version=draft-07"
        );
        let published: Value =
            serde_json::from_slice(&fs::read(root().join(file)).unwrap()).unwrap();
        let definitions = published["definitions"].clone();
        let mut published = resolved(&published, &definitions);
        published.as_object_mut().unwrap().remove("definitions");
        let payload = message["payload"]["schema"].clone();
        assert_eq!(resolved(&payload, &Value::Null), published);
    }
}

#[test]
fn asyncapis_own_parser_complains_of_a_broken_document() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read_to_string(root().join("schemas/asyncapi.yaml")).unwrap();
    for (what, with, complaint) in [
        ("action: send", "action: sends", "operations"),
        ("#/components/messages/deadLetter", "#/nowhere", "nowhere"),
        ("partitions: 12", "partitions: twelve", "partitions"),
        ("    host: ", "    hosts: ", "servers"),
        ("\n      type: object", "\n      type: objekt", "type"),
    ] {
        let broken = whole.replacen(what, with, 1);
        assert_ne!(broken, whole, "{what}");
        let path = dir.path().join("asyncapi.yaml");
        fs::write(&path, broken).unwrap();
        let errors = parse(&path)["errors"].to_string();
        assert!(errors.contains(complaint), "{with}: {errors}");
    }
}

/// Both ways: what a record has is declared, and what is declared a record has.
#[test]
fn the_declared_headers_are_those_that_records_have() {
    let told = parse(&root().join("schemas/asyncapi.yaml"));
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let channels = told["channels"].as_array().unwrap();
    let declared: BTreeMap<&str, &Value> = channels
        .iter()
        .map(|channel| {
            let schema = &channel["message"]["headers"];
            (channel["topic"].as_str().unwrap(), schema)
        })
        .collect();
    for record in golden_records() {
        let schema = declared[record.topic.as_str()];
        let headers: Map<String, Value> = record
            .headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        assert_eq!(headers.len(), record.headers.len(), "no header twice");
        for name in headers.keys() {
            assert!(
                schema["properties"].get(name).is_some(),
                "{name} is not declared for {}",
                record.topic
            );
        }
        assert!(
            jsonschema::draft7::is_valid(schema, &Value::Object(headers.clone())),
            "{headers:?}"
        );
        seen.entry(record.topic)
            .or_default()
            .extend(headers.into_iter().map(|(name, _)| name));
    }
    assert_eq!(seen.len(), 5, "every topic has a record");
    for (topic, seen) in seen {
        let declared = declared[topic.as_str()]["properties"].as_object().unwrap();
        let never: Vec<&String> = declared
            .keys()
            .filter(|name| !seen.contains(*name) && !ONLY_WITH_A_REGISTRY.contains(&name.as_str()))
            .collect();
        assert!(never.is_empty(), "no record on {topic} has {never:?}");
    }
}

#[test]
fn the_documents_are_shown_with_the_configured_topics() {
    let bridge = Bridge::new("")
        .with("TOPICS__PREFIX", "sales.")
        .with("TOPICS__PARTITIONS", "7");
    let shown = bridge.run(&["schemas", "show", "asyncapi"]);
    let path = bridge.dir().join("shown.yaml");
    fs::write(&path, shown.stdout).unwrap();
    let told = parse(&path);
    assert_eq!(told["errors"], json!([]));
    assert_eq!(told["channels"][0]["topic"], "sales.pre-conversation");
    assert_eq!(told["channels"][0]["binding"]["partitions"], 7);
    let page = bridge.run(&["schemas", "show", "reference"]);
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("| `sales.dead-letter` |"), "{page}");

    // A drifted file fails `schemas diff`, which knows nothing of the configuration.
    bridge.run(&["schemas", "write", "schemas"]);
    assert_eq!(bridge.run(&["schemas", "diff"]).status.code(), Some(0));
    for file in ["asyncapi.yaml", "reference.md"] {
        let path = bridge.dir().join("schemas").join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("atoms.", "Atoms.", 1)).unwrap();
        let drifted = bridge.run(&["schemas", "diff"]);
        assert_eq!(drifted.status.code(), Some(1));
        let told = String::from_utf8_lossy(&drifted.stdout).into_owned();
        assert!(told.contains(file) && told.contains("Atoms."), "{told}");
        fs::write(&path, text).unwrap();
    }
}

/// Put on by the publisher, not by the route: its test is where the registry is.
const ONLY_WITH_A_REGISTRY: [&str; 1] = ["__value_schema_id"];

fn parse(document: &Path) -> Value {
    let told = foreign::node("asyncapi", &[document.to_str().unwrap()]);
    told.into_iter().next().unwrap()
}

/// A schema with its references put in, and without the parser's own marks.
fn resolved(schema: &Value, definitions: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            if let Some(name) = members.get("$ref").and_then(Value::as_str) {
                let name = name.rsplit('/').next().unwrap();
                return resolved(&definitions[name], definitions);
            }
            let members = members
                .iter()
                .filter(|(name, _)| !name.starts_with("x-parser-"));
            let members = members.map(|(name, value)| (name.clone(), resolved(value, definitions)));
            Value::Object(members.collect())
        }
        Value::Array(elements) => {
            let elements = elements
                .iter()
                .map(|element| resolved(element, definitions));
            Value::Array(elements.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}

/// The records of all recorded requests, once as an ordinary request came and once with every header that one can have.
fn golden_records() -> Vec<Record> {
    let full = KeptHeaders {
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        user_agent: Some("tests".to_owned()),
    };
    let mut records = Vec::new();
    for body in bodies() {
        for headers in [&KeptHeaders::default(), &full] {
            records.push(record(&body, headers));
        }
    }
    assert!(records.len() > 100, "only {} records", records.len());
    records
}

fn record(body: &[u8], headers: &KeptHeaders) -> Record {
    let place = Place {
        journal: Uuid::from_u128(1),
        out_seq: 42,
        partitions: 12,
    };
    let id = peek_id(body).unwrap_or_else(|| "sha256-0".to_owned());
    let received_at = Timestamp::parse("2026-05-08T07:52:55.412Z").unwrap();
    let arrival = Arrival {
        webhook: "default",
        id: &id,
        received_at,
        origin: Origin::Webhook,
    };
    let document = Document::parse(body).map_err(dialect::Unreadable::from);
    let event = document
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|document| dialect::parse(document, &arrival));
    match event {
        Ok(event) => route::event(&event, "atoms.", &place, headers.traceparent.as_deref()),
        Err(unreadable) => {
            let letter = Letter {
                id: &id,
                call_id: None,
                webhook: "default",
                received_at,
                headers,
                body,
            };
            route::dead_letter(&letter, &Fault::from(&unreadable), "atoms.", &place)
        }
    }
}

fn bodies() -> Vec<Vec<u8>> {
    let folders = |path: PathBuf| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.is_dir()).collect()
    };
    let dialects = folders(root().join("tests/fixtures"));
    let cases = dialects.into_iter().flat_map(folders);
    cases
        .map(|case| fs::read(case.join("body.json")).unwrap())
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
