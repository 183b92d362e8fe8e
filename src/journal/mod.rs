//! The journal: what was accepted is here, on disk, until long after Kafka has it.

pub mod read;

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::receive::delivery::KeptHeaders;
use crate::time::Timestamp;
use crate::verify::VerifiedDelivery;

/// The journal, open for writing: one per process and file. Clones share it.
#[derive(Clone)]
pub struct Journal {
    _shared: Arc<()>,
}

impl Journal {
    /// Opens or creates the journal at `path`, takes its lock, and starts the thread that writes it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Err(OpenError(path.display().to_string()))
    }

    /// What this journal is called, for ever: part of the `transactional.id`.
    pub fn uuid(&self) -> Uuid {
        Uuid::nil()
    }

    /// Queues a delivery at once and resolves when the commit that holds it is on disk.
    ///
    /// Nothing is awaited before it is queued, so that dropping the future does not take it back.
    pub fn append(
        &self,
        _delivery: VerifiedDelivery,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + 'static {
        std::future::ready(Err(AppendError::Closed))
    }

    /// Marks every row below `out_seq` as published, with the next commit; wakes those who wait for it.
    pub fn settle(&self, _below_out_seq: u64) {}

    /// Resolves when everything up to `out_seq` is published.
    pub async fn published(&self, _out_seq: u64) {}

    /// The first `out_seq` that no row has yet; blocks until it is above `out_seq`, or `timeout` is over.
    pub fn wait_above(&self, _out_seq: u64, _timeout: std::time::Duration) -> u64 {
        0
    }

    /// A connection that reads, for another thread.
    pub fn reader(&self) -> Result<Reader, ReadError> {
        Err(ReadError(String::new()))
    }
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Whether it is new.
    pub kind: AppendedKind,
    /// The event's id: the delivery's own, or made from its body's hash.
    pub id: String,
    /// Its place in the order of publishing (of a duplicate: that of the first).
    pub out_seq: u64,
}

/// Whether an appended delivery is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendedKind {
    /// New, and on disk.
    Stored,
    /// The same webhook, id and body were on disk already.
    Duplicate,
}

/// Why nothing was appended; the sender hears 503.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The journal is being closed.
    #[error("the journal is closed")]
    Closed,
}

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(String);

/// Why a journal could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(String);

/// Reads the journal.
pub struct Reader {}

impl Reader {
    /// Pending rows from `from_out_seq` on, in order; stops after `max_rows` rows or once the bodies exceed `max_bytes`
    /// (one row at least).
    pub fn pending(
        &mut self,
        _from_out_seq: u64,
        _max_rows: usize,
        _max_bytes: usize,
    ) -> Result<Vec<Row>, ReadError> {
        Ok(Vec::new())
    }
}

/// A delivery as it lies in the journal.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its place in the order of publishing.
    pub out_seq: u64,
    /// Its place in the order of arrival; what `journal show` takes.
    pub seq: u64,
    /// The webhook's name.
    pub webhook: String,
    /// When its body was complete.
    pub received_at: Timestamp,
    /// The event's id.
    pub id: String,
    /// Headers worth keeping.
    pub headers: KeptHeaders,
    /// The raw body.
    pub body: Vec<u8>,
    /// Whether the body still has the checksum that it was stored with.
    pub intact: bool,
}
