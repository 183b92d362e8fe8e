//! What search needs and the journal does not keep: call, agent and type of each delivery, in a file of its own beside it.
//!
//! The journal's writer pays nothing for it: another thread fills the index, in the order of arrival, from what is in the
//! journal already, and says how far it has come. Nothing here is the truth. A file that does not fit the journal, is
//! damaged, or was written before the machine was started anew (it is written without fsync) is dropped and filled
//! again. Beside the deliveries it holds what came of each minute, for the console's chart.

mod file;
mod minutes;
mod query;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use uuid::Uuid;

pub use minutes::Minute;
pub use query::{Fault, Found, Page, Place, Query, Search};

use super::error::is_damage;
use super::place;
use crate::time::Timestamp;

/// The index, open to be filled: by one thread of the process that has the journal.
pub struct Index {
    conn: Connection,
    words: HashMap<String, i64>,
    next_seq: u64,
}

/// What is known of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the order of arrival.
    pub seq: u64,
    /// When its body was complete.
    pub received_at: Timestamp,
    /// The webhook's name.
    pub webhook: String,
    /// What its body says, as far as there is one that can be read.
    pub told: Option<Told>,
    /// Why it is no event.
    pub fault: Option<Fault>,
}

/// What a body says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The call.
    pub call_id: String,
    /// The agent that held it.
    pub agent_id: Option<String>,
    /// The event's type.
    pub event_type: String,
}

/// A delivery that Kafka, or nothing at all, took as an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the order of arrival.
    pub seq: u64,
    /// Its place in the order of publishing: a replay gets another, for which this says nothing.
    pub out_seq: u64,
    /// A stable word.
    pub reason: String,
}

/// Why the index could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The file system refused.
    #[error("cannot prepare the search index {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("cannot use the search index")]
    Sqlite(#[from] rusqlite::Error),
}

impl SearchError {
    /// Whether the file's content is at fault, so that it should be filled anew.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Sqlite(error) if is_damage(error))
    }
}

/// The index's file, beside its journal.
pub fn path_beside(journal: &Path) -> PathBuf {
    place::beside(journal, ".search.db")
}

impl Index {
    /// Opens the index of the journal at that path and of that name; begins a new one when there is none that fits.
    ///
    /// # Errors
    ///
    /// When disk or SQLite refuse.
    pub fn open(journal: &Path, uuid: Uuid) -> Result<Self, SearchError> {
        let path = path_beside(journal);
        let stamp = file::Stamp::of(uuid);
        if let Ok(Some(conn)) = file::reopen(&path, &stamp) {
            return Self::of(conn);
        }
        file::remove(&path)?;
        Self::of(file::create(&path, &stamp)?)
    }

    /// Drops what there is and begins a new one.
    ///
    /// # Errors
    ///
    /// As [`Index::open`].
    pub fn begin_anew(self, journal: &Path, uuid: Uuid) -> Result<Self, SearchError> {
        drop(self);
        file::remove(&path_beside(journal))?;
        Self::open(journal, uuid)
    }

    fn of(conn: Connection) -> Result<Self, SearchError> {
        let next_seq = conn.query_row("SELECT next_seq FROM state", [], |row| row.get::<_, i64>(0));
        let next_seq = next_seq?.cast_unsigned();
        Ok(Self {
            conn,
            words: HashMap::new(),
            next_seq,
        })
    }

    /// The first sequence that is not in it.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The newest delivery in it, to be compared with the journal's.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn newest(&self) -> Result<Option<(u64, Timestamp)>, SearchError> {
        let newest = "SELECT seq, received_ms FROM entry ORDER BY seq DESC LIMIT 1";
        let newest = self.conn.query_row(newest, [], |row| {
            Ok((
                row.get::<_, i64>(0)?.cast_unsigned(),
                Timestamp::from_unix_ms(row.get(1)?),
            ))
        });
        Ok(newest.optional()?)
    }

    /// Adds deliveries; everything below `next_seq` is in it then, as far as it can be read.
    ///
    /// # Errors
    ///
    /// When SQLite refuses: none was added.
    pub fn add(&mut self, entries: &[Entry], next_seq: u64) -> Result<(), SearchError> {
        self.forget_many_words();
        let Self { conn, words, .. } = self;
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = tx.prepare_cached(
                "INSERT OR REPLACE INTO entry(seq, received_ms, webhook, type, agent, call, fault, fault_out_seq)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            for entry in entries {
                let (told, fault) = (entry.told.as_ref(), entry.fault.as_ref());
                let agent = told.and_then(|told| told.agent_id.as_deref());
                insert.execute(params![
                    entry.seq.cast_signed(),
                    entry.received_at.unix_ms(),
                    word(&tx, words, Some(&entry.webhook))?,
                    word(&tx, words, told.map(|told| told.event_type.as_str()))?,
                    word(&tx, words, agent)?,
                    told.map(|told| clipped(&told.call_id)),
                    word(&tx, words, fault.map(|fault| fault.reason.as_str()))?,
                    fault.and_then(|fault| fault.out_seq).map(u64::cast_signed),
                ])?;
            }
            let mut come = tx.prepare_cached("UPDATE state SET next_seq = ?1")?;
            come.execute([next_seq.cast_signed()])?;
        }
        tx.commit()?;
        self.next_seq = next_seq;
        Ok(())
    }

    /// Remembers what was refused; of what is not in the index yet, nothing.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn refuse(&mut self, refused: &[Refused]) -> Result<(), SearchError> {
        let Self { conn, words, .. } = self;
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for one in refused {
            let reason = word(&tx, words, Some(&one.reason))?;
            tx.execute(
                "UPDATE entry SET fault = ?1, fault_out_seq = ?2 WHERE seq = ?3",
                params![reason, one.out_seq.cast_signed(), one.seq.cast_signed()],
            )?;
        }
        tx.commit()?;
        Ok(())
    }

    /// What is remembered as refused, some of it, the oldest first.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn refused(&self) -> Result<Vec<Refused>, SearchError> {
        let mut select = self.conn.prepare_cached(
            "SELECT e.seq, e.fault_out_seq, w.text FROM entry e INDEXED BY by_fault JOIN word w ON w.n = e.fault
             WHERE e.fault IS NOT NULL AND e.fault_out_seq IS NOT NULL ORDER BY e.received_ms LIMIT ?1",
        )?;
        let rows = select.query_map([CHUNK_ROWS], |row| {
            Ok(Refused {
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                out_seq: row.get::<_, i64>(1)?.cast_unsigned(),
                reason: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets that these were refused, since they were replayed.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn forgive(&mut self, replayed: &[Refused]) -> Result<(), SearchError> {
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for one in replayed {
            tx.execute(
                "UPDATE entry SET fault = NULL, fault_out_seq = NULL WHERE seq = ?1 AND fault_out_seq = ?2",
                params![one.seq.cast_signed(), one.out_seq.cast_signed()],
            )?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Forgets some of what the journal has forgotten: everything below its first sequence. Whether there may be more.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn forget_below(&mut self, first_seq: u64) -> Result<bool, SearchError> {
        let gone = self.conn.execute(
            "DELETE FROM entry WHERE seq IN (SELECT seq FROM entry WHERE seq < ?1 ORDER BY seq LIMIT ?2)",
            params![first_seq.cast_signed(), CHUNK_ROWS],
        )?;
        Ok(i64::try_from(gone) == Ok(CHUNK_ROWS))
    }

    /// A sender may make up as many as it likes; memory does not grow with them.
    fn forget_many_words(&mut self) {
        if self.words.len() > MOST_WORDS {
            self.words.clear();
        }
    }
}

/// The number of a word that many deliveries share.
fn word(
    conn: &Connection,
    words: &mut HashMap<String, i64>,
    text: Option<&str>,
) -> rusqlite::Result<Option<i64>> {
    let Some(text) = text.map(clipped) else {
        return Ok(None);
    };
    if let Some(n) = words.get(text) {
        return Ok(Some(*n));
    }
    conn.prepare_cached("INSERT OR IGNORE INTO word(text) VALUES (?1)")?
        .execute([text])?;
    let n = conn
        .prepare_cached("SELECT n FROM word WHERE text = ?1")?
        .query_row([text], |row| row.get(0))?;
    words.insert(text.to_owned(), n);
    Ok(Some(n))
}

/// What is looked up is cut alike, so that it is found.
fn clipped(text: &str) -> &str {
    let end = (0..=CLIPPED_BYTES.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// The sender's own have 26 and 24; the index is not made large by others.
const CLIPPED_BYTES: usize = 200;
const MOST_WORDS: usize = 10_000;
const CHUNK_ROWS: i64 = 1000;
