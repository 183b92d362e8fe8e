//! Reads pending rows for the publisher, in the order of publishing.
//!
//! Each call is one short read transaction on a connection of its own, so that nothing pins the WAL.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use super::append::FIND_RECONCILED;
use super::error::{ReadError, is_damage};
use super::{headers, schema};
use crate::event::Origin;
use crate::event::json::Scanned;
use crate::receive::delivery::KeptHeaders;
use crate::time::Timestamp;

/// Reads the journal, for another thread than the one that writes it.
pub struct Reader {
    path: PathBuf,
    conn: Connection,
    webhooks: HashMap<i64, String>,
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
    /// The timestamp of its record: when it was received or, of a replay, when that was asked for.
    pub record_at: Timestamp,
    /// The event's id.
    pub id: String,
    /// How it came here.
    pub origin: Origin,
    /// Headers worth keeping.
    pub headers: KeptHeaders,
    /// The raw body.
    pub body: Bytes,
    /// What the body holds, if somebody has read it already.
    pub scanned: Option<Scanned>,
    /// Whether the body still has the checksum that it was stored with.
    pub intact: bool,
}

impl Reader {
    /// Opens the journal at `path` to read; creates none.
    ///
    /// # Errors
    ///
    /// When there is none, when it is no journal or a newer one, or when SQLite refuses.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Ok(Self::of(path, schema::open_reader(path)?))
    }

    /// As [`Reader::open`], and leaves no trace beside the file.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`].
    pub fn open_without_trace(path: &Path) -> Result<Self, ReadError> {
        Ok(Self::of(path, schema::open_reader_without_trace(path)?))
    }

    fn of(path: &Path, conn: Connection) -> Self {
        Self {
            path: path.to_owned(),
            conn,
            webhooks: HashMap::new(),
        }
    }

    /// Pending rows from `from_out_seq` on, in order; stops after `max_rows` rows or once the bodies exceed `max_bytes`
    /// (one row at least).
    ///
    /// # Errors
    ///
    /// When SQLite cannot read; the same call may succeed later.
    pub fn pending(
        &mut self,
        from_out_seq: u64,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<Vec<Row>, ReadError> {
        let Self {
            path,
            conn,
            webhooks,
        } = self;
        let result = match read_pending(conn, webhooks, from_out_seq, max_rows, max_bytes) {
            Err(error) if is_damage(&error) => read_singly(conn, webhooks, from_out_seq),
            other => other,
        };
        result.map_err(|source| schema::read_error(path, source))
    }
}

impl Reader {
    /// The place in the order of publishing of a reconciled event, by its id; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read; the same call may succeed later.
    pub fn reconciled(&self, id: &str) -> Result<Option<u64>, ReadError> {
        let read = || {
            let mut select = self.conn.prepare_cached(FIND_RECONCILED)?;
            let found = select.query_row([id], |row| row.get::<_, i64>(1));
            found.optional()
        };
        let found = read().map_err(|source| schema::read_error(&self.path, source))?;
        Ok(found.map(i64::cast_unsigned))
    }

    /// Gives the id of each reconciled event to `each`.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read; the same call may succeed later.
    pub fn each_reconciled(&self, mut each: impl FnMut(&str)) -> Result<(), ReadError> {
        let mut read = || -> rusqlite::Result<()> {
            // In pages, as all that is read. They lie between two ids that are none.
            let mut page = self.conn.prepare_cached(
                "SELECT id FROM seen WHERE id > ?1 AND id < 'reconcile.' AND hash = x'' ORDER BY id LIMIT ?2",
            )?;
            let mut last = "reconcile-".to_owned();
            loop {
                let ids = page.query_map((&last, PAGE_ROWS), |row| row.get::<_, String>(0))?;
                let ids = ids.collect::<rusqlite::Result<Vec<_>>>()?;
                ids.iter().for_each(|id| each(id));
                match ids.into_iter().last() {
                    Some(id) => last = id,
                    None => return Ok(()),
                }
            }
        };
        read().map_err(|source| schema::read_error(&self.path, source))
    }

    /// The oldest timestamp of a pending delivery's record; `None` when nothing is pending.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read; the same call may succeed later.
    pub fn oldest_pending(&mut self) -> Result<Option<Timestamp>, ReadError> {
        let oldest = read_oldest_pending(&self.conn);
        let oldest = oldest.map_err(|source| schema::read_error(&self.path, source))?;
        Ok(oldest.map(Timestamp::from_unix_ms))
    }
}

/// In pages. All must be looked at: clocks are set back, and what is reconciled or retried is older than what lies before it.
fn read_oldest_pending(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut page = conn.prepare_cached(
        "SELECT max(out_seq), min(record_ms) FROM
         (SELECT q.out_seq, coalesce(d.record_ms, d.received_ms) AS record_ms FROM queue q LEFT JOIN delivery d ON d.seq = q.seq
          WHERE q.out_seq > ?1 ORDER BY q.out_seq LIMIT ?2)",
    )?;
    let (mut above, mut oldest) = (0, None::<i64>);
    loop {
        let read = page.query_row([above, PAGE_ROWS], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
        });
        let (last, received_ms) = read?;
        oldest = [oldest, received_ms].into_iter().flatten().min();
        match last {
            Some(last) => above = last,
            None => return Ok(oldest),
        }
    }
}

fn read_pending(
    conn: &Connection,
    webhooks: &mut HashMap<i64, String>,
    from_out_seq: u64,
    max_rows: usize,
    max_bytes: usize,
) -> rusqlite::Result<Vec<Row>> {
    // Also a row whose parts are missing is given out, as not intact: it must not be passed over in silence.
    let mut select = conn.prepare_cached(
        "SELECT q.out_seq, q.seq, d.webhook, d.received_ms, d.id, d.headers, d.crc, b.body,
                coalesce(d.record_ms, d.received_ms)
         FROM queue q LEFT JOIN delivery d ON d.seq = q.seq LEFT JOIN body b ON b.seq = q.seq
         WHERE q.out_seq >= ?1 ORDER BY q.out_seq LIMIT ?2",
    )?;
    let limit = i64::try_from(max_rows.max(1)).unwrap_or(i64::MAX);
    let mut rows = select.query((from_out_seq.cast_signed(), limit))?;
    let mut found = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let body_bytes = row.get_ref(7)?.as_blob_or_null()?.map_or(0, <[u8]>::len);
        if !found.is_empty() && bytes + body_bytes > max_bytes {
            break;
        }
        bytes += body_bytes;
        found.push(read_row(conn, webhooks, row)?);
    }
    Ok(found)
}

fn read_row(
    conn: &Connection,
    webhooks: &mut HashMap<i64, String>,
    row: &rusqlite::Row<'_>,
) -> rusqlite::Result<Row> {
    let body = row.get_ref(7)?.as_blob_or_null()?;
    let kept = headers::read(row.get_ref(5)?.as_str_or_null()?);
    let crc: Option<u32> = row.get(6)?;
    let intact = body.is_some_and(|body| crc == Some(crc32c::crc32c(body))) && kept.is_some();
    let (headers, origin) = kept.unwrap_or_default();
    Ok(Row {
        out_seq: row.get::<_, i64>(0)?.cast_unsigned(),
        seq: row.get::<_, i64>(1)?.cast_unsigned(),
        webhook: webhook_name(conn, webhooks, row.get(2)?)?,
        received_at: Timestamp::from_unix_ms(row.get::<_, Option<i64>>(3)?.unwrap_or(0)),
        record_at: Timestamp::from_unix_ms(row.get::<_, Option<i64>>(8)?.unwrap_or(0)),
        id: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
        origin,
        headers,
        body: Bytes::copy_from_slice(body.unwrap_or_default()),
        scanned: None,
        intact,
    })
}

/// Rows one by one, so that a damaged page costs only the rows on it: they are given out as not intact.
fn read_singly(
    conn: &Connection,
    webhooks: &mut HashMap<i64, String>,
    from_out_seq: u64,
) -> rusqlite::Result<Vec<Row>> {
    let mut select = conn.prepare_cached(
        "SELECT ?1, ?2, d.webhook, d.received_ms, d.id, d.headers, d.crc, b.body,
                coalesce(d.record_ms, d.received_ms)
         FROM (SELECT 1) LEFT JOIN delivery d ON d.seq = ?2 LEFT JOIN body b ON b.seq = ?2",
    )?;
    let mut found = Vec::new();
    for (out_seq, seq) in queued(conn, from_out_seq)? {
        match select.query_row((out_seq, seq), |row| read_row(conn, webhooks, row)) {
            Ok(row) => found.push(row),
            Err(error) if is_damage(&error) => found.push(unreadable(out_seq, seq)),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The next pending rows, from whichever of the two tables that know can be read.
fn queued(conn: &Connection, from_out_seq: u64) -> rusqlite::Result<Vec<(i64, i64)>> {
    let list = |sql| -> rusqlite::Result<Vec<_>> {
        let mut select = conn.prepare_cached(sql)?;
        let rows = select.query_map((from_out_seq.cast_signed(), SINGLE_ROWS), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        rows.collect()
    };
    list("SELECT out_seq, seq FROM queue WHERE out_seq >= ?1 ORDER BY out_seq LIMIT ?2").or_else(
        |error| {
            if !is_damage(&error) {
                return Err(error);
            }
            list(
                "SELECT out_seq, seq FROM delivery WHERE out_seq >= ?1 AND dead IS NULL
                 ORDER BY out_seq LIMIT ?2",
            )
        },
    )
}

fn unreadable(out_seq: i64, seq: i64) -> Row {
    Row {
        out_seq: out_seq.cast_unsigned(),
        seq: seq.cast_unsigned(),
        webhook: String::new(),
        received_at: Timestamp::from_unix_ms(0),
        record_at: Timestamp::from_unix_ms(0),
        id: String::new(),
        origin: Origin::Webhook,
        headers: KeptHeaders::default(),
        body: Bytes::new(),
        scanned: None,
        intact: false,
    }
}

/// The name, or an empty one for a number that the journal does not know.
fn webhook_name(
    conn: &Connection,
    known: &mut HashMap<i64, String>,
    n: Option<i64>,
) -> rusqlite::Result<String> {
    let Some(n) = n else { return Ok(String::new()) };
    if let Some(name) = known.get(&n) {
        return Ok(name.clone());
    }
    let find = "SELECT name FROM webhook WHERE n = ?1";
    let Some(name) = conn
        .query_row(find, [n], |row| row.get::<_, String>(0))
        .optional()?
    else {
        return Ok(String::new());
    };
    known.insert(n, name.clone());
    Ok(name)
}

/// Rows per read transaction: some milliseconds.
const PAGE_ROWS: i64 = 10_000;
/// How many rows are read one by one before the next attempt to read many.
const SINGLE_ROWS: i64 = 16;
