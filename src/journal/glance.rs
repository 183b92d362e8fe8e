//! Single looks at the journal, for the console: each one short read transaction, whatever the journal holds.

use rusqlite::OptionalExtension;

use super::error::ReadError;
use super::read::{ENTRY_FIELDS, Entry, Viewer, read_entry};
use super::schema;

impl Viewer {
    /// The first and the newest sequence; `None` when there is nothing.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read.
    pub fn ends(&self) -> Result<Option<(u64, u64)>, ReadError> {
        // Two questions: together they would walk through the whole table.
        let end = |sql| {
            let end = self
                .conn
                .query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
            end.map_err(|source| schema::read_error(&self.path, source))
        };
        let first = end("SELECT min(seq) FROM delivery")?;
        let last = end("SELECT max(seq) FROM delivery")?;
        let ends = first.zip(last);
        Ok(ends.map(|(first, last)| (first.cast_unsigned(), last.cast_unsigned())))
    }

    /// One delivery without its body.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read.
    pub fn entry(&self, seq: u64) -> Result<Option<Entry>, ReadError> {
        let read = || {
            let select = format!(
                "SELECT {ENTRY_FIELDS} FROM delivery d LEFT JOIN webhook w ON w.n = d.webhook WHERE d.seq = ?1"
            );
            self.conn
                .prepare_cached(&select)?
                .query_row([seq.cast_signed()], read_entry)
                .optional()
        };
        read().map_err(|source| schema::read_error(&self.path, source))
    }

    /// Sequences that wait for Kafka, those that wait at the end of the queue first, before that place in the order of
    /// publishing.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read.
    pub fn pending_before(&self, out_seq: u64, limit: usize) -> Result<Vec<(u64, u64)>, ReadError> {
        let read = || {
            let mut select = self.conn.prepare_cached(
                "SELECT out_seq, seq FROM queue
                 WHERE out_seq < ?1 AND out_seq >= (SELECT settled_out_seq FROM state)
                 ORDER BY out_seq DESC LIMIT ?2",
            )?;
            let below = i64::try_from(out_seq).unwrap_or(i64::MAX);
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = select.query_map([below, limit], |row| {
                let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
                Ok((number(0)?, number(1)?))
            })?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        read().map_err(|source| schema::read_error(&self.path, source))
    }
}
