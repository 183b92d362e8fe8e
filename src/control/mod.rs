//! How a command changes what a running `serve` has open: a Unix socket beside the journal, for its owner only.
//!
//! One JSON object a line asks, one answers. The journal and the quarantine are written by one process at a time; when none
//! runs, the command takes the journal's lock and does the same itself. So what a command can do is written once, in
//! `actions`.

mod actions;
mod client;
mod server;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use actions::Actions;
pub use client::{Control, ControlError};
pub use server::Socket;

use crate::reconcile::{Job, Report};

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Make rows of the journal pending again.
    Replay {
        /// Their sequences, at most [`BATCH`], in the order to publish them.
        seqs: Vec<u64>,
    },
    /// Verify refused deliveries again and append those that now verify.
    Retry {
        /// Their numbers in the quarantine, at most [`BATCH`], in order.
        ids: Vec<u64>,
    },
    /// Delete refused deliveries.
    Drop {
        /// Their numbers in the quarantine, at most [`BATCH`].
        ids: Vec<u64>,
    },
    /// Begin to fetch what calls of a span of time lack.
    Reconcile(Job),
    /// Tell how far that has come; it ends when nobody asks any more.
    ReconcileNext,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "kebab-case")]
pub enum Response {
    /// To [`Request::Replay`].
    Replayed {
        /// Pending again.
        queued: u64,
        /// Pending anyway.
        pending: u64,
        /// Without a body, or not in the journal.
        gone: u64,
    },
    /// To [`Request::Retry`].
    Retried(Retried),
    /// To [`Request::Drop`].
    Dropped {
        /// How many were deleted.
        count: u64,
    },
    /// To [`Request::Reconcile`].
    Reconciling,
    /// To [`Request::ReconcileNext`].
    Reconciled(Report),
    /// Nothing, or not all of it, was done.
    Failed {
        /// Why.
        message: String,
    },
}

/// What became of refused deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Verified, and in the journal now.
    pub stored: u64,
    /// Verified, and in the journal before.
    pub duplicates: u64,
    /// Refused still; they stay in the quarantine.
    pub refused: u64,
    /// Not in the quarantine any more.
    pub gone: u64,
}

/// How many rows a request may name.
pub const BATCH: usize = 500;

/// The longest line: [`BATCH`] numbers of 20 digits, and some room.
const LINE_BYTES: usize = 64 << 10;

fn socket_path(journal: &Path) -> PathBuf {
    with_suffix(journal, ".sock")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
