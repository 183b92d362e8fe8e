//! The ledger's file: its tables, and whether one that lies there can be gone on with.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::LedgerError;
use crate::journal::{place, schema};

/// The file, if it is one of this version.
pub(super) fn reopen(path: &Path) -> rusqlite::Result<Option<Connection>> {
    if !path.exists() {
        return Ok(None);
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if !is_ours(&conn)? {
        return Ok(None);
    }
    set_up(&conn)?;
    Ok(Some(conn))
}

/// The file to read; `None` when there is none of this version.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Option<Connection>> {
    if !path.exists() {
        return Ok(None);
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    Ok(is_ours(&conn)?.then_some(conn))
}

/// A new one.
pub(super) fn create(path: &Path) -> Result<Connection, LedgerError> {
    place::create_file(path).map_err(|source| LedgerError::Io {
        path: path.to_owned(),
        source,
    })?;
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_up(&conn)?;
    make_tables(&conn)?;
    Ok(conn)
}

/// One in memory, with what the file holds, if there is one: whatever is done to it changes no file.
pub(super) fn copy_in_memory(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_in_memory()?;
    make_tables(&conn)?;
    if !path.exists() {
        return Ok(conn);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    if !is_ours(&connect(Path::new(&schema::untouched(path)), flags)?)? {
        return Ok(conn);
    }
    conn.execute("ATTACH ?1 AS kept", [schema::untouched(path)])?;
    for table in ["state", "place", "held", "listed", "bookmark"] {
        conn.execute_batch(&format!(
            "DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept.{table};"
        ))?;
    }
    conn.execute_batch("DETACH kept")?;
    Ok(conn)
}

pub(super) fn remove(path: &Path) -> Result<(), LedgerError> {
    for suffix in ["", "-wal", "-shm"] {
        let path = place::beside(path, suffix);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(LedgerError::Io { path, source });
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

/// NORMAL: a power cut may take the last commits away, which are read or asked for again, but breaks nothing. The disk is
/// waited for at checkpoints only.
fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -8192;
         PRAGMA journal_size_limit = 16777216;",
    )
}

fn make_tables(conn: &Connection) -> rusqlite::Result<()> {
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute("INSERT INTO state(one) VALUES (1)", [])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()
}

/// Call ids rise with time, so that inserts meet at the trees' right edge. What a number is not known of is NULL.
const TABLES: &str = "
    CREATE TABLE state(
        one INTEGER PRIMARY KEY CHECK (one = 1),
        cluster TEXT,
        begun_scan INTEGER NOT NULL DEFAULT 0,
        completed_scan INTEGER NOT NULL DEFAULT 0,
        completed_ms INTEGER,
        whole_ms INTEGER,
        forgotten_ms INTEGER);
    CREATE TABLE place(
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        next INTEGER NOT NULL,
        reach_ms INTEGER,
        PRIMARY KEY (topic, partition)) WITHOUT ROWID;
    CREATE TABLE held(
        call TEXT PRIMARY KEY,
        webhook INTEGER NOT NULL,
        reconciled INTEGER NOT NULL,
        at_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX held_by_time ON held(at_ms);
    CREATE INDEX held_reconciled ON held(call) WHERE reconciled <> 0;
    CREATE TABLE listed(
        call TEXT PRIMARY KEY,
        agent TEXT,
        status TEXT NOT NULL,
        tries_listed INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        seen_ms INTEGER NOT NULL,
        ended_ms INTEGER,
        expected INTEGER,
        filled INTEGER NOT NULL,
        scan INTEGER,
        next_ms INTEGER,
        asked INTEGER NOT NULL,
        why TEXT,
        row TEXT) WITHOUT ROWID;
    CREATE INDEX listed_by_sight ON listed(seen_ms);
    CREATE INDEX listed_by_end ON listed(ended_ms) WHERE ended_ms IS NOT NULL;
    CREATE INDEX due ON listed(next_ms) WHERE next_ms IS NOT NULL;
    CREATE TABLE bookmark(
        since_ms INTEGER NOT NULL,
        until_ms INTEGER NOT NULL,
        page INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (since_ms, until_ms)) WITHOUT ROWID;";

/// `AtKl`, as SQLite's header holds it.
const APPLICATION_ID: i32 = 0x4174_4b6c;
/// Raise it when tables change: the ledger is filled anew then.
const VERSION: i64 = 1;
