//! The journal for people: read-only, beside a running `serve`.
//!
//! Only the shapes that the command line is written against; the journal's own branch brings the file that reads.

use std::path::Path;

use uuid::Uuid;

use super::ReadError;
use crate::receive::delivery::KeptHeaders;
use crate::time::Timestamp;

/// Reads a journal that another process may be writing.
pub struct Viewer {}

impl Viewer {
    /// Opens the journal at `path`.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Err(ReadError(format!("cannot read {}", path.display())))
    }

    /// Counts and sizes.
    pub fn status(&self) -> Result<Status, ReadError> {
        Err(ReadError(String::new()))
    }

    /// Rows that fit, newest first.
    pub fn list(&self, _filter: &Filter) -> Result<Vec<Entry>, ReadError> {
        Err(ReadError(String::new()))
    }

    /// One row with its headers, its body if that is still kept, and whether the body is intact.
    #[expect(clippy::type_complexity, reason = "the shape agreed with the journal")]
    pub fn show(
        &self,
        _seq: u64,
    ) -> Result<Option<(Entry, KeptHeaders, Option<Vec<u8>>, bool)>, ReadError> {
        Err(ReadError(String::new()))
    }
}

/// What a journal holds.
#[derive(Debug, Clone)]
pub struct Status {
    /// Its name for ever.
    pub uuid: Uuid,
    /// Of the file.
    pub format_version: u32,
    /// All rows.
    pub rows: u64,
    /// Rows that wait for Kafka.
    pub pending: u64,
    /// Rows that Kafka has.
    pub published: u64,
    /// Rows that Kafka refused.
    pub dead: u64,
    /// The next row's place in the order of publishing.
    pub next_out_seq: u64,
    /// Everything below is published.
    pub settled_out_seq: u64,
    /// When the oldest pending row came.
    pub oldest_pending: Option<Timestamp>,
    /// Pages in use.
    pub used_bytes: u64,
    /// The file's size.
    pub file_bytes: u64,
}

/// Which rows.
#[derive(Debug, Clone)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// Of this webhook.
    pub webhook: Option<String>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
}

/// A row without its body.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place in the order of arrival.
    pub seq: u64,
    /// Its place in the order of publishing.
    pub out_seq: u64,
    /// The webhook's name.
    pub webhook: String,
    /// The event's id.
    pub id: String,
    /// When its body was complete.
    pub received_at: Timestamp,
    /// What became of it.
    pub state: State,
    /// Why it failed.
    pub reason: Option<String>,
    /// The body's size, if it is still kept.
    pub body_bytes: Option<u64>,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for Kafka.
    Pending,
    /// Kafka has it.
    Published,
    /// Kafka refused it for ever.
    Dead,
}
