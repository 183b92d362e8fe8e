//! Every recorded request becomes exactly its golden event.
//!
//! A case is a folder `tests/fixtures/<dialect>/<case>` with `body.json`, the bytes as they would be posted, and either
//! `event.json` or, for what cannot be an event, `unreadable.json`. `UPDATE_GOLDEN=1` writes the second from the first;
//! read it against the design before you commit it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop where it stands"
)]

use std::fs;
use std::path::{Path, PathBuf};

use atoms_kafka_bridge::dialect::{self, Arrival};
use atoms_kafka_bridge::event::Origin;
use atoms_kafka_bridge::event::json::{Document, peek_id};
use atoms_kafka_bridge::event::schema;
use atoms_kafka_bridge::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::tree::Tree;

#[test]
fn every_request_becomes_its_golden_event() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let body = fs::read(case.join("body.json")).unwrap();
        let (file, text) = outcome(&body);
        let path = case.join(file);
        if update {
            let other = ["event.json", "unreadable.json"].map(|name| case.join(name));
            other.iter().for_each(|path| drop(fs::remove_file(path)));
            fs::write(&path, &text).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        if golden != text {
            wrong.push(format!("{}\nis now:\n{text}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_golden_event_validates_against_its_topics_schema_and_the_one_for_all_events() {
    let mut validated = 0;
    for case in cases() {
        let Ok(golden) = fs::read_to_string(case.join("event.json")) else {
            continue;
        };
        let event = Tree::read(&golden).to_value();
        let topic = match event["type"].as_str() {
            Some(name) if event["stage"].is_number() => name.to_owned(),
            _ => schema::UNRECOGNIZED.to_owned(),
        };
        // The topic for all events has the schema of unrecognized ones.
        for topic in [topic.as_str(), schema::UNRECOGNIZED] {
            let file = schemas().join(format!("{topic}.v1.json"));
            let schema = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            let validator = jsonschema::draft7::new(&schema).unwrap();
            let errors: Vec<_> = validator
                .iter_errors(&event)
                .map(|e| format!("{}: {e}", e.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{}: {errors:?}", case.display());
        }
        validated += 1;
    }
    assert!(validated > 40, "only {validated} golden events");
}

#[test]
fn the_schema_files_are_what_the_types_generate() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut files = Vec::new();
    for schema in schema::published() {
        let path = schemas().join(&schema.file);
        if update {
            fs::create_dir_all(schemas()).unwrap();
            fs::write(&path, &schema.text).unwrap();
        }
        let released = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            released == schema.text,
            "{} differs from the types",
            schema.file
        );
        files.push(schema.file);
    }
    assert_eq!(files.len(), 4);
}

/// The file that a body's outcome belongs into, and its text.
fn outcome(body: &[u8]) -> (&'static str, String) {
    let id = peek_id(body).unwrap_or_else(|| format!("sha256-{}", hash(body)));
    let arrival = Arrival {
        webhook: "default",
        id: &id,
        received_at: Timestamp::parse("2026-05-08T07:52:55.412Z").unwrap(),
        origin: Origin::Webhook,
    };
    let document = Document::parse(body).map_err(dialect::Unreadable::from);
    let event = document
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|document| dialect::parse(document, &arrival));
    let (file, json) = match event {
        Ok(event) => ("event.json", serde_json::to_string_pretty(&event)),
        Err(unreadable) => {
            let told = serde_json::json!({
                "reason": unreadable.reason(),
                "message": unreadable.to_string(),
            });
            ("unreadable.json", serde_json::to_string_pretty(&told))
        }
    };
    (file, json.unwrap() + "\n")
}

/// The first 32 hex digits, as the journal names a delivery without an id.
fn hash(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))[..32].to_owned()
}

fn cases() -> Vec<PathBuf> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
        folders.retain(|path| path.is_dir());
        folders.sort();
        folders
    };
    let dialects = folders(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"));
    dialects.iter().flat_map(|path| folders(path)).collect()
}

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}
