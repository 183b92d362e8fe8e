//! Looks deliveries up in the index: the newest first, page by page, and never for long.
//!
//! A page ends when it is full or when its time is up, whichever comes first, and says where to go on. So no
//! question, however odd, holds a read transaction for longer than [`BUDGET`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{SearchError, clipped, file, path_beside};
use crate::time::Timestamp;

/// The index, open to be searched.
pub struct Search {
    pub(super) conn: Connection,
    words: RefCell<HashMap<i64, String>>,
}

/// What is looked for; everything that is said must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Of this call.
    pub call: Option<String>,
    /// Of this agent.
    pub agent: Option<String>,
    /// Of this type.
    pub event_type: Option<String>,
    /// To this webhook.
    pub webhook: Option<String>,
    /// Only what is, or was once, no event.
    pub faulty: bool,
    /// Received at this moment or later.
    pub since: Option<Timestamp>,
    /// Received before this moment.
    pub until: Option<Timestamp>,
}

/// A place in the order of receipt; a page begins behind one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// When the delivery there was received.
    pub received_at: Timestamp,
    /// Its sequence.
    pub seq: u64,
}

/// A delivery that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its place in the order of arrival.
    pub seq: u64,
    /// When its body was complete.
    pub received_at: Timestamp,
    /// The webhook's name.
    pub webhook: String,
    /// The event's type.
    pub event_type: Option<String>,
    /// The agent.
    pub agent_id: Option<String>,
    /// The call.
    pub call_id: Option<String>,
    /// Why it is no event.
    pub fault: Option<Fault>,
}

/// Why a delivery is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A stable word.
    pub reason: String,
    /// The place in the order of publishing that this is about; `None` when its body is at fault.
    pub out_seq: Option<u64>,
}

/// Some of what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The newest first.
    pub found: Vec<Found>,
    /// Where to go on; `None` at the end.
    pub next: Option<Place>,
    /// Whether time was up before the page was full.
    pub cut_short: bool,
}

impl Search {
    /// Opens the index of the journal at that path; `None` when there is none yet.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn open(journal: &Path) -> Result<Option<Self>, SearchError> {
        let conn = file::open_to_read(&path_beside(journal))?;
        Ok(conn.map(|conn| Self {
            conn,
            words: RefCell::default(),
        }))
    }

    /// The first sequence that is not in it.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn next_seq(&self) -> Result<u64, SearchError> {
        let next = self
            .conn
            .query_row("SELECT next_seq FROM state", [], |row| row.get::<_, i64>(0));
        Ok(next?.cast_unsigned())
    }

    /// One delivery.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn one(&self, seq: u64) -> Result<Option<Found>, SearchError> {
        let mut select = self
            .conn
            .prepare_cached(&format!("SELECT {FIELDS} FROM entry WHERE seq = ?1"))?;
        let found = select.query_row([seq.cast_signed()], |row| self.read(row));
        Ok(found.optional()?)
    }

    /// A page of what fits and is accepted, behind a place.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn find(
        &self,
        query: &Query,
        behind: Option<Place>,
        limit: usize,
        mut accept: impl FnMut(&Found) -> bool,
    ) -> Result<Page, SearchError> {
        let Some(asked) = self.ask(query)? else {
            return Ok(Page::default());
        };
        let began = Instant::now();
        let mut select = self.conn.prepare_cached(&asked.sql())?;
        let (below_ms, below_seq) = first_place(query, behind);
        let mut rows = select.query(named_params! {
            ":value": asked.value,
            ":since": query.since.map_or(i64::MIN, Timestamp::unix_ms),
            ":below_ms": below_ms,
            ":below_seq": below_seq,
        })?;
        let mut page = Page::default();
        while let Some(row) = rows.next()? {
            let place = Place {
                received_at: Timestamp::from_unix_ms(row.get("received_ms")?),
                seq: row.get::<_, i64>("seq")?.cast_unsigned(),
            };
            if page.found.len() >= limit {
                return Ok(page);
            }
            page.next = Some(place);
            if asked.fits(row)? {
                let found = self.read(row)?;
                if accept(&found) {
                    page.found.push(found);
                }
            }
            if began.elapsed() > BUDGET {
                page.cut_short = true;
                return Ok(page);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// The words of a query as numbers; `None` when one of them was never seen, and so nothing can fit.
    fn ask<'q>(&self, query: &'q Query) -> Result<Option<Asked<'q>>, SearchError> {
        let mut unknown = false;
        let mut number = |text: &Option<String>| -> Result<Option<i64>, SearchError> {
            let Some(text) = text else { return Ok(None) };
            let n = self
                .conn
                .prepare_cached("SELECT n FROM word WHERE text = ?1")?
                .query_row([clipped(text)], |row| row.get(0))
                .optional()?;
            unknown |= n.is_none();
            Ok(n)
        };
        let (agent, kind, webhook) = (
            number(&query.agent)?,
            number(&query.event_type)?,
            number(&query.webhook)?,
        );
        let call = query.call.as_deref().map(clipped);
        let by = |name, column, n: Option<i64>| n.map(|n| (name, column, n.into()));
        let (index, column, value) = call
            .map(|call| ("by_call", Some("call"), call.to_owned().into()))
            .or(query
                .faulty
                .then_some(("by_fault", None, rusqlite::types::Value::Null)))
            .or(by("by_agent", Some("agent"), agent))
            .or(by("by_type", Some("type"), kind))
            .unwrap_or(("by_time", None, rusqlite::types::Value::Null));
        let asked = Asked {
            index,
            column,
            value,
            call,
            agent,
            kind,
            webhook,
            faulty: query.faulty,
        };
        Ok((!unknown).then_some(asked))
    }

    fn read(&self, row: &Row<'_>) -> rusqlite::Result<Found> {
        let word = |column: &str| -> rusqlite::Result<Option<String>> {
            let n: Option<i64> = row.get(column)?;
            n.map(|n| self.word(n)).transpose()
        };
        let out_seq: Option<i64> = row.get("fault_out_seq")?;
        Ok(Found {
            seq: row.get::<_, i64>("seq")?.cast_unsigned(),
            received_at: Timestamp::from_unix_ms(row.get("received_ms")?),
            webhook: word("webhook")?.unwrap_or_default(),
            event_type: word("type")?,
            agent_id: word("agent")?,
            call_id: row.get("call")?,
            fault: word("fault")?.map(|reason| Fault {
                reason,
                out_seq: out_seq.map(i64::cast_unsigned),
            }),
        })
    }

    fn word(&self, n: i64) -> rusqlite::Result<String> {
        if let Some(text) = self.words.borrow().get(&n) {
            return Ok(text.clone());
        }
        let text: String = self
            .conn
            .prepare_cached("SELECT text FROM word WHERE n = ?1")?
            .query_row([n], |row| row.get(0))?;
        self.words.borrow_mut().insert(n, text.clone());
        Ok(text)
    }
}

/// A query in the index's own terms: one of its indexes leads, the rest is looked at row by row.
struct Asked<'q> {
    index: &'static str,
    column: Option<&'static str>,
    value: rusqlite::types::Value,
    call: Option<&'q str>,
    agent: Option<i64>,
    kind: Option<i64>,
    webhook: Option<i64>,
    faulty: bool,
}

impl Asked<'_> {
    fn sql(&self) -> String {
        let leads = match (self.column, self.faulty) {
            (Some(column), _) => format!("{column} = :value"),
            (None, true) => "fault IS NOT NULL AND :value IS NULL".to_owned(),
            (None, false) => ":value IS NULL".to_owned(),
        };
        format!(
            "SELECT {FIELDS} FROM entry INDEXED BY {} WHERE {leads}
               AND received_ms >= :since AND (received_ms, seq) < (:below_ms, :below_seq)
             ORDER BY received_ms DESC, seq DESC",
            self.index
        )
    }

    fn fits(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let is = |column: &str, wanted: Option<i64>| -> rusqlite::Result<bool> {
            Ok(wanted.is_none() || row.get::<_, Option<i64>>(column)? == wanted)
        };
        let call = match self.call {
            Some(call) => row.get_ref("call")?.as_str_or_null()? == Some(call),
            None => true,
        };
        let faulty = !self.faulty || row.get::<_, Option<i64>>("fault")?.is_some();
        Ok(call
            && faulty
            && is("agent", self.agent)?
            && is("type", self.kind)?
            && is("webhook", self.webhook)?)
    }
}

/// Below which place to look.
fn first_place(query: &Query, behind: Option<Place>) -> (i64, i64) {
    let until = query.until.map_or((i64::MAX, 0), |at| (at.unix_ms(), 0));
    let behind = behind.map_or((i64::MAX, 0), |place| {
        (place.received_at.unix_ms(), place.seq.cast_signed())
    });
    until.min(behind)
}

const FIELDS: &str = "seq, received_ms, webhook, type, agent, call, fault, fault_out_seq";
/// How long a page may look.
const BUDGET: Duration = Duration::from_millis(40);
