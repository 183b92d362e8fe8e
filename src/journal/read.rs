//! Reads the journal for the command line, beside a process that may be writing it.
//!
//! Creates nothing, changes nothing, and pages by sequence, so that no read transaction lasts: a long one would pin the
//! writer's WAL.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, named_params};
use uuid::Uuid;

use super::error::ReadError;
use super::{headers, place, schema, space};
use crate::event::Origin;
use crate::receive::delivery::KeptHeaders;
use crate::time::Timestamp;

/// A journal, open to be looked at.
pub struct Viewer {
    pub(super) path: PathBuf,
    pub(super) conn: Connection,
}

/// The journal in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it is called, for ever.
    pub uuid: Uuid,
    /// The format of its file.
    pub format_version: u32,
    /// Deliveries that it knows, with or without their bodies.
    pub rows: u64,
    /// Not yet in Kafka.
    pub pending: u64,
    /// In Kafka.
    pub published: u64,
    /// Accepted by no topic; kept.
    pub dead: u64,
    /// The number that the next row gets in the order of publishing.
    pub next_out_seq: u64,
    /// Everything below is published.
    pub settled_out_seq: u64,
    /// When the first pending delivery was received.
    pub oldest_pending: Option<Timestamp>,
    /// Bytes in use, which `journal.max_bytes` limits.
    pub used_bytes: u64,
    /// Bytes that its files take on disk.
    pub file_bytes: u64,
}

/// Which deliveries to list.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Only these.
    pub state: Option<State>,
    /// Only of this webhook.
    pub webhook: Option<String>,
    /// Received at this moment or later.
    pub since: Option<Timestamp>,
    /// Received before this moment.
    pub until: Option<Timestamp>,
    /// How many at most.
    pub limit: usize,
}

/// A delivery, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// How it came here; of damaged headers: by a webhook.
    pub origin: Origin,
    /// What became of it.
    pub state: State,
    /// Why it is dead.
    pub reason: Option<String>,
    /// The body's size; `None` once retention has deleted it.
    pub body_bytes: Option<u64>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// On its way to Kafka.
    Pending,
    /// In Kafka.
    Published,
    /// Accepted by no topic; kept.
    Dead,
}

impl Viewer {
    /// Opens the journal at `path` to read; creates none.
    ///
    /// # Errors
    ///
    /// When there is none, when it is no journal or a newer one, or when SQLite refuses.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Ok(Self {
            path: path.to_owned(),
            conn: schema::open_reader(path)?,
        })
    }

    /// The journal in numbers; counted page by page, so they may be a moment apart.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read.
    pub fn status(&self) -> Result<Status, ReadError> {
        self.read_status()
            .map_err(|source| schema::read_error(&self.path, source))
    }

    /// Deliveries that match, the newest first.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read.
    pub fn list(&self, filter: &Filter) -> Result<Vec<Entry>, ReadError> {
        self.read_list(filter)
            .map_err(|source| schema::read_error(&self.path, source))
    }

    /// One delivery with its headers, its body while that is kept, and whether the body still has its checksum (true
    /// without a body).
    ///
    /// # Errors
    ///
    /// When SQLite cannot read.
    pub fn show(&self, seq: u64) -> Result<Option<Shown>, ReadError> {
        self.read_one(seq)
            .map_err(|source| schema::read_error(&self.path, source))
    }

    fn read_status(&self) -> rusqlite::Result<Status> {
        let conn = &self.conn;
        let (uuid, next_seq, next_out_seq, settled_out_seq) = conn.query_row(
            "SELECT uuid, next_seq, next_out_seq, settled_out_seq FROM state",
            [],
            |r| {
                Ok((
                    r.get(0)?,
                    r.get::<_, i64>(1)?,
                    r.get::<_, i64>(2)?,
                    r.get::<_, i64>(3)?,
                ))
            },
        )?;
        let counts = self.count(next_seq, settled_out_seq)?;
        let oldest = "SELECT received_ms FROM queue JOIN delivery USING (seq)
                      ORDER BY queue.out_seq LIMIT 1";
        let oldest = conn.query_row(oldest, [], |row| row.get(0)).optional()?;
        let size = |suffix| {
            place::beside(&self.path, suffix)
                .metadata()
                .map_or(0, |m| m.len())
        };
        Ok(Status {
            uuid: Uuid::from_bytes(uuid),
            format_version: conn.pragma_query_value(None, "user_version", |row| row.get(0))?,
            rows: counts.rows,
            pending: counts.pending,
            published: counts.rows - counts.pending - counts.dead,
            dead: counts.dead,
            next_out_seq: next_out_seq.cast_unsigned(),
            settled_out_seq: settled_out_seq.cast_unsigned(),
            oldest_pending: oldest.map(Timestamp::from_unix_ms),
            used_bytes: space::used_bytes(conn)?,
            file_bytes: size("") + size("-wal") + size("-shm"),
        })
    }

    fn count(&self, next_seq: i64, settled: i64) -> rusqlite::Result<Counts> {
        let mut page = self.conn.prepare(
            "SELECT count(*), count(dead), count(CASE WHEN dead IS NULL AND out_seq >= ?3 THEN 1 END)
             FROM delivery WHERE seq >= ?1 AND seq < ?2",
        )?;
        let mut counts = Counts::default();
        // Rows are without gaps but for what retention took from the old end.
        let mut from = self.first_seq()?.unwrap_or(next_seq);
        while from < next_seq {
            let until = (from + PAGE_ROWS).min(next_seq);
            page.query_row([from, until, settled], |row| {
                counts.rows += row.get::<_, i64>(0)?.cast_unsigned();
                counts.dead += row.get::<_, i64>(1)?.cast_unsigned();
                counts.pending += row.get::<_, i64>(2)?.cast_unsigned();
                Ok(())
            })?;
            from = until;
        }
        Ok(counts)
    }

    fn first_seq(&self) -> rusqlite::Result<Option<i64>> {
        self.conn
            .query_row("SELECT min(seq) FROM delivery", [], |row| row.get(0))
    }

    fn read_list(&self, filter: &Filter) -> rusqlite::Result<Vec<Entry>> {
        let Some(first) = self.first_seq()? else {
            return Ok(Vec::new());
        };
        let newest = "SELECT max(seq) FROM delivery";
        let newest: Option<i64> = self.conn.query_row(newest, [], |row| row.get(0))?;
        let mut select = self.conn.prepare(&format!(
            "SELECT {ENTRY_FIELDS} {ENTRIES} WHERE d.seq >= :from AND d.seq < :until
               AND (:state IS NULL OR what = :state)
               AND (:webhook IS NULL OR w.name = :webhook)
               AND (:since IS NULL OR d.received_ms >= :since)
               AND (:before IS NULL OR d.received_ms < :before)
             ORDER BY d.seq DESC LIMIT :limit"
        ))?;
        let mut found = Vec::new();
        let mut until = newest.unwrap_or(first) + 1;
        while until > first && found.len() < filter.limit {
            let from = (until - PAGE_ROWS).max(first);
            let rows = select.query_map(
                named_params! {
                    ":from": from,
                    ":until": until,
                    ":state": filter.state.map(State::number),
                    ":webhook": filter.webhook,
                    ":since": filter.since.map(Timestamp::unix_ms),
                    ":before": filter.until.map(Timestamp::unix_ms),
                    ":limit": i64::try_from(filter.limit - found.len()).unwrap_or(i64::MAX),
                },
                read_entry,
            )?;
            for row in rows {
                found.push(row?);
            }
            until = from;
        }
        Ok(found)
    }

    fn read_one(&self, seq: u64) -> rusqlite::Result<Option<Shown>> {
        // One transaction, so that headers, checksum and body are of the same row.
        let tx = self.conn.unchecked_transaction()?;
        let seq = seq.cast_signed();
        let select = format!("SELECT {ENTRY_FIELDS} {ENTRIES} WHERE d.seq = ?1");
        let Some(entry) = tx.query_row(&select, [seq], read_entry).optional()? else {
            return Ok(None);
        };
        let select = "SELECT headers, crc, (SELECT body FROM body WHERE seq = ?1) FROM delivery WHERE seq = ?1";
        let shown = tx.query_row(select, [seq], |row| {
            let kept = headers::read(row.get_ref(0)?.as_str_or_null()?);
            let crc: u32 = row.get(1)?;
            let body: Option<Vec<u8>> = row.get(2)?;
            let sound = body.as_ref().is_none_or(|body| crc32c::crc32c(body) == crc);
            let intact = sound && kept.is_some();
            Ok((entry, kept.unwrap_or_default().0, body, intact))
        })?;
        Ok(Some(shown))
    }
}

/// What [`Viewer::show`] finds: the delivery, its headers, its body, and whether that is intact.
pub type Shown = (Entry, KeptHeaders, Option<Vec<u8>>, bool);

#[derive(Default)]
struct Counts {
    rows: u64,
    pending: u64,
    dead: u64,
}

impl State {
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Pending => 0,
            Self::Published => 1,
            Self::Dead => 2,
        }
    }
}

pub(super) fn read_entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let kept = headers::read(row.get_ref(8)?.as_str_or_null()?);
    Ok(Entry {
        origin: kept.unwrap_or_default().1,
        seq: row.get::<_, i64>(0)?.cast_unsigned(),
        out_seq: row.get::<_, i64>(1)?.cast_unsigned(),
        webhook: row.get(2)?,
        id: row.get(3)?,
        received_at: Timestamp::from_unix_ms(row.get(4)?),
        reason: row.get(5)?,
        body_bytes: row.get::<_, Option<i64>>(6)?.map(i64::cast_unsigned),
        state: match row.get::<_, i64>(7)? {
            0 => State::Pending,
            1 => State::Published,
            _ => State::Dead,
        },
    })
}

/// What [`read_entry`] reads. `what` is [`State::number`]; a webhook whose name is damaged is shown without one.
pub(super) const ENTRY_FIELDS: &str =
    "d.seq, d.out_seq, coalesce(w.name, ''), d.id, d.received_ms, d.dead,
    (SELECT length(body) FROM body WHERE seq = d.seq),
    CASE WHEN d.dead IS NOT NULL THEN 2
         WHEN d.out_seq >= (SELECT settled_out_seq FROM state) THEN 0 ELSE 1 END AS what,
    d.headers";
const ENTRIES: &str = "FROM delivery d LEFT JOIN webhook w ON w.n = d.webhook";

/// Rows per read transaction: a few milliseconds.
const PAGE_ROWS: i64 = 10_000;
