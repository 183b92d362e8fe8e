//! What the journal promises, from outside: append, duplicates, settle, crash, limits.

mod fresh;
mod limits;
mod model;
mod promises;
mod reconciled;
mod replay;
mod view;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::receive::delivery::{Delivery, KeptHeaders, WebhookName};

/// A directory that goes with the test, and the journal's path in it.
fn temp() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data/journal.db");
    (dir, path)
}

fn delivery(webhook: &str, body: impl Into<Bytes>) -> VerifiedDelivery {
    VerifiedDelivery::for_test(Delivery {
        webhook: WebhookName::parse(webhook).unwrap(),
        received_at: Timestamp::now(),
        headers: KeptHeaders {
            content_type: Some("application/json".into()),
            user_agent: Some("test".into()),
            ..KeptHeaders::default()
        },
        body: body.into(),
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn append(journal: &Journal, webhook: &str, body: &str) -> Result<Appended, AppendError> {
    runtime().block_on(journal.append(delivery(webhook, body.to_owned())))
}

/// What `kill -9` would leave: the files as they are, elsewhere, while the journal is open.
fn crash_copy(path: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    for suffix in ["", "-wal"] {
        let from = place::beside(path, suffix);
        // Read in a process of its own: closing a descriptor of the file here would drop SQLite's locks.
        if from.exists() {
            let done = std::process::Command::new("cp")
                .arg(&from)
                .arg(place::beside(to, suffix))
                .status()
                .unwrap();
            assert!(done.success());
        }
    }
}

/// Everything that is there.
const ALL: read::Filter = read::Filter {
    state: None,
    webhook: None,
    since: None,
    until: None,
    limit: usize::MAX,
};
