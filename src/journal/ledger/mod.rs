//! What the topics have of each call, whoever published it, and what the sender's API has told: what reconciliation
//! compares, in a file of its own beside the journal.
//!
//! What the topics have is filled from them, together with the offsets that it was read up to, and can be read again. What
//! waits (a call that settles, one whose evaluation has not come) lies here too, so that a crash loses no place. A file of
//! another version, or one that is damaged, is dropped and filled anew. Everything in it goes with its retention.
//!
//! ```text
//! file       tables, and whether a file fits          listed        calls as the API told them, and what waits
//! complete   figures over both                        (this file)   what the topics have, and how far that reaches
//! ```

mod complete;
mod file;
mod listed;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

pub use complete::{Completeness, Incomplete, OfStage};
pub use listed::{Bookmark, Listed, Scans, Why};

use super::error::is_damage;
use super::place;
use crate::event::{Stage, Stages};
use crate::time::Timestamp;

/// The ledger, open to be filled by the one process that has the journal.
pub struct Ledger {
    conn: Connection,
}

/// A record that was found on a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The call.
    pub call_id: String,
    /// Which of its events.
    pub stage: Stage,
    /// Whether reconciliation made it.
    pub is_reconciled: bool,
    /// The record's timestamp.
    pub at: Timestamp,
}

/// What the topics have of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Events that a webhook brought.
    pub webhook: Stages,
    /// Events that reconciliation made.
    pub reconciled: Stages,
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    /// The topic's whole name.
    pub topic: String,
    /// The partition.
    pub number: i32,
}

/// How far a partition was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The first offset that was not.
    pub next: i64,
    /// From when on everything is known.
    pub reach: Reach,
}

/// From when on everything is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// From the beginning.
    Everything,
    /// What was published before may have been deleted before it was read.
    Since(Timestamp),
}

/// Why the ledger could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file system refused.
    #[error("cannot prepare the ledger {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("cannot use the ledger of what the topics have")]
    Sqlite(#[from] rusqlite::Error),
}

impl LedgerError {
    /// Whether the file's content is at fault, so that it should be filled anew.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Sqlite(error) if is_damage(error))
    }
}

/// The ledger's file, beside its journal.
pub fn path_beside(journal: &Path) -> PathBuf {
    place::beside(journal, ".ledger.db")
}

/// How long it keeps what it knows: as long as the journal keeps ids.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

impl Held {
    /// Those that it has, from wherever.
    pub fn all(self) -> Stages {
        self.webhook.and(self.reconciled)
    }
}

impl Ledger {
    /// Opens the ledger of the journal at that path; begins a new one when there is none that fits.
    ///
    /// # Errors
    ///
    /// When disk or SQLite refuse.
    pub fn open(journal: &Path) -> Result<Self, LedgerError> {
        let path = path_beside(journal);
        if let Ok(Some(conn)) = file::reopen(&path) {
            return Ok(Self { conn });
        }
        file::remove(&path)?;
        let conn = file::create(&path)?;
        Ok(Self { conn })
    }

    /// Drops what there is and begins a new one: what a damaged one knew can be read and asked for again.
    ///
    /// # Errors
    ///
    /// As [`Ledger::open`].
    pub fn begin_anew(&mut self, journal: &Path) -> Result<(), LedgerError> {
        // The file is let go of before it is removed.
        self.conn = Connection::open_in_memory()?;
        let path = path_beside(journal);
        file::remove(&path)?;
        self.conn = file::create(&path)?;
        Ok(())
    }

    /// One in memory that begins with what the file of that journal has: for whoever only wants to know.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn in_memory(journal: &Path) -> Result<Self, LedgerError> {
        let conn = file::copy_in_memory(&path_beside(journal))?;
        Ok(Self { conn })
    }

    /// The file to read, beside a process that fills it; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn open_to_read(journal: &Path) -> Result<Option<Self>, LedgerError> {
        let conn = file::open_to_read(&path_beside(journal))?;
        Ok(conn.map(|conn| Self { conn }))
    }

    /// Makes sure that it is about this cluster: what it knows of another one is forgotten.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn be_about(&mut self, cluster: &str) -> Result<(), LedgerError> {
        let tx = self.write()?;
        let known: Option<String> =
            tx.query_row("SELECT cluster FROM state", [], |row| row.get(0))?;
        if known.as_deref() != Some(cluster) {
            if known.is_some() {
                tracing::warn!(
                    "reconciliation: another Kafka cluster; what the ledger knew is forgotten"
                );
                tx.execute_batch("DELETE FROM place; DELETE FROM held;")?;
            }
            tx.execute("UPDATE state SET cluster = ?1", [cluster])?;
        }
        tx.commit()?;
        Ok(())
    }

    /// How far each partition was read.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn places(&self) -> Result<BTreeMap<Partition, Place>, LedgerError> {
        let mut select = self
            .conn
            .prepare_cached("SELECT topic, partition, next, reach_ms FROM place")?;
        let rows = select.query_map([], |row| {
            let partition = Partition {
                topic: row.get(0)?,
                number: row.get(1)?,
            };
            let reach_ms: Option<i64> = row.get(3)?;
            let place = Place {
                next: row.get(2)?,
                reach: reach_ms.map_or(Reach::Everything, |ms| {
                    Reach::Since(Timestamp::from_unix_ms(ms))
                }),
            };
            Ok((partition, place))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds what was found, and how far that was read: both or neither.
    ///
    /// # Errors
    ///
    /// When SQLite refuses: nothing was added.
    pub fn add(
        &mut self,
        found: &[Found],
        places: &BTreeMap<Partition, Place>,
    ) -> Result<(), LedgerError> {
        let tx = self.write()?;
        {
            let mut hold = tx.prepare_cached(
                "INSERT INTO held VALUES (?1, ?2, ?3, ?4) ON CONFLICT(call) DO UPDATE SET
                    webhook = webhook | excluded.webhook, reconciled = reconciled | excluded.reconciled,
                    at_ms = max(at_ms, excluded.at_ms)",
            )?;
            for one in found {
                let stage = Stages::NONE.with(one.stage).bits();
                let (webhook, reconciled) = match one.is_reconciled {
                    false => (stage, 0),
                    true => (0, stage),
                };
                hold.execute(params![one.call_id, webhook, reconciled, one.at.unix_ms()])?;
            }
            let mut come =
                tx.prepare_cached("INSERT OR REPLACE INTO place VALUES (?1, ?2, ?3, ?4)")?;
            for (partition, place) in places {
                let reach_ms = match place.reach {
                    Reach::Everything => None,
                    Reach::Since(at) => Some(at.unix_ms()),
                };
                come.execute(params![
                    partition.topic,
                    partition.number,
                    place.next,
                    reach_ms
                ])?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// From when on it knows everything that these topics have had.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn reach(&self, topics: &[String], now: Timestamp) -> Result<Reach, LedgerError> {
        let places = self.places()?;
        let of_topics = places
            .iter()
            .filter(|(partition, _)| topics.contains(&partition.topic));
        let read = of_topics.map(|(_, place)| place.reach).max();
        let read = read.unwrap_or(Reach::Since(now));
        let forgotten = self
            .conn
            .query_row("SELECT forgotten_ms FROM state", [], |row| {
                row.get::<_, Option<i64>>(0)
            })?;
        let forgotten = forgotten.map(|ms| Reach::Since(Timestamp::from_unix_ms(ms)));
        Ok(forgotten.map_or(read, |forgotten| forgotten.max(read)))
    }

    /// What the topics have of a call.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn held(&self, call_id: &str) -> Result<Held, LedgerError> {
        let mut select = self
            .conn
            .prepare_cached("SELECT webhook, reconciled FROM held WHERE call = ?1")?;
        let held = select.query_row([call_id], |row| {
            Ok(Held {
                webhook: Stages::of_bits(row.get(0)?),
                reconciled: Stages::of_bits(row.get(1)?),
            })
        });
        Ok(held.optional()?.unwrap_or_default())
    }

    /// Gives each event that reconciliation made to `each`, whoever did.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn each_reconciled(&self, mut each: impl FnMut(&str, Stage)) -> Result<(), LedgerError> {
        let mut page = self.conn.prepare_cached(
            "SELECT call, reconciled FROM held WHERE reconciled <> 0 AND call > ?1 ORDER BY call LIMIT ?2",
        )?;
        let mut last = String::new();
        loop {
            let calls = page.query_map(params![last, CHUNK_ROWS], |row| {
                Ok((row.get::<_, String>(0)?, Stages::of_bits(row.get(1)?)))
            })?;
            let calls = calls.collect::<Result<Vec<_>, _>>()?;
            for (call_id, stages) in &calls {
                stages.iter().for_each(|stage| each(call_id, stage));
            }
            match calls.into_iter().last() {
                Some((call_id, _)) => last = call_id,
                None => return Ok(()),
            }
        }
    }

    /// Forgets some of what is older than it keeps. Whether there may be more.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn forget_old(&mut self, now: Timestamp) -> Result<bool, LedgerError> {
        let before = kept_since(now).unix_ms();
        let tx = self.write()?;
        let held = tx.execute(
            "DELETE FROM held WHERE call IN (SELECT call FROM held WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)",
            params![before, CHUNK_ROWS],
        )?;
        let listed = tx.execute(
            "DELETE FROM listed WHERE call IN (SELECT call FROM listed WHERE seen_ms < ?1 ORDER BY seen_ms LIMIT ?2)",
            params![before, CHUNK_ROWS],
        )?;
        if held > 0 {
            tx.execute("UPDATE state SET forgotten_ms = ?1", [before])?;
        }
        tx.execute("DELETE FROM bookmark WHERE at_ms < ?1", [before])?;
        tx.commit()?;
        let most = usize::try_from(CHUNK_ROWS).unwrap_or(usize::MAX);
        Ok(held.max(listed) >= most)
    }

    fn write(&mut self) -> rusqlite::Result<rusqlite::Transaction<'_>> {
        self.conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
    }
}

/// What is younger is kept.
fn kept_since(now: Timestamp) -> Timestamp {
    let kept_ms = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(now.unix_ms().saturating_sub(kept_ms))
}

const CHUNK_ROWS: i64 = 1000;
