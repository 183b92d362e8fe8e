//! Completeness in figures: of the calls that ended in a span of time, how many have which events, and which lack some
//! and why.

use rusqlite::params;

use super::{Held, Ledger, LedgerError, Why};
use crate::event::{Stage, Stages};
use crate::time::Timestamp;

/// The calls that ended in a span of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completeness {
    /// How many, of agents whose events are expected.
    pub ended: u64,
    /// Of these, how many have everything that is expected.
    pub complete: u64,
    /// For each stage, in order.
    pub stages: [OfStage; 3],
    /// Missing events by stage and reason, where there are any.
    pub missing: Vec<(Stage, Why, u64)>,
}

/// One stage of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OfStage {
    /// How many calls should have it.
    pub expected: u64,
    /// How many have it from a webhook.
    pub webhook: u64,
    /// How many have it from reconciliation alone.
    pub reconciled: u64,
}

/// A call that lacks something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// The call.
    pub call_id: String,
    /// The agent that held it.
    pub agent_id: Option<String>,
    /// When it ended, as far as that is known.
    pub ended_at: Timestamp,
    /// What it lacks.
    pub missing: Stages,
    /// Why.
    pub why: Why,
    /// When it is looked at again.
    pub next_at: Option<Timestamp>,
}

/// One call that has ended.
struct Ended {
    call_id: String,
    agent_id: Option<String>,
    ended_at: Timestamp,
    expected: Stages,
    filled: Stages,
    held: Held,
    why: Option<Why>,
    next_at: Option<Timestamp>,
}

impl Ended {
    fn missing(&self) -> Stages {
        self.expected.but(self.held.all())
    }

    /// Why a stage is missing; of what was fetched, that it is on its way.
    fn why(&self, stage: Stage) -> Why {
        if self.filled.contains(stage) {
            return Why::OnItsWay;
        }
        self.why.unwrap_or(Why::Settling)
    }
}

impl Ledger {
    /// Figures of the calls that ended since a moment.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn completeness(&self, since: Timestamp) -> Result<Completeness, LedgerError> {
        let mut told = Completeness::default();
        self.each_ended(since, |call| {
            told.ended += 1;
            let missing = call.missing();
            told.complete += u64::from(missing.is_empty());
            for (stage, figures) in Stage::ALL.into_iter().zip(&mut told.stages) {
                if !call.expected.contains(stage) {
                    continue;
                }
                figures.expected += 1;
                if call.held.webhook.contains(stage) {
                    figures.webhook += 1;
                } else if call.held.reconciled.contains(stage) {
                    figures.reconciled += 1;
                }
            }
            for stage in missing.iter() {
                let why = call.why(stage);
                let known = told
                    .missing
                    .iter_mut()
                    .find(|(of, because, _)| *of == stage && *because == why);
                match known {
                    Some((_, _, count)) => *count += 1,
                    None => told.missing.push((stage, why, 1)),
                }
            }
            true
        })?;
        Ok(told)
    }

    /// Calls that ended since a moment and lack something, the newest first.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn incomplete(
        &self,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<Incomplete>, LedgerError> {
        let mut found = Vec::new();
        self.each_ended(since, |call| {
            let missing = call.missing();
            if let Some(stage) = missing.iter().last() {
                found.push(Incomplete {
                    why: call.why(stage),
                    call_id: call.call_id,
                    agent_id: call.agent_id,
                    ended_at: call.ended_at,
                    missing,
                    next_at: call.next_at,
                });
            }
            found.len() < limit
        })?;
        Ok(found)
    }

    /// The newest first, until `each` has enough.
    fn each_ended(
        &self,
        since: Timestamp,
        mut each: impl FnMut(Ended) -> bool,
    ) -> Result<(), LedgerError> {
        let mut select = self.conn.prepare_cached(
            "SELECT l.call, l.agent, l.ended_ms, l.expected, l.filled, l.why, l.next_ms,
                    coalesce(h.webhook, 0), coalesce(h.reconciled, 0)
             FROM listed l LEFT JOIN held h ON h.call = l.call
             WHERE l.ended_ms >= ?1 AND l.expected <> 0 ORDER BY l.ended_ms DESC",
        )?;
        let mut rows = select.query(params![since.unix_ms()])?;
        while let Some(row) = rows.next()? {
            let why: Option<String> = row.get(5)?;
            let next_ms: Option<i64> = row.get(6)?;
            let go_on = each(Ended {
                call_id: row.get(0)?,
                agent_id: row.get(1)?,
                ended_at: Timestamp::from_unix_ms(row.get(2)?),
                expected: Stages::of_bits(row.get(3)?),
                filled: Stages::of_bits(row.get(4)?),
                why: why.and_then(|word| Why::of_word(&word)),
                next_at: next_ms.map(Timestamp::from_unix_ms),
                held: Held {
                    webhook: Stages::of_bits(row.get(7)?),
                    reconciled: Stages::of_bits(row.get(8)?),
                },
            });
            if !go_on {
                break;
            }
        }
        Ok(())
    }
}
