//! The journal: what was accepted is here, on disk, until long after Kafka has it.
//!
//! An append resolves only after the commit that holds it has been synced (SQLite, WAL, `synchronous=FULL`); one thread
//! commits for everyone who waits. Every row gets the next `seq` (order of arrival) and the next `out_seq` (order of
//! publishing); neither is ever given twice. A row is pending until everything up to it is settled, or until it is
//! marked dead; only a published body is ever deleted.
//!
//! ```text
//! append   what a caller computes, and the rows made of it     queue       callers → writer, progress → callers
//! change   what a commit changes beside its appends
//! writer   the thread: take, commit, answer                    checkpoint  WAL → file, beside the writer
//! space    max_bytes and the floor of free disk space          retention   what goes, in chunks
//! place    directory, file, lock                               schema      tables, format, connections
//! pending  rows for the publisher                              read        rows for the command line
//! backlog  how much waits, for whoever watches                 fresh       what of it is still in memory
//! scan     all rows with their bodies, page by page            replay      what becomes pending again
//! glance   single rows, for the console                        fingerprint   which bodies are the same
//! quarantine   what was refused, in a file and a thread of its own
//! search       call, agent and type of each delivery, in a file of its own that can be filled anew
//! ledger       what the topics have of each call, and what waits to be reconciled, in a file of its own
//! ```
//!
//! This is the only user of SQLite. It knows nothing about Kafka beyond the numbers that the publisher settles.

mod append;
mod backlog;
mod change;
mod checkpoint;
mod error;
mod fingerprint;
mod fresh;
mod glance;
mod headers;
mod id;
pub mod ledger;
pub mod look;
mod pending;
mod place;
pub mod quarantine;
mod queue;
pub mod read;
mod replay;
mod retention;
pub mod scan;
mod schema;
pub mod search;
mod space;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use uuid::Uuid;

pub use backlog::{Backlog, OnDisk};
pub use error::{AppendError, Limit, OpenError, ReadError};
pub use fresh::Pending;
pub use pending::{Reader, Row};
pub use replay::Replayed;

use crate::time::Timestamp;
use crate::verify::VerifiedDelivery;
use append::{Numbers, Prepared};
use checkpoint::Checkpoints;
use queue::{Change, Committed, Shared, Waiting};
use writer::Writer;

/// The journal, open for writing: one per process and file. Clones share it; the last one that goes closes it.
#[derive(Debug, Clone)]
pub struct Journal {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    path: PathBuf,
    uuid: Uuid,
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Closing it would drop SQLite's locks: it stays open until the writer is gone.
    _file: Arc<File>,
    /// Held until the writer is gone.
    _lock: place::Lock,
}

/// How much the journal keeps, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How large it may grow, in bytes. Default 4 GiB.
    pub max_bytes: u64,
    /// How long published bodies are kept. Default 72 h.
    pub retention: Duration,
    /// How long ids are kept, by which duplicates are recognised. Default 30 days; never shorter than `retention`.
    pub keep_ids: Duration,
    /// Free space on its disk below which nothing is appended; on a small disk a twentieth of that. Default 64 MiB.
    pub free_floor_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_bytes: 4 << 30,
            retention: Duration::from_secs(72 * 3600),
            keep_ids: Duration::from_secs(30 * 24 * 3600),
            free_floor_bytes: 64 << 20,
        }
    }
}

impl Journal {
    /// Opens or creates the journal at `path` with [`Options::default`].
    ///
    /// # Errors
    ///
    /// As [`Journal::open_with`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, &Options::default())
    }

    /// Opens or creates the journal at `path`, takes its lock, and starts the thread that writes it.
    ///
    /// # Errors
    ///
    /// When another process has it, when the file is no journal or a newer one, or when disk or SQLite refuse.
    pub fn open_with(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let (lock, file) = place::prepare(path)?;
        let file = Arc::new(file);
        let conn = schema::open_writer(path)?;
        let sqlite = |source| OpenError::Sqlite {
            path: path.to_owned(),
            source,
        };
        let io = |source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        let numbers = Numbers::load(&conn).map_err(sqlite)?;
        let uuid = conn.query_row("SELECT uuid FROM state", [], |row| {
            row.get::<_, [u8; 16]>(0)
        });
        let uuid = Uuid::from_bytes(uuid.map_err(sqlite)?);
        let Numbers {
            next_out_seq,
            partitions,
            settled_out_seq,
            ..
        } = numbers;
        let shared = Arc::new(Shared::new(
            Committed {
                next_out_seq,
                partitions,
            },
            settled_out_seq,
        ));
        let beside = schema::open_beside(path).map_err(sqlite)?;
        let checkpoints = Checkpoints::start(beside, Arc::clone(&file)).map_err(io)?;
        let files = place::Files::at(path).map_err(io)?;
        let of_thread = Arc::clone(&shared);
        let writer = Writer::new(
            (path.to_owned(), files),
            options,
            of_thread,
            (conn, numbers),
            checkpoints,
        );
        let name = "journal-writer".to_owned();
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(|| writer.run())
            .map_err(io)?;
        let writer = Mutex::new(Some(thread));
        let handle = Handle {
            path: path.to_owned(),
            uuid,
            shared,
            writer,
            _file: file,
            _lock: lock,
        };
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    /// What this journal is called, for ever: part of the `transactional.id`.
    pub fn uuid(&self) -> Uuid {
        self.handle.uuid
    }

    /// Queues a delivery at once and resolves when the commit that holds it is on disk.
    ///
    /// Nothing is awaited before it is queued, so that dropping the future does not take it back.
    pub fn append(
        &self,
        delivery: VerifiedDelivery,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<> {
        let (answer, answered) = oneshot::channel();
        let prepared = Prepared::new(&delivery);
        self.handle.shared.append(Waiting { prepared, answer });
        async move { answered.await.unwrap_or(Err(AppendError::Closed)) }
    }

    /// Appends deliveries that were received long ago, in this order, and blocks until each is on disk or refused. Their
    /// records are stamped with `record_at`, since a topic would drop what is stamped with an old time.
    pub fn append_late(
        &self,
        deliveries: &[VerifiedDelivery],
        record_at: Timestamp,
    ) -> Vec<Result<Appended, AppendError>> {
        self.queue_late(deliveries, record_at)
            .into_iter()
            .map(|answered| answered.blocking_recv().unwrap_or(Err(AppendError::Closed)))
            .collect()
    }

    /// [`Journal::append_late`] for whoever may not block; all are queued at once.
    pub fn appending_late(
        &self,
        deliveries: &[VerifiedDelivery],
        record_at: Timestamp,
    ) -> impl Future<Output = Vec<Result<Appended, AppendError>>> + Send + 'static + use<> {
        let queued = self.queue_late(deliveries, record_at);
        async move {
            let mut appended = Vec::with_capacity(queued.len());
            for answered in queued {
                appended.push(answered.await.unwrap_or(Err(AppendError::Closed)));
            }
            appended
        }
    }

    fn queue_late(
        &self,
        deliveries: &[VerifiedDelivery],
        record_at: Timestamp,
    ) -> Vec<oneshot::Receiver<Result<Appended, AppendError>>> {
        let append = |delivery| {
            let (answer, answered) = oneshot::channel();
            let prepared = Prepared::new(delivery).with_record_at(record_at);
            self.handle.shared.append(Waiting { prepared, answer });
            answered
        };
        deliveries.iter().map(append).collect()
    }

    /// Makes these rows pending again, in this order, with their ids; their records are stamped with `record_at`. Blocks
    /// until that is on disk. Rows that are pending anyway stay where they are.
    ///
    /// # Errors
    ///
    /// When it could not be written: nothing has changed.
    pub fn replay(&self, seqs: Vec<u64>, record_at: Timestamp) -> Result<Replayed, AppendError> {
        self.handle.shared.ask_replay(Change::Replay {
            seqs,
            record_ms: record_at.unix_ms(),
        })
    }

    /// Marks every row below `out_seq` as published and wakes those who wait for it.
    ///
    /// The journal's own mark follows with the next commit, 50 ms later at most: until then Kafka's is the truth.
    pub fn settle(&self, below_out_seq: u64) {
        self.handle.shared.settle(below_out_seq);
    }

    /// Marks every row below `below` as published but these, by number and event's id, which are pending (again) with the
    /// numbers they have. Blocks until that is on disk; false, and nothing has changed, when the journal no longer has one
    /// of their bodies.
    ///
    /// # Errors
    ///
    /// When it could not be written: nothing has changed.
    pub fn take_back(&self, rows: BTreeMap<u64, String>, below: u64) -> Result<bool, AppendError> {
        let first = rows.first_key_value().map(|(first, _)| *first);
        let change = Change::TakeBack { rows, below };
        let taken_back = self.handle.shared.ask_replay(change)?.gone == 0;
        if let Some(first) = first.filter(|_| taken_back) {
            self.handle.shared.unsettle(first);
        }
        Ok(taken_back)
    }

    /// Blocks until everything settled so far is on disk.
    ///
    /// # Errors
    ///
    /// When it could not be written; the mark is written with a later commit then.
    pub fn flush(&self) -> Result<(), AppendError> {
        self.handle.shared.ask(Change::Flush)
    }

    /// Resolves when everything up to `out_seq` is published; never, if the journal is closed before.
    pub async fn published(&self, out_seq: u64) {
        self.handle.shared.published(out_seq).await;
    }

    /// The first `out_seq` that no row has yet; blocks until it is above `out_seq`, or `timeout` is over.
    pub fn wait_above(&self, out_seq: u64, timeout: Duration) -> u64 {
        self.handle.shared.wait_above(out_seq, timeout)
    }

    /// Every row below is published, as far as this process knows: where to go on from.
    pub fn settled(&self) -> u64 {
        self.handle.shared.settled()
    }

    /// Takes a row that no topic accepts out of the queue; its body stays. Blocks until that is on disk, since the mark
    /// in Kafka must not pass the row before.
    ///
    /// # Errors
    ///
    /// When it could not be written: the row is still pending.
    pub fn mark_dead(&self, out_seq: u64, reason: &str) -> Result<(), AppendError> {
        self.handle.shared.ask(Change::MarkDead {
            out_seq,
            reason: reason.to_owned(),
        })
    }

    /// Goes on above a mark in Kafka that is above the journal's own numbers (a restored backup). Pending rows below
    /// `at_least` get new numbers, in order, and with them all others; blocks until that is on disk.
    ///
    /// Call it before anything is published: whoever waits for an old number is told that it is published.
    ///
    /// # Errors
    ///
    /// When it could not be written: no number has changed.
    pub fn raise_out_seq(&self, at_least: u64) -> Result<(), AppendError> {
        self.handle.shared.ask(Change::RaiseOutSeq(at_least))
    }

    /// The partition count that keys were placed by so far; `None` before it was ever frozen.
    pub fn partitions(&self) -> Option<u32> {
        self.handle.shared.committed().partitions
    }

    /// Freezes the partition count; blocks until it is on disk.
    ///
    /// # Errors
    ///
    /// When it could not be written: the old one holds.
    pub fn freeze_partitions(&self, count: u32) -> Result<(), AppendError> {
        self.handle.shared.ask(Change::FreezePartitions(count))
    }

    /// Why appends are refused now; `None` when they are not.
    pub fn refusal(&self) -> Option<AppendError> {
        self.handle.shared.refusal()
    }

    /// What waits for Kafka, for whoever watches.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read.
    pub fn backlog(&self) -> Result<Backlog, ReadError> {
        let next = self.handle.shared.committed().next_out_seq;
        backlog::backlog(&self.handle.path, next.saturating_sub(self.settled()))
    }

    /// What the journal takes on its disk, and what is left there.
    pub fn disk(&self) -> OnDisk {
        backlog::on_disk(&self.handle.path)
    }

    /// What is pending, for the thread that publishes it.
    ///
    /// # Errors
    ///
    /// When SQLite cannot open a connection for it.
    pub fn pending(&self) -> Result<Pending, ReadError> {
        Ok(Pending::new(
            self.reader()?,
            Arc::clone(&self.handle.shared),
        ))
    }

    /// A connection that reads, for another thread.
    ///
    /// # Errors
    ///
    /// When SQLite cannot open it.
    pub fn reader(&self) -> Result<Reader, ReadError> {
        Reader::open(&self.handle.path)
    }

    /// Takes nothing more, finishes what is queued, and blocks until that is on disk. All clones are closed with it.
    pub fn close(&self) {
        self.handle.close();
    }
}

impl Handle {
    fn close(&self) {
        self.shared.close();
        let thread = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // If it panicked, those who waited for it have been told.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
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

impl AppendedKind {
    /// The word for it, in answers, logs and traces.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
        }
    }
}
