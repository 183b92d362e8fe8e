//! How much waits for Kafka, and what the journal takes on its disk: for whoever watches.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::error::ReadError;
use super::{place, quarantine, schema};
use crate::time::Timestamp;

/// What waits for Kafka.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries.
    pub rows: u64,
    /// Their bodies; beyond twice 10,000 rows an estimate from the oldest and the newest.
    pub bytes: u64,
    /// When the first of them was received.
    pub oldest: Option<Timestamp>,
}

/// What the journal's files take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnDisk {
    /// The file and what belongs to it.
    pub journal_bytes: u64,
    /// Of these, the WAL.
    pub wal_bytes: u64,
    /// The quarantine's file and what belongs to it.
    pub quarantine_bytes: u64,
    /// What is left on the disk.
    pub free_bytes: u64,
}

/// `rows` are known without looking; the rest is read.
pub(super) fn backlog(path: &Path, rows: u64) -> Result<Backlog, ReadError> {
    if rows == 0 {
        return Ok(Backlog::default());
    }
    let conn = schema::open_reader(path)?;
    let read = || -> rusqlite::Result<Backlog> {
        let oldest = conn
            .query_row(
                "SELECT received_ms FROM queue JOIN delivery USING (seq) ORDER BY queue.out_seq LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()?;
        Ok(Backlog {
            rows,
            bytes: bytes(&conn, rows)?,
            oldest: oldest.map(Timestamp::from_unix_ms),
        })
    };
    read().map_err(|source| schema::read_error(path, source))
}

fn bytes(conn: &Connection, rows: u64) -> rusqlite::Result<u64> {
    let sample = |order: &str| {
        let sql = format!(
            "SELECT count(*), coalesce(sum(length(body)), 0)
             FROM (SELECT seq FROM queue ORDER BY out_seq {order} LIMIT {SAMPLE_ROWS}) JOIN body USING (seq)"
        );
        conn.query_row(&sql, [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
    };
    let (count, sum) = sample("ASC")?;
    if count < SAMPLE_ROWS {
        return Ok(sum.unsigned_abs());
    }
    let (newest_count, newest_sum) = sample("DESC")?;
    let (count, sum) = (count + newest_count, sum + newest_sum);
    let estimated =
        u128::from(sum.unsigned_abs()) * u128::from(rows) / u128::from(count.unsigned_abs().max(1));
    Ok(u64::try_from(estimated).unwrap_or(u64::MAX))
}

pub(super) fn on_disk(path: &Path) -> OnDisk {
    let size = |path: &Path, suffix| {
        place::beside(path, suffix)
            .metadata()
            .map_or(0, |file| file.len())
    };
    let all = |path: &Path| size(path, "") + size(path, "-wal") + size(path, "-shm");
    OnDisk {
        journal_bytes: all(path),
        wal_bytes: size(path, "-wal"),
        quarantine_bytes: all(&quarantine::path_beside(path)),
        free_bytes: place::Disk::of(path).map_or(0, |disk| disk.free_bytes),
    }
}

const SAMPLE_ROWS: i64 = 10_000;
