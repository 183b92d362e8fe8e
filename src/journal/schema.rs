//! The journal's tables, their format number, and how a connection to them is set up.
//!
//! A file is a journal when SQLite's `application_id` says so; `user_version` is its format. An older format is brought
//! up step by step, each in a transaction of its own; a newer one is refused. Nothing is changed in a foreign file.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use uuid::Uuid;

use super::error::{OpenError, ReadError};
use super::place;

/// The newest format that this program writes.
pub(super) const FORMAT: u32 = STEPS.len() as u32;

/// `AtKb`, as SQLite's header holds it.
const APPLICATION_ID: i32 = 0x4174_4b62;

/// What brings format n to format n + 1.
const STEPS: [&str; 3] = [
    // Bodies lie apart, so that they can be deleted by range while ids stay. `seen` holds the delivery's own id:
    // the sender's ids rise with time, so that inserts meet at the tree's right edge. `queue` is what is pending.
    "CREATE TABLE state(
        one INTEGER PRIMARY KEY CHECK (one = 1),
        uuid BLOB NOT NULL,
        next_seq INTEGER NOT NULL,
        next_out_seq INTEGER NOT NULL,
        settled_out_seq INTEGER NOT NULL,
        partitions INTEGER);
     CREATE TABLE webhook(n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
     CREATE TABLE delivery(
        seq INTEGER PRIMARY KEY,
        webhook INTEGER NOT NULL,
        id TEXT NOT NULL,
        hash BLOB NOT NULL,
        received_ms INTEGER NOT NULL,
        headers TEXT,
        crc INTEGER NOT NULL,
        out_seq INTEGER NOT NULL,
        dead TEXT);
     CREATE TABLE body(seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
     CREATE TABLE seen(
        id TEXT NOT NULL,
        webhook INTEGER NOT NULL,
        hash BLOB NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (id, webhook, hash)) WITHOUT ROWID;
     CREATE TABLE queue(out_seq INTEGER PRIMARY KEY, seq INTEGER NOT NULL);",
    // The timestamp of the record of a replay; NULL stands for `received_ms`.
    "ALTER TABLE delivery ADD COLUMN record_ms INTEGER;",
    // `headers` may say that a row was reconciled, and `seen` has such rows without a hash. What is called `hash` is a
    // fingerprint from now on; rows that are there keep the SHA-256 of their bodies, 32 bytes in `delivery` and 16 in `seen`.
    // The tables are the same, but who does not know that would take a reconciled row for a delivery, and miss repeats.
    "",
];

/// Opens the file for the writer, which has made sure that it exists; brings it to this program's format.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| open_error(path, source);
    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sqlite)?;
    let found = match format(&conn).map_err(sqlite)? {
        Format::Journal(found) if found > FORMAT => {
            return Err(OpenError::Newer {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        Format::Journal(found) => found,
        Format::Empty => 0,
        Format::Foreign => return Err(OpenError::NotAJournal(path.to_owned())),
    };
    set_up_writer(&conn).map_err(sqlite)?;
    migrate(&mut conn, found).map_err(sqlite)?;
    Ok(conn)
}

/// Opens the writer's connection again after an error.
pub(super) fn reopen_writer(path: &Path) -> rusqlite::Result<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_up_writer(&conn)?;
    Ok(conn)
}

/// Opens a second connection beside the writer's, for checkpoints.
pub(super) fn open_beside(path: &Path) -> rusqlite::Result<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")?;
    leave_wal_on_close(&conn, true)?;
    // Reads, so that it is a user of the WAL from now on.
    format(&conn)?;
    Ok(conn)
}

/// Whether closing leaves the WAL alone, also when nobody else has the file open.
pub(super) fn leave_wal_on_close(conn: &Connection, leave: bool) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave)?;
    Ok(())
}

/// Opens the file to read, also while another process writes it; creates none.
pub(super) fn open_reader(path: &Path) -> Result<Connection, ReadError> {
    open_reader_at(path, path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// As [`open_reader`], and leaves no trace beside the file: where nobody has it open, nobody may begin to write it meanwhile.
pub(super) fn open_reader_without_trace(path: &Path) -> Result<Connection, ReadError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    open_reader_at(path, Path::new(&untouched(path)), flags)
}

/// A file as SQLite's URI, by which it is read as it is: without a WAL there is nobody who writes.
pub(super) fn untouched(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    let how = match place::beside(path, "-wal").exists() {
        true => "?mode=ro",
        false => "?mode=ro&immutable=1",
    };
    uri + how
}

fn open_reader_at(path: &Path, name: &Path, flags: OpenFlags) -> Result<Connection, ReadError> {
    if !path.exists() {
        return Err(ReadError::Missing(path.to_owned()));
    }
    let sqlite = |source| read_error(path, source);
    let conn = connect(name, flags).map_err(sqlite)?;
    match format(&conn).map_err(sqlite)? {
        Format::Journal(found) if found > FORMAT => Err(ReadError::Newer {
            path: path.to_owned(),
            found,
            known: FORMAT,
        }),
        Format::Journal(_) => Ok(conn),
        Format::Empty | Format::Foreign => Err(ReadError::NotAJournal(path.to_owned())),
    }
}

/// A reader's error, with the journal that it was about.
pub(super) fn read_error(path: &Path, source: rusqlite::Error) -> ReadError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => ReadError::NotAJournal(path.to_owned()),
        _ => ReadError::Sqlite {
            path: path.to_owned(),
            source,
        },
    }
}

fn open_error(path: &Path, source: rusqlite::Error) -> OpenError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotAJournal(path.to_owned()),
        _ if is_no_room(&source) => OpenError::NoRoom(path.to_owned()),
        _ => OpenError::Sqlite {
            path: path.to_owned(),
            source,
        },
    }
}

/// Whether the disk has no block left for the file itself, or for the shared memory beside it.
fn is_no_room(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}

fn connect(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(32);
    Ok(conn)
}

enum Format {
    Empty,
    Journal(u32),
    Foreign,
}

fn format(conn: &Connection) -> rusqlite::Result<Format> {
    let application: i32 = conn.pragma_query_value(None, "application_id", |r| r.get(0))?;
    let version: i64 = conn.pragma_query_value(None, "user_version", |r| r.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get(0))?;
    Ok(match (application, u32::try_from(version)) {
        (APPLICATION_ID, Ok(version)) => Format::Journal(version),
        (0, Ok(0)) if tables == 0 => Format::Empty,
        _ => Format::Foreign,
    })
}

/// FULL: a commit is on disk before anyone hears of it. Checkpoints have a thread of their own. The page size only
/// counts for a new file.
fn set_up_writer(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA auto_vacuum = NONE;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = {WAL_KEPT_BYTES};
         PRAGMA cache_size = -{WRITER_CACHE_KIB};
         PRAGMA temp_store = MEMORY;
         PRAGMA foreign_keys = OFF;"
    ))?;
    leave_wal_on_close(conn, true)
}

fn migrate(conn: &mut Connection, from: u32) -> rusqlite::Result<()> {
    for (version, step) in (0u32..).zip(STEPS).skip(from as usize) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(step)?;
        if version == 0 {
            let uuid = Uuid::new_v4();
            let first = "INSERT INTO state VALUES (1, ?1, 1, 1, 1, NULL)";
            tx.execute(first, [uuid.as_bytes().as_slice()])?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        tx.pragma_update(None, "user_version", version + 1)?;
        tx.commit()?;
    }
    Ok(())
}

/// Of a new journal; one that is there keeps its own. Each page costs system calls on its way into the WAL and from there into
/// the file; but a lone delivery writes a page of each table, however large.
pub(super) const PAGE_BYTES: u32 = 16 * 1024;
const WRITER_CACHE_KIB: u32 = 16 * 1024;
/// A WAL that a long reader made larger is cut back to this when it starts anew.
const WAL_KEPT_BYTES: u32 = 64 << 20;
