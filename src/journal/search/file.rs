//! The index's file: its tables, and whether one that lies there can be gone on with.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use uuid::Uuid;

use super::SearchError;
use crate::journal::place;

/// What a file must have been made for, to be gone on with.
pub(super) struct Stamp {
    journal: Uuid,
    boot: String,
}

impl Stamp {
    pub(super) fn of(journal: Uuid) -> Self {
        // Where the system does not tell, a power cut is not noticed; what SQLite then finds damaged is dropped.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self {
            journal,
            boot: boot.trim().to_owned(),
        }
    }
}

/// The file, if it is one of this version for this journal and since the machine was started.
pub(super) fn reopen(path: &Path, stamp: &Stamp) -> rusqlite::Result<Option<Connection>> {
    if !path.exists() {
        return Ok(None);
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if !is_ours(&conn)? {
        return Ok(None);
    }
    set_up(&conn)?;
    let made_for = conn
        .query_row("SELECT journal, boot FROM state", [], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, String>(1)?))
        })
        .optional()?;
    let fits = made_for.is_some_and(|(journal, boot)| {
        Uuid::from_bytes(journal) == stamp.journal && boot == stamp.boot
    });
    Ok(fits.then_some(conn))
}

/// The file to read; `None` when there is none yet.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Option<Connection>> {
    if !path.exists() {
        return Ok(None);
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    Ok(is_ours(&conn)?.then_some(conn))
}

pub(super) fn create(path: &Path, stamp: &Stamp) -> Result<Connection, SearchError> {
    place::create_file(path).map_err(|source| SearchError::Io {
        path: path.to_owned(),
        source,
    })?;
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_up(&conn)?;
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute(
        "INSERT INTO state VALUES (1, ?1, ?2, 1)",
        params![stamp.journal.as_bytes().as_slice(), stamp.boot],
    )?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    Ok(conn)
}

pub(super) fn remove(path: &Path) -> Result<(), SearchError> {
    for suffix in ["", "-wal", "-shm"] {
        let path = place::beside(path, suffix);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(SearchError::Io { path, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn connect(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    Ok(conn)
}

fn is_ours(conn: &Connection) -> rusqlite::Result<bool> {
    let application: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(application == APPLICATION_ID && version == VERSION)
}

/// Without any fsync: the disk's are for the journal.
fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192;
         PRAGMA journal_size_limit = 16777216;",
    )
}

/// `word` holds what many deliveries share. Each index ends with the row's number, so that it gives the newest first.
const TABLES: &str = "
    CREATE TABLE state(
        one INTEGER PRIMARY KEY CHECK (one = 1),
        journal BLOB NOT NULL,
        boot TEXT NOT NULL,
        next_seq INTEGER NOT NULL);
    CREATE TABLE word(n INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
    CREATE TABLE entry(
        seq INTEGER PRIMARY KEY,
        received_ms INTEGER NOT NULL,
        webhook INTEGER NOT NULL,
        type INTEGER,
        agent INTEGER,
        call TEXT,
        fault INTEGER,
        fault_out_seq INTEGER);
    CREATE INDEX by_time ON entry(received_ms);
    CREATE INDEX by_call ON entry(call, received_ms) WHERE call IS NOT NULL;
    CREATE INDEX by_agent ON entry(agent, received_ms) WHERE agent IS NOT NULL;
    CREATE INDEX by_type ON entry(type, received_ms) WHERE type IS NOT NULL;
    CREATE INDEX by_fault ON entry(received_ms) WHERE fault IS NOT NULL;
    CREATE TABLE minute(
        at INTEGER PRIMARY KEY,
        stored INTEGER NOT NULL,
        duplicates INTEGER NOT NULL,
        refused INTEGER NOT NULL,
        published INTEGER NOT NULL,
        dead_letters INTEGER NOT NULL,
        pending INTEGER NOT NULL);";

/// `AtKs`, as SQLite's header holds it.
const APPLICATION_ID: i32 = 0x4174_4b73;
/// Raise it when tables change, or when bodies are read in another way: the index is filled anew then.
const VERSION: i64 = 1;
