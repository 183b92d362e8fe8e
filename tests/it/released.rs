//! Released schemas never change, and what this build publishes may follow them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use atoms_kafka_bridge::event::compatible::{Difference, differences};
use atoms_kafka_bridge::event::schema;
use serde_json::Value;
use sha2::{Digest, Sha256};

#[test]
fn a_released_schema_is_what_it_was() {
    let released = released();
    for (file, sum) in &released {
        let now = hex::encode(Sha256::digest(fs::read(schemas().join(file)).unwrap()));
        assert_eq!(
            now, *sum,
            "schemas/{file} has changed since its release; schemas/README.md says how to make a new version"
        );
    }
    for topic in [
        "pre-conversation",
        "post-conversation",
        "analytics-completed",
        "unrecognized",
    ] {
        assert!(
            released.contains_key(&format!("{topic}.v1.json")),
            "{released:?}"
        );
    }
}

#[test]
fn every_schema_is_forward_compatible_with_all_that_were_released() {
    let published: Vec<(String, Value)> = schema::published()
        .into_iter()
        .map(|schema| (schema.file, serde_json::from_str(&schema.text).unwrap()))
        .collect();
    let of_files = released().into_keys().map(|file| {
        let text = fs::read(schemas().join(&file)).unwrap();
        (file, serde_json::from_slice(&text).unwrap())
    });
    let released: Vec<(String, Value)> = of_files.collect();
    let mut compared = 0;
    for (later_file, later) in released.iter().chain(&published) {
        for (earlier_file, earlier) in &released {
            let ((topic, version), (earlier_topic, earlier_version)) =
                (split(later_file), split(earlier_file));
            if topic != earlier_topic || version < earlier_version {
                continue;
            }
            let found: Vec<String> = differences(earlier, later)
                .iter()
                .map(Difference::to_string)
                .collect();
            assert!(
                found.is_empty(),
                "{later_file} may not follow {earlier_file}: {found:#?}"
            );
            compared += 1;
        }
    }
    assert!(compared >= 8, "{compared}");
}

/// `post-conversation.v1.json` is its topic and its version.
fn split(file: &str) -> (&str, u32) {
    let (topic, rest) = file.split_once(".v").unwrap();
    (topic, rest.strip_suffix(".json").unwrap().parse().unwrap())
}

fn released() -> BTreeMap<String, String> {
    let list = fs::read_to_string(schemas().join("RELEASED")).unwrap();
    let entries = list.lines().map(|line| line.split_once("  ").unwrap());
    entries
        .map(|(sum, file)| (file.to_owned(), sum.to_owned()))
        .collect()
}

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}
