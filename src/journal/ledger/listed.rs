//! Calls as the API told them: what was seen of each, what is expected, what waits and until when.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Ledger, LedgerError};
use crate::event::Stages;
use crate::time::Timestamp;

/// A call as the API told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The call.
    pub call_id: String,
    /// The agent that holds it, if that is known.
    pub agent_id: Option<String>,
    /// How it stood, in the API's word.
    pub status: String,
    /// How often it had been tried again.
    pub retry_count: u64,
    /// When it was made or queued.
    pub created_at: Timestamp,
    /// When it ended, as far as that is known; `None` while it goes on.
    pub ended_at: Option<Timestamp>,
    /// Which events its agent subscribes to; `None` while the agent is not known.
    pub expected: Option<Stages>,
    /// What reconciliation has put into the journal.
    pub filled: Stages,
    /// The scan that saw it as it is; `None` if none did.
    pub scan: Option<i64>,
    /// When it is looked at again; `None`: not for its own sake.
    pub next_at: Option<Timestamp>,
    /// How often the API was asked about it in vain.
    pub asked: u32,
    /// Why something is missing, or may be.
    pub why: Option<Why>,
    /// The row of the list, while it may be needed.
    pub row: Option<String>,
}

/// Why an event of a call that has ended is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// It may come by itself yet.
    Settling,
    /// The API was asked and has no evaluation yet.
    NoAnalyticsYet,
    /// The API never had an evaluation, as long as it was asked.
    NoAnalytics,
    /// The API does not know the call any more.
    Unknown,
    /// The API refuses to tell of it.
    Refused,
    /// It is in the journal, on its way.
    OnItsWay,
}

/// Which scans there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scans {
    /// The last that was begun.
    pub begun: i64,
    /// The last that came to its end.
    pub completed: i64,
    /// When that was.
    pub completed_at: Option<Timestamp>,
    /// When one that looked at everything of the last day came to its end.
    pub whole_at: Option<Timestamp>,
}

/// How far a run over a span of time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bookmark {
    /// The first moment of the span.
    pub since: Timestamp,
    /// The first moment behind it.
    pub until: Timestamp,
    /// The page that is next.
    pub page: u32,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Settling,
        Self::NoAnalyticsYet,
        Self::NoAnalytics,
        Self::Unknown,
        Self::Refused,
        Self::OnItsWay,
    ];

    /// The word for it, in figures and listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::NoAnalyticsYet => "no-analytics-yet",
            Self::NoAnalytics => "no-analytics",
            Self::Unknown => "unknown-to-api",
            Self::Refused => "api-refuses",
            Self::OnItsWay => "on-its-way",
        }
    }

    /// What it means, for people.
    pub fn told(self) -> &'static str {
        match self {
            Self::Settling => "may come by itself yet",
            Self::NoAnalyticsYet => "Atoms has no evaluation yet; it is asked again",
            Self::NoAnalytics => "Atoms has no evaluation of it; given up",
            Self::Unknown => "Atoms does not know the call any more",
            Self::Refused => "Atoms refuses to tell of it",
            Self::OnItsWay => "fetched, and on its way to Kafka",
        }
    }

    /// Whether nothing more is done about it.
    pub fn is_final(self) -> bool {
        match self {
            Self::NoAnalytics | Self::Unknown | Self::Refused => true,
            Self::Settling | Self::NoAnalyticsYet | Self::OnItsWay => false,
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.word() == word)
    }
}

impl Ledger {
    /// What is known of a listed call.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn listed(&self, call_id: &str) -> Result<Option<Listed>, LedgerError> {
        let mut select = self
            .conn
            .prepare_cached(&format!("SELECT {FIELDS} FROM listed WHERE call = ?1"))?;
        Ok(select.query_row([call_id], read).optional()?)
    }

    /// Remembers calls as they are told now: all or none.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn list(&mut self, calls: &[Listed], now: Timestamp) -> Result<(), LedgerError> {
        let tx = self.write()?;
        for call in calls {
            write(&tx, call, now)?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Calls whose time has come, the longest due first.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Listed>, LedgerError> {
        let mut select = self.conn.prepare_cached(&format!(
            "SELECT {FIELDS} FROM listed WHERE next_ms <= ?1 ORDER BY next_ms LIMIT ?2"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = select.query_map(params![now.unix_ms(), limit], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many calls wait for their time.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn waiting(&self) -> Result<u64, LedgerError> {
        let count = "SELECT count(*) FROM listed WHERE next_ms IS NOT NULL";
        let count = self.conn.query_row(count, [], |row| row.get::<_, i64>(0))?;
        Ok(count.unsigned_abs())
    }

    /// Which scans there were.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn scans(&self) -> Result<Scans, LedgerError> {
        let select = "SELECT begun_scan, completed_scan, completed_ms, whole_ms FROM state";
        let scans = self.conn.query_row(select, [], |row| {
            let moment = |at| -> rusqlite::Result<Option<Timestamp>> {
                let ms: Option<i64> = row.get(at)?;
                Ok(ms.map(Timestamp::from_unix_ms))
            };
            Ok(Scans {
                begun: row.get(0)?,
                completed: row.get(1)?,
                completed_at: moment(2)?,
                whole_at: moment(3)?,
            })
        });
        Ok(scans?)
    }

    /// Begins a scan and gives back its number.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn begin_scan(&mut self) -> Result<i64, LedgerError> {
        let begin = "UPDATE state SET begun_scan = begun_scan + 1 RETURNING begun_scan";
        Ok(self.conn.query_row(begin, [], |row| row.get(0))?)
    }

    /// A scan has come to its end: what it and those before it saw is known from now on.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn complete_scan(&mut self, number: i64, now: Timestamp) -> Result<(), LedgerError> {
        let complete = "UPDATE state SET completed_scan = ?1, completed_ms = ?2";
        self.conn
            .execute(complete, params![number, now.unix_ms()])?;
        Ok(())
    }

    /// A scan that looked at everything of the last day has come to its end.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn complete_whole_scan(&mut self, number: i64, now: Timestamp) -> Result<(), LedgerError> {
        self.complete_scan(number, now)?;
        let whole = "UPDATE state SET whole_ms = ?1";
        self.conn.execute(whole, [now.unix_ms()])?;
        Ok(())
    }

    /// Where a run over that span of time was left.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn bookmark(
        &self,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Bookmark>, LedgerError> {
        let select = "SELECT page FROM bookmark WHERE since_ms = ?1 AND until_ms = ?2";
        let span = [since.unix_ms(), until.unix_ms()];
        let page = self.conn.query_row(select, span, |row| row.get(0));
        Ok(page.optional()?.map(|page| Bookmark { since, until, page }))
    }

    /// Remembers how far a run has come.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn mark(&mut self, bookmark: Bookmark, now: Timestamp) -> Result<(), LedgerError> {
        let Bookmark { since, until, page } = bookmark;
        self.conn.execute(
            "INSERT OR REPLACE INTO bookmark VALUES (?1, ?2, ?3, ?4)",
            params![since.unix_ms(), until.unix_ms(), page, now.unix_ms()],
        )?;
        Ok(())
    }

    /// A run has come to its end.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn unmark(&mut self, since: Timestamp, until: Timestamp) -> Result<(), LedgerError> {
        self.conn.execute(
            "DELETE FROM bookmark WHERE since_ms = ?1 AND until_ms = ?2",
            [since.unix_ms(), until.unix_ms()],
        )?;
        Ok(())
    }
}

fn write(conn: &Connection, call: &Listed, now: Timestamp) -> rusqlite::Result<()> {
    let ms = |moment: Option<Timestamp>| moment.map(Timestamp::unix_ms);
    conn.prepare_cached(&format!(
        "INSERT OR REPLACE INTO listed({FIELDS}, seen_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    ))?
    .execute(params![
        call.call_id,
        call.agent_id,
        call.status,
        call.retry_count.cast_signed(),
        call.created_at.unix_ms(),
        ms(call.ended_at),
        call.expected.map(Stages::bits),
        call.filled.bits(),
        call.scan,
        ms(call.next_at),
        call.asked,
        call.why.map(Why::word),
        call.row,
        now.unix_ms(),
    ])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let moment = |at| -> rusqlite::Result<Option<Timestamp>> {
        let ms: Option<i64> = row.get(at)?;
        Ok(ms.map(Timestamp::from_unix_ms))
    };
    let expected: Option<u8> = row.get(6)?;
    let why: Option<String> = row.get(11)?;
    Ok(Listed {
        call_id: row.get(0)?,
        agent_id: row.get(1)?,
        status: row.get(2)?,
        retry_count: row.get::<_, i64>(3)?.cast_unsigned(),
        created_at: Timestamp::from_unix_ms(row.get(4)?),
        ended_at: moment(5)?,
        expected: expected.map(Stages::of_bits),
        filled: Stages::of_bits(row.get(7)?),
        scan: row.get(8)?,
        next_at: moment(9)?,
        asked: row.get(10)?,
        why: why.and_then(|word| Why::of_word(&word)),
        row: row.get(12)?,
    })
}

/// What [`read`] reads and [`write`] writes.
const FIELDS: &str = "call, agent, status, tries_listed, created_ms, ended_ms, expected, filled, scan, next_ms, asked, why, row";
