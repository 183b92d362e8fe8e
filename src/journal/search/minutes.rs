//! What came of each minute, for the console's chart: kept over restarts, for a day.

use rusqlite::{TransactionBehavior, params};

use super::{Index, Search, SearchError};
use crate::time::Timestamp;

/// A minute in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Minute {
    /// Minutes since 1970.
    pub at: i64,
    /// New deliveries, stored.
    pub stored: u64,
    /// Deliveries that were stored before.
    pub duplicates: u64,
    /// Requests that were refused, for whatever reason.
    pub refused: u64,
    /// Events committed to Kafka.
    pub published: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// The most deliveries that waited for Kafka whenever somebody looked.
    pub pending: u64,
}

impl Minute {
    /// The minute of a moment.
    pub fn of(moment: Timestamp) -> i64 {
        moment.unix_ms().div_euclid(60_000)
    }
}

impl Index {
    /// Adds to what is known of a minute.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn count(&mut self, minute: &Minute) -> Result<(), SearchError> {
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute(
            "INSERT INTO minute VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(at) DO UPDATE SET
                stored = stored + excluded.stored, duplicates = duplicates + excluded.duplicates,
                refused = refused + excluded.refused, published = published + excluded.published,
                dead_letters = dead_letters + excluded.dead_letters, pending = max(pending, excluded.pending)",
            params![
                minute.at,
                minute.stored.cast_signed(),
                minute.duplicates.cast_signed(),
                minute.refused.cast_signed(),
                minute.published.cast_signed(),
                minute.dead_letters.cast_signed(),
                minute.pending.cast_signed(),
            ],
        )?;
        tx.execute(
            "DELETE FROM minute WHERE at < ?1",
            [minute.at - KEPT_MINUTES],
        )?;
        tx.commit()?;
        Ok(())
    }
}

impl Search {
    /// What is known of the minutes from this one on, in order; those without a word are left out.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn minutes(&self, from: i64) -> Result<Vec<Minute>, SearchError> {
        let mut select = self.conn.prepare_cached(
            "SELECT at, stored, duplicates, refused, published, dead_letters, pending FROM minute
             WHERE at >= ?1 ORDER BY at",
        )?;
        let rows = select.query_map([from], |row| {
            let count = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
            Ok(Minute {
                at: row.get(0)?,
                stored: count(1)?,
                duplicates: count(2)?,
                refused: count(3)?,
                published: count(4)?,
                dead_letters: count(5)?,
                pending: count(6)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

const KEPT_MINUTES: i64 = 24 * 60;
