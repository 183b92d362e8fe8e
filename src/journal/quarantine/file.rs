//! The quarantine's file on disk: its format, how it is made, and how a damaged one is set aside.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::super::place;

pub(super) fn connect(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    Ok(conn)
}

/// The file's format, 0 when it is empty; `None` when it is none of ours.
pub(super) fn format(conn: &Connection) -> rusqlite::Result<Option<u32>> {
    let application: i32 = conn.pragma_query_value(None, "application_id", |r| r.get(0))?;
    let version: i64 = conn.pragma_query_value(None, "user_version", |r| r.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get(0))?;
    Ok(match (application, version) {
        (APPLICATION_ID, 1) => Some(1),
        (0, 0) if tables == 0 => Some(0),
        _ => None,
    })
}

pub(super) fn create(conn: &Connection) -> rusqlite::Result<()> {
    let tx = conn.unchecked_transaction()?;
    // `rank` is 0 for what cannot be a real call: that goes first.
    tx.execute_batch(
        "CREATE TABLE proof_key(one INTEGER PRIMARY KEY CHECK (one = 1), key BLOB NOT NULL);
         CREATE TABLE kept(
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            rank INTEGER NOT NULL,
            webhook TEXT NOT NULL,
            received_ms INTEGER NOT NULL,
            reason TEXT NOT NULL,
            call_id TEXT,
            headers TEXT,
            proof TEXT NOT NULL,
            body BLOB NOT NULL);
         CREATE INDEX kept_by_rank ON kept(rank, id);",
    )?;
    let key = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
    tx.execute("INSERT INTO proof_key VALUES (1, ?1)", [key])?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", 1)?;
    tx.commit()
}

/// Renames a damaged file, with its WAL gone: what is in that belongs to it.
pub(super) fn set_aside(path: &Path) -> std::io::Result<()> {
    std::fs::rename(path, place::beside(path, ".damaged"))?;
    for suffix in ["-wal", "-shm"] {
        match std::fs::remove_file(place::beside(path, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// `AtKq`, as SQLite's header holds it.
const APPLICATION_ID: i32 = 0x4174_4b71;
