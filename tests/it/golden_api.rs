//! What the API knows of a call becomes exactly its golden events, and nothing of the agent's own reaches them.
//!
//! A case is a folder `tests/conversations/<case>` with `detail.json`, perhaps `row.json`, and the three events.
//! `UPDATE_GOLDEN=1` writes those; read them against the design before you commit them.

use std::fs;
use std::path::{Path, PathBuf};

use atoms_kafka_bridge::dialect::{self, Arrival, api};
use atoms_kafka_bridge::event::json::Document;
use atoms_kafka_bridge::event::{Origin, Stage, schema};
use atoms_kafka_bridge::time::Timestamp;

use crate::tree::Tree;

#[test]
fn every_call_of_the_api_becomes_its_golden_events() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        for stage in Stage::ALL {
            let text = event(&body(&case), stage);
            let path = case.join(format!("{}.json", stage.name()));
            if update {
                fs::write(&path, &text).unwrap();
            }
            if fs::read_to_string(&path).unwrap_or_default() != text {
                wrong.push(format!("{}\nis now:\n{text}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_reconciled_golden_event_validates_against_its_topics_schema() {
    let mut validated = 0;
    for published in schema::published() {
        let schema = serde_json::from_str(&published.text).unwrap();
        let validator = jsonschema::draft7::new(&schema).unwrap();
        let is_for =
            |stage: &Stage| [stage.name(), schema::UNRECOGNIZED].contains(&published.topic);
        for stage in Stage::ALL.into_iter().filter(is_for) {
            for case in cases() {
                let golden = Tree::read(&event(&body(&case), stage)).to_value();
                let errors: Vec<_> = validator
                    .iter_errors(&golden)
                    .map(|e| e.to_string())
                    .collect();
                assert!(errors.is_empty(), "{}: {errors:?}", case.display());
                validated += 1;
            }
        }
    }
    assert_eq!(
        validated,
        cases().len() * 6,
        "each by its own and by the common schema"
    );
}

#[test]
fn nothing_of_an_agent_but_its_id_and_name_is_kept() {
    for case in cases() {
        let body = body(&case);
        assert!(!body.contains("SECRET"), "{}", case.display());
        for stage in Stage::ALL {
            assert!(
                !event(&body, stage).contains("SECRET"),
                "{}",
                case.display()
            );
        }
    }
    let of_all: String = cases()
        .iter()
        .map(|case| read(case, "detail.json"))
        .collect();
    assert!(
        of_all.contains("SECRET"),
        "there was something to keep away"
    );
}

#[test]
fn ids_are_those_of_the_design() {
    let id = api::id("CALL-1778226705739-7e4c17", Stage::PostConversation);
    assert_eq!(id, "reconcile-CALL-1778226705739-7e4c17-post-conversation");
}

fn event(body: &str, stage: Stage) -> String {
    let id = api::id("CALL-1778226705739-7e4c17", stage);
    let arrival = Arrival {
        webhook: "default",
        id: &id,
        received_at: Timestamp::parse("2026-05-08T08:52:55.412Z").unwrap(),
        origin: Origin::Reconcile(stage),
    };
    let document = Document::parse(body.as_bytes()).unwrap();
    let event = dialect::parse(&document, &arrival).unwrap_or_else(|e| panic!("{e}: {body}"));
    serde_json::to_string_pretty(&event).unwrap() + "\n"
}

fn body(case: &Path) -> String {
    let row = case.join("row.json");
    let row = row.exists().then(|| read(case, "row.json"));
    api::merged(&read(case, "detail.json"), row.as_deref()).unwrap()
}

fn read(case: &Path, file: &str) -> String {
    fs::read_to_string(case.join(file)).unwrap()
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut cases: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    assert!(cases.len() >= 10, "only {} cases", cases.len());
    cases
}
