//! A run that somebody asked for: all calls of a span of time, whatever was known of them, newest first.
//!
//! It is left at any page and goes on there: how far it has come lies in the ledger, by its span. What it finds known is no
//! reason to end, and what it sees is not what a scan has seen: that must have come from the newest to what was known.

use super::engine::{Engine, Trouble};
use super::judge::Anew;
use super::run::{Beyond, Job, Mode, Outcome, Progress, What};
use super::scan::{Age, Seen, Sighted};
use crate::atoms::answers::ListedCall;
use crate::atoms::contract::LARGEST_PAGE;
use crate::event::Stages;
use crate::journal::ledger::{Bookmark, Listed, Reach, Why};
use crate::time::Timestamp;

/// A run under way; an error costs it no place.
pub(super) struct Walk {
    job: Job,
    page: u32,
    phase: Phase,
    reach: Reach,
    seen: Seen,
    pub(super) progress: Progress,
    requests_before: u64,
}

/// Which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// From the newest to the end of the span.
    Down,
    /// Once more from the newest, to what has been seen.
    Again,
}

/// Why a run does not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotBegun {
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error(
        "of calls before {reach} it is not known which events were published: the topics' retention has taken them, or the \
         ledger's of 30 days. Give --since {reach}, or --force to fetch them all the same: what was published of them is then \
         published again, as reconciled"
    )]
    BeyondReach { reach: Timestamp },
}

impl Walk {
    /// Begins where a run over the same span was left, or at the newest call.
    pub(super) async fn begin(engine: &mut Engine, job: Job) -> Result<Self, NotBegun> {
        engine.catch_up()?;
        engine.forget_ours();
        engine.learn_ours().await?;
        let reach = match (job.beyond, engine.reach()) {
            (Beyond::Force, _) => Reach::Everything,
            (Beyond::Refuse, Reach::Since(reach)) if reach > job.since() => {
                return Err(NotBegun::BeyondReach { reach });
            }
            (Beyond::Refuse, reach) => reach,
        };
        let bookmark = match job.mode {
            Mode::Fill => engine.ledger.bookmark(job.since(), job.until()),
            Mode::DryRun => Ok(None),
        };
        let bookmark = bookmark.map_err(Trouble::from)?;
        Ok(Self {
            job,
            page: bookmark.map_or(1, |mark| mark.page),
            phase: Phase::Down,
            reach,
            seen: Seen::default(),
            progress: Progress {
                resumed_at_page: bookmark.map_or(0, |mark| mark.page.into()),
                ..Progress::default()
            },
            requests_before: engine.client.requests().all(),
        })
    }

    /// Looks at a page and does what is to be done about its calls; whether it was the last.
    pub(super) async fn step(
        &mut self,
        engine: &mut Engine,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<bool, Trouble> {
        if self.job.mode == Mode::Fill {
            engine.still_elected()?;
        }
        engine.be_up_to_date(None)?;
        engine.learn_ours().await?;
        let page = engine.answered(engine.client.calls(self.page, LARGEST_PAGE));
        let page = page.await?;
        let in_span: Vec<ListedCall> = page
            .calls
            .iter()
            .filter(|call| self.spans(call))
            .cloned()
            .collect();
        let sighted = engine
            .sight(&in_span, &self.seen, (Anew::Always, None), self.reach)
            .await?;
        let all_seen = sighted.iter().all(|one| one.was_seen || one.is_as_known);
        let treated = self.treat(engine, &sighted, outcomes).await;
        outcomes
            .iter()
            .for_each(|outcome| self.progress.count(outcome));
        treated?;
        self.seen.saw(&sighted);
        self.progress.pages += 1;
        self.progress.requests = engine.client.requests().all() - self.requests_before;
        let reached = page.calls.iter().filter_map(|call| call.created_at).min();
        let reached = reached.map(Timestamp::unix_ms);
        self.progress.reached_ms = [self.progress.reached_ms, reached]
            .into_iter()
            .flatten()
            .min();
        let is_over = |call: &ListedCall| call.created_at.is_some_and(|at| at < self.job.since());
        let ends = !page.has_more || page.calls.iter().all(is_over);
        self.turn(engine, ends || (self.phase == Phase::Again && all_seen))
    }

    /// Goes on to the next page, or the first once more; whether it has come to its end.
    fn turn(&mut self, engine: &mut Engine, ends: bool) -> Result<bool, Trouble> {
        let is_first = self.page == 1;
        match (self.phase, ends) {
            (_, false) => self.page += 1,
            // Pages have shifted while they were read.
            (Phase::Down, true) if !is_first => (self.phase, self.page) = (Phase::Again, 1),
            (Phase::Down | Phase::Again, true) => {
                if self.job.mode == Mode::Fill {
                    engine.ledger.unmark(self.job.since(), self.job.until())?;
                }
                return Ok(true);
            }
        }
        if self.job.mode == Mode::Fill && self.phase == Phase::Down {
            let bookmark = Bookmark {
                since: self.job.since(),
                until: self.job.until(),
                page: self.page,
            };
            engine.ledger.mark(bookmark, Timestamp::now())?;
        }
        Ok(false)
    }

    fn spans(&self, call: &ListedCall) -> bool {
        let span = self.job.since()..self.job.until();
        call.created_at.is_some_and(|at| span.contains(&at))
    }

    async fn treat(
        &mut self,
        engine: &mut Engine,
        sighted: &[Sighted],
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), Trouble> {
        let now = Timestamp::now();
        let new: Vec<&Sighted> = sighted.iter().filter(|one| !one.was_seen).collect();
        let within = new.iter().filter(|one| one.age == Age::Within);
        let calls: Vec<Listed> = within.map(|one| one.listed.clone()).collect();
        let waits = |call: &&Listed| call.ended_at.is_some() && call.next_at.is_some();
        let is_due = |call: &Listed| call.next_at.is_some_and(|at| at <= now);
        let (due, settling): (Vec<Listed>, Vec<Listed>) =
            calls.iter().filter(waits).cloned().partition(is_due);
        for call in &settling {
            outcomes.push(self.outcome(engine, call, What::Settling)?);
        }
        match self.job.mode {
            Mode::DryRun => {
                for call in &due {
                    outcomes.push(self.outcome(engine, call, What::WouldFetch)?);
                }
            }
            Mode::Fill => {
                engine.ledger.list(&calls, now)?;
                let told = &mut |outcome| outcomes.push(outcome);
                engine.work(due.clone(), told).await?;
            }
        }
        self.progress.calls += new.len() as u64;
        self.progress.beyond_reach += (new.len() - calls.len()) as u64;
        self.progress.incomplete += (due.len() + settling.len()) as u64;
        for call in calls.iter().filter(|call| !waits(call)) {
            if call.ended_at.is_none() {
                self.progress.going_on += 1;
            } else if call.expected.is_some_and(Stages::is_empty) {
                self.progress.not_ours += 1;
            } else {
                self.progress.complete += 1;
            }
        }
        Ok(())
    }

    fn outcome(&self, engine: &Engine, call: &Listed, what: What) -> Result<Outcome, Trouble> {
        let have = engine.have(&call.call_id)?;
        let missing = call.expected.unwrap_or_default().but(have);
        let next_at = call
            .next_at
            .filter(|_| call.why == Some(Why::Settling) && what == What::Settling);
        let of = (call.call_id.as_str(), call.agent_id.as_deref());
        Ok(Outcome::of(of, call.created_at, missing, (what, next_at)))
    }
}
