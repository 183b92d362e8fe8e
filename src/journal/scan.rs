//! Walks through the journal in the order of arrival, with bodies: for replay, export and search.
//!
//! Each page is one short read transaction, bounded in rows and bytes, so that no walk pins the writer's WAL however long
//! it takes.

use rusqlite::named_params;

use super::error::ReadError;
use super::pending::Row;
use super::read::{ENTRY_FIELDS, Entry, State, Viewer, read_entry};
use super::{headers, schema};
use crate::receive::delivery::KeptHeaders;
use crate::time::Timestamp;

/// Which deliveries to walk through.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these sequences, first and last of each range; all when empty.
    pub seqs: Vec<(u64, u64)>,
    /// Only these.
    pub state: Option<State>,
    /// Only of this webhook.
    pub webhook: Option<String>,
    /// Received at this moment or later.
    pub since: Option<Timestamp>,
    /// Received before this moment.
    pub until: Option<Timestamp>,
}

/// A delivery, whole.
#[derive(Debug, Clone)]
pub struct Found {
    /// What `journal list` shows of it.
    pub entry: Entry,
    /// Headers worth keeping.
    pub headers: KeptHeaders,
    /// Its body, while that is kept.
    pub body: Option<Vec<u8>>,
    /// Whether headers and body are what was stored.
    pub intact: bool,
}

impl Found {
    /// As the publisher would read it; `None` without a body.
    pub fn row(&self) -> Option<Row> {
        Some(Row {
            out_seq: self.entry.out_seq,
            seq: self.entry.seq,
            webhook: self.entry.webhook.clone(),
            received_at: self.entry.received_at,
            record_at: self.entry.received_at,
            id: self.entry.id.clone(),
            origin: self.entry.origin,
            headers: self.headers.clone(),
            body: self.body.clone()?.into(),
            scanned: None,
            intact: self.intact,
        })
    }
}

/// A walk that has begun; it ends at what was the newest delivery then.
pub struct Walk<'v> {
    viewer: &'v Viewer,
    selection: Selection,
    next: u64,
    last: u64,
}

impl Viewer {
    /// Begins to walk through what there is now.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read.
    pub fn walk(&self, mut selection: Selection) -> Result<Walk<'_>, ReadError> {
        selection.seqs.sort_unstable();
        let (next, last) = self.ends()?.unwrap_or((1, 0));
        Ok(Walk {
            viewer: self,
            selection,
            next,
            last,
        })
    }
}

impl Walk<'_> {
    /// Some more deliveries that match, maybe none; `None` at the end.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read.
    pub fn page(&mut self) -> Result<Option<Vec<Found>>, ReadError> {
        let Some((from, until)) = self.window() else {
            return Ok(None);
        };
        let (found, next) = self
            .read(from, until)
            .map_err(|source| schema::read_error(&self.viewer.path, source))?;
        self.next = next;
        Ok(Some(found))
    }

    /// The first sequence that was not looked at.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// The next sequences to look at: from the first up to and without the second.
    fn window(&self) -> Option<(u64, u64)> {
        let ranges = &self.selection.seqs;
        let (from, last) = if ranges.is_empty() {
            (self.next, self.last)
        } else {
            let (first, last) = ranges.iter().find(|(_, last)| *last >= self.next)?;
            (self.next.max(*first), self.last.min(*last))
        };
        (from <= self.last).then(|| (from, last.saturating_add(1).min(from + PAGE_ROWS)))
    }

    fn read(&self, from: u64, until: u64) -> rusqlite::Result<(Vec<Found>, u64)> {
        let mut select = self.viewer.conn.prepare_cached(&format!(
            "SELECT {ENTRY_FIELDS}, d.crc, b.body
             FROM delivery d LEFT JOIN webhook w ON w.n = d.webhook LEFT JOIN body b ON b.seq = d.seq
             WHERE d.seq >= :from AND d.seq < :until
               AND (:state IS NULL OR what = :state)
               AND (:webhook IS NULL OR w.name = :webhook)
               AND (:since IS NULL OR d.received_ms >= :since)
               AND (:before IS NULL OR d.received_ms < :before)
             ORDER BY d.seq"
        ))?;
        let mut rows = select.query(named_params! {
            ":from": from.cast_signed(),
            ":until": until.cast_signed(),
            ":state": self.selection.state.map(State::number),
            ":webhook": self.selection.webhook,
            ":since": self.selection.since.map(Timestamp::unix_ms),
            ":before": self.selection.until.map(Timestamp::unix_ms),
        })?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let one = read_found(row)?;
            bytes += one.body.as_ref().map_or(0, Vec::len);
            let behind = one.entry.seq + 1;
            found.push(one);
            if bytes > PAGE_BYTES {
                return Ok((found, behind));
            }
        }
        Ok((found, until))
    }
}

fn read_found(row: &rusqlite::Row<'_>) -> rusqlite::Result<Found> {
    let entry = read_entry(row)?;
    let kept = headers::read(row.get_ref("headers")?.as_str_or_null()?);
    let crc: u32 = row.get("crc")?;
    let body: Option<Vec<u8>> = row.get("body")?;
    let sound = body.as_ref().is_none_or(|body| crc32c::crc32c(body) == crc);
    Ok(Found {
        entry,
        intact: sound && kept.is_some(),
        headers: kept.unwrap_or_default().0,
        body,
    })
}

/// A page: some tens of milliseconds on a slow disk.
const PAGE_ROWS: u64 = 1000;
const PAGE_BYTES: usize = 8 << 20;
