//! What was committed a moment ago, kept in memory for the publisher, so that it need not be read back from disk.
//!
//! Nothing depends on it. What is here lies on disk too; what was never here, or found no room, is read from there. Both
//! give out the same rows in the same order, and the publisher cannot tell them apart. What it takes is bounded, whatever
//! Kafka's state: while it is full, what is committed is not kept, for the oldest rows are the next to be asked for. If they
//! made room instead, a publisher that is so much behind would read every row from disk.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::error::ReadError;
use super::pending::{Reader, Row};
use super::queue::Shared;
use crate::event::json::Scanned;

/// Rows that may still be pending, in the order of publishing; between them some may be missing.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    rows: VecDeque<Row>,
    bytes: usize,
    /// Whether anybody takes them.
    wanted: bool,
}

impl Fresh {
    /// Keeps what was just committed, which lies behind all that is here, as far as there is room.
    pub(super) fn keep(&mut self, rows: impl Iterator<Item = Row>) {
        if !self.wanted {
            return;
        }
        for mut row in rows {
            let bytes = self.bytes + size(&row);
            if bytes > MOST_BYTES {
                return;
            }
            self.bytes = bytes;
            row.body = on_its_own(row.body);
            self.rows.push_back(row);
        }
    }

    /// The rows from this number on, up to the first that is not here, or the limits; one at least if it is here.
    fn take(&mut self, from_out_seq: u64, max_rows: usize, max_bytes: usize) -> Vec<Row> {
        while self
            .rows
            .front()
            .is_some_and(|row| row.out_seq < from_out_seq)
        {
            self.take_first();
        }
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let mut next = from_out_seq;
        while taken.len() < max_rows.max(1)
            && let Some(row) = self.rows.front()
            && row.out_seq == next
            && (taken.is_empty() || bytes + row.body.len() <= max_bytes)
        {
            bytes += row.body.len();
            next += 1;
            taken.extend(self.take_first());
        }
        taken
    }

    /// How many rows at most lie between this number and the first that is here.
    fn missing(&self, from_out_seq: u64) -> usize {
        let first = self.rows.front().map(|row| row.out_seq);
        let missing = first.map(|first| usize::try_from(first.saturating_sub(from_out_seq)));
        missing.and_then(Result::ok).unwrap_or(usize::MAX)
    }

    fn take_first(&mut self) -> Option<Row> {
        let row = self.rows.pop_front()?;
        self.bytes -= size(&row);
        Some(row)
    }
}

/// What is pending, for the one who publishes it: from memory what is fresh, from disk all else.
pub struct Pending {
    reader: Reader,
    shared: Arc<Shared>,
}

impl Pending {
    pub(super) fn new(reader: Reader, shared: Arc<Shared>) -> Self {
        shared.fresh().wanted = true;
        Self { reader, shared }
    }

    /// As [`Reader::pending`]. What was given out is not kept: whoever asks for it again waits for the disk.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read; the same call may succeed later.
    pub fn next(
        &mut self,
        from_out_seq: u64,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<Vec<Row>, ReadError> {
        let mut fresh = self.shared.fresh();
        let rows = fresh.take(from_out_seq, max_rows, max_bytes);
        if !rows.is_empty() {
            return Ok(rows);
        }
        let max_rows = max_rows.min(fresh.missing(from_out_seq));
        drop(fresh);
        self.reader.pending(from_out_seq, max_rows, max_bytes)
    }
}

/// A small body may be a slice of a larger read, which it would keep in memory.
pub(super) fn on_its_own(body: Bytes) -> Bytes {
    match body.len() {
        ..=COPIED_BYTES => Bytes::copy_from_slice(&body),
        _ => body,
    }
}

/// About what a row takes in memory.
fn size(row: &Row) -> usize {
    let scanned = row.scanned.as_ref().map_or(0, Scanned::bytes);
    row.body.len() + scanned + ROW_BYTES
}

/// A publisher that is a few tenths of a second behind at full load still finds what it needs here.
const MOST_BYTES: usize = 32 << 20;
const ROW_BYTES: usize = 512;
/// Larger bodies have memory of their own.
const COPIED_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;
    use crate::receive::delivery::KeptHeaders;
    use crate::time::Timestamp;

    fn row(out_seq: u64, bytes: usize) -> Row {
        let now = Timestamp::from_unix_ms(0);
        Row {
            out_seq,
            seq: out_seq,
            webhook: "default".to_owned(),
            received_at: now,
            record_at: now,
            id: out_seq.to_string(),
            origin: Origin::Webhook,
            headers: KeptHeaders::default(),
            body: vec![b' '; bytes].into(),
            scanned: None,
            intact: true,
        }
    }

    fn fresh(rows: impl IntoIterator<Item = Row>) -> Fresh {
        let mut fresh = Fresh {
            wanted: true,
            ..Fresh::default()
        };
        fresh.keep(rows.into_iter());
        fresh
    }

    fn taken(fresh: &mut Fresh, from: u64, rows: usize, bytes: usize) -> Vec<u64> {
        let taken = fresh.take(from, rows, bytes);
        taken.iter().map(|row| row.out_seq).collect()
    }

    #[test]
    fn rows_are_given_out_in_order_up_to_a_gap() {
        let mut fresh = fresh([1, 2, 3, 5, 6].map(|out_seq| row(out_seq, 10)));
        assert_eq!(taken(&mut fresh, 2, 100, 100), [2, 3]);
        assert_eq!(taken(&mut fresh, 4, 100, 100), [0; 0]);
        assert_eq!(taken(&mut fresh, 5, 100, 100), [5, 6]);
    }

    #[test]
    fn limits_are_kept_but_one_row_is_given_out() {
        let mut fresh = fresh((1..10).map(|out_seq| row(out_seq, 10)));
        assert_eq!(taken(&mut fresh, 1, 2, 100), [1, 2]);
        assert_eq!(taken(&mut fresh, 3, 100, 35), [3, 4, 5]);
        assert_eq!(taken(&mut fresh, 6, 100, 0), [6]);
    }

    #[test]
    fn what_finds_no_room_is_missing_until_there_is_some() {
        let mut fresh = fresh((1..=40).map(|out_seq| row(out_seq, 1 << 20)));
        assert!(fresh.bytes <= MOST_BYTES);
        assert_eq!(
            taken(&mut fresh, 1, 100, usize::MAX),
            (1..=31).collect::<Vec<_>>()
        );
        fresh.keep((41..=42).map(|out_seq| row(out_seq, 10)));
        assert_eq!(taken(&mut fresh, 32, 100, usize::MAX), [0; 0]);
        assert_eq!(fresh.missing(32), 9);
        assert_eq!(taken(&mut fresh, 41, 100, usize::MAX), [41, 42]);
        assert_eq!((fresh.bytes, fresh.rows.len()), (0, 0));
        assert_eq!(fresh.missing(43), usize::MAX);
    }
}
