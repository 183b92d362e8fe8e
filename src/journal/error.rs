//! Why the journal could not be opened, appended to or read: one enum for each, worded for the operator.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes it.
    #[error("journal {} is in use by process {pid}: stop that one, or give this one a [journal] path of its own", path.display())]
    Locked {
        /// The journal.
        path: PathBuf,
        /// What the lock file says about its holder.
        pid: String,
    },
    /// It lies where SQLite's locks and shared memory cannot be trusted.
    #[error("journal {} is on a network file system ({name}), where locks and fsync cannot be trusted: use a local disk", path.display())]
    NetworkFileSystem {
        /// The journal.
        path: PathBuf,
        /// What the file system is called.
        name: &'static str,
    },
    /// The file holds something else.
    #[error("{} is not a journal: move it away, or correct [journal] path", .0.display())]
    NotAJournal(PathBuf),
    /// A newer program wrote it.
    #[error("journal {} has format {found}, this program knows formats up to {known}: run the newer program", path.display())]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format of this program.
        known: u32,
    },
    /// SQLite needs some room beside it, and there is none.
    #[error("journal {} cannot be opened, its disk has no room left: make room there, and start again", .0.display())]
    NoRoom(PathBuf),
    /// The file system refused.
    #[error("cannot prepare journal {}", path.display())]
    Io {
        /// The journal, or the file beside it that was refused.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// SQLite refused.
    #[error("cannot open journal {}", path.display())]
    Sqlite {
        /// The journal.
        path: PathBuf,
        /// What it said.
        #[source]
        source: rusqlite::Error,
    },
}

/// Why nothing was appended; the sender hears 503.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// No room: it goes on by itself as soon as there is some.
    #[error("the journal is full: {limit}")]
    Full {
        /// Which limit was met.
        limit: Limit,
    },
    /// The disk or SQLite refused; the next append tries again.
    #[error("the journal could not be written: look at the disk that it is on")]
    Disk(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// What SQLite reads is not what it wrote.
    #[error(
        "the journal's file is damaged where deliveries are added: stop the bridge, move the journal's files aside and keep them, and start again"
    )]
    Damaged(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The path leads to other files than were opened, or to none.
    #[error(
        "the journal's files were moved or removed while it was open: move them back, or start the bridge again"
    )]
    Moved,
    /// The journal is being closed.
    #[error("the journal is closed")]
    Closed,
}

/// What made a journal full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// `journal.max_bytes`: what is not published yet fills it.
    #[error(
        "unpublished deliveries fill journal.max_bytes ({max_bytes}): make Kafka reachable, or raise it"
    )]
    MaxBytes {
        /// The limit.
        max_bytes: u64,
    },
    /// The disk's own space is below the floor that deletes need too.
    #[error("less than {floor_bytes} bytes are free on its disk: make room there")]
    FreeSpace {
        /// The floor.
        floor_bytes: u64,
    },
    /// The disk said so.
    #[error("its disk has no room left: make room there")]
    Disk,
}

impl AppendError {
    /// What a failed commit means for those who waited for it.
    pub(super) fn of_commit(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            Self::Full { limit: Limit::Disk }
        } else if is_damage(&error) {
            Self::Damaged(Arc::new(error))
        } else {
            Self::Disk(Arc::new(error))
        }
    }
}

/// Whether what was read makes no sense, to SQLite or to us: another try finds the same.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(code) => [DatabaseCorrupt, NotADatabase].contains(&code),
        None => matches!(
            error,
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)
        ),
    }
}

/// Why a journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("there is no journal at {}: `serve` creates it; is [journal] path right?", .0.display())]
    Missing(PathBuf),
    /// The file holds something else.
    #[error("{} is not a journal: is [journal] path right?", .0.display())]
    NotAJournal(PathBuf),
    /// A newer program wrote it.
    #[error("journal {} has format {found}, this program knows formats up to {known}: run the newer program", path.display())]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format of this program.
        known: u32,
    },
    /// SQLite refused.
    #[error("cannot read journal {}", path.display())]
    Sqlite {
        /// The journal.
        path: PathBuf,
        /// What it said.
        #[source]
        source: rusqlite::Error,
    },
}
