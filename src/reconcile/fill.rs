//! Fetches what calls lack and puts it on the road of every delivery: into the journal, with ids that are the same however
//! often it runs.

use std::time::Duration;

use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::engine::{Engine, Trouble};
use super::judge::{Anew, Terms, Told, asked_again, later};
use super::run::{Outcome, What};
use crate::atoms::AtomsError;
use crate::atoms::answers::{FetchedCall, ListedCall};
use crate::atoms::contract::MOST_SEARCHED;
use crate::event::{Stage, Stages};
use crate::journal::Appended;
use crate::journal::ledger::{Listed, Reach, Why};
use crate::telemetry::clip;
use crate::time::Timestamp;
use crate::verify::VerifiedDelivery;

/// Hears what became of each call.
pub(super) type Tell<'t> = dyn FnMut(Outcome) + 't;

type Answer = Result<Option<FetchedCall>, AtomsError>;

impl Engine {
    /// Does what is to be done about calls whose time has come.
    ///
    /// # Errors
    ///
    /// What would be met with the next call too; those that were not asked for are due still.
    pub(super) async fn work(
        &mut self,
        due: Vec<Listed>,
        tell: &mut Tell<'_>,
    ) -> Result<(), Trouble> {
        let settled_at =
            |call: &Listed| Some(later(call.ended_at?, self.setup.atoms.settling_time));
        let matters = due.iter().filter_map(settled_at).max();
        self.be_up_to_date(matters.map(|at| at.min(Timestamp::now())))?;
        let (going_on, ended): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|call| call.ended_at.is_none());
        for chunk in going_on.chunks(MOST_SEARCHED) {
            self.look_again(chunk).await?;
        }
        let mut asking = Vec::new();
        let mut done = Vec::new();
        for call in ended {
            match self.missing(&call)? {
                Some(missing) if missing.is_empty() => done.push(finished(call, None)),
                Some(_) | None => asking.push(call),
            }
        }
        self.ledger.list(&done, Timestamp::now())?;
        while !asking.is_empty() {
            self.still_elected()?;
            let rest = asking.split_off(asking.len().min(AT_ONCE));
            let answers = self.ask_for(asking).await?;
            self.take(answers, tell).await?;
            asking = rest;
        }
        Ok(())
    }

    /// What a call lacks; `None` while its agent is not known.
    fn missing(&self, call: &Listed) -> Result<Option<Stages>, Trouble> {
        let Some(agent) = &call.agent_id else {
            return Ok(None);
        };
        let have = self.have(&call.call_id)?;
        Ok(Some(self.expected(agent).but(have)))
    }

    /// Further tries that went on when they were seen last: the list does not say when they end.
    async fn look_again(&mut self, calls: &[Listed]) -> Result<(), Trouble> {
        let ids: Vec<String> = calls.iter().map(|call| call.call_id.clone()).collect();
        let found = self.answered(self.client.search(&ids)).await?;
        let now = Timestamp::now();
        let terms = Terms {
            now,
            settling: self.setup.atoms.settling_time,
            anew: Anew::WhenChanged,
            changed_since: None,
        };
        let mut judged = Vec::new();
        for call in calls {
            let Some(told) = found.iter().find(|told| told.call_id == call.call_id) else {
                judged.push(finished(call.clone(), Some(Why::Unknown)));
                continue;
            };
            let sighted = self.sight_one(told, Told::AsRetry, false, &terms, Reach::Everything)?;
            let asked = call.asked + 1;
            let pause = pause(terms.settling, asked);
            let goes_on = sighted.listed.ended_at.is_none();
            judged.push(Listed {
                asked: if goes_on { asked } else { 0 },
                next_at: if goes_on {
                    Some(later(now, pause))
                } else {
                    sighted.listed.next_at
                },
                scan: call.scan,
                ..sighted.listed
            });
        }
        self.ledger.list(&judged, now)?;
        Ok(())
    }

    /// Asks for all that is known of calls, side by side.
    async fn ask_for(&self, calls: Vec<Listed>) -> Result<Vec<(Listed, Answer)>, Trouble> {
        let mut asking = JoinSet::new();
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            let Some(listed) = row_of(&call) else {
                // Whatever wrote that, there is no call behind it.
                answers.push((call, Ok(None)));
                continue;
            };
            let client = self.client.clone();
            asking.spawn(async move {
                let answer = client.call(&listed).await;
                (call, answer)
            });
        }
        loop {
            let answer = tokio::select! {
                answer = asking.join_next() => answer,
                () = super::engine::stopped(&self.stop) => return Err(Trouble::Stopped),
            };
            match answer {
                Some(Ok(answer)) => answers.push(answer),
                // It panicked; the call is due still.
                Some(Err(error)) => tracing::error!(%error, "asking for a call failed"),
                None => return Ok(answers),
            }
        }
    }

    /// Takes answers in: what is there is appended, what is not waits or is given up.
    async fn take(
        &mut self,
        answers: Vec<(Listed, Answer)>,
        tell: &mut Tell<'_>,
    ) -> Result<(), Trouble> {
        let now = Timestamp::now();
        let (mut deliveries, mut calls) = (Vec::new(), Vec::new());
        let (mut trouble, mut failed, count) = (None, 0, answers.len());
        for (call, answer) in answers {
            match answer {
                Ok(Some(fetched)) => {
                    let (ready, call) = self.ready(call, &fetched, now)?;
                    for stage in ready.iter() {
                        deliveries.extend(self.delivery(&fetched, &call, stage, now));
                    }
                    calls.push((call, ready));
                }
                Ok(None) => calls.push((finished(call, Some(Why::Unknown)), Stages::NONE)),
                Err(error) => {
                    failed += 1;
                    calls.push((self.failed(call, &error, now), Stages::NONE));
                    trouble = Some(error);
                }
            }
        }
        let appended = self.append(&deliveries, now).await?;
        self.count(&deliveries, &appended);
        for (call, ready) in &mut calls {
            call.filled = call.filled.and(*ready);
        }
        let known: Vec<Listed> = calls.iter().map(|(call, _)| call.clone()).collect();
        self.ledger.list(&known, now)?;
        for (call, ready) in &calls {
            self.tell(call, *ready, tell)?;
        }
        match trouble {
            // It is not about one call.
            Some(error) if failed == count || is_about_the_key(&error) => Err(error.into()),
            Some(_) | None => Ok(()),
        }
    }

    /// Which of a call's missing events can be made of what was fetched, and what is known of the call then.
    fn ready(
        &self,
        mut call: Listed,
        fetched: &FetchedCall,
        now: Timestamp,
    ) -> Result<(Stages, Listed), Trouble> {
        let glance = fetched.glance();
        let agent = call.agent_id.take().or_else(|| glance.agent_id.clone());
        call.agent_id = agent;
        let expected = call.agent_id.as_deref().map(|agent| self.expected(agent));
        call.expected = Some(expected.unwrap_or_default());
        let missing = self.missing(&call)?.unwrap_or_default();
        let settling = self.setup.atoms.settling_time;
        let said_at = glance.last_said_at.unwrap_or(call.created_at);
        if let Some(ended_at) = call.ended_at
            && said_at > ended_at
        {
            // It lasted longer than its row lets one think.
            call.ended_at = Some(said_at.min(now));
        }
        if later(said_at.min(now), settling) > now {
            call.next_at = Some(later(said_at.min(now), settling));
            return Ok((Stages::NONE, call));
        }
        let awaits = missing.contains(Stage::AnalyticsCompleted) && !glance.has_analytics;
        if !awaits {
            return Ok((missing, finished(call, None)));
        }
        call.asked += 1;
        let patience = self.setup.atoms.analytics_patience;
        let ended_at = call.ended_at.unwrap_or(now);
        let again = asked_again(ended_at, call.asked, (settling, patience), now);
        let ready = missing.without(Stage::AnalyticsCompleted);
        if again.is_none() {
            return Ok((ready, finished(call, Some(Why::NoAnalytics))));
        }
        (call.next_at, call.why) = (again, Some(Why::NoAnalyticsYet));
        Ok((ready, call))
    }

    fn delivery(
        &self,
        fetched: &FetchedCall,
        call: &Listed,
        stage: Stage,
        now: Timestamp,
    ) -> Option<VerifiedDelivery> {
        let webhook = self.webhook(call.agent_id.as_deref()?, stage)?;
        Some(VerifiedDelivery::of_answer(fetched, stage, webhook, now))
    }

    /// A call that could not be asked for.
    fn failed(&self, mut call: Listed, error: &AtomsError, now: Timestamp) -> Listed {
        if is_about_the_key(error) {
            return call;
        }
        tracing::warn!(call_id = clip(&call.call_id), %error, "reconciliation: a call could not be fetched");
        call.asked += 1;
        let settling = self.setup.atoms.settling_time;
        let next_at = Some(later(now, pause(settling, call.asked)));
        if error.may_pass() {
            return Listed { next_at, ..call };
        }
        let (ended_at, patience) = (
            call.ended_at.unwrap_or(now),
            self.setup.atoms.analytics_patience,
        );
        match asked_again(ended_at, call.asked, (settling, patience), now) {
            None => finished(call, Some(Why::Refused)),
            again => Listed {
                next_at: again,
                why: Some(Why::Refused),
                ..call
            },
        }
    }

    async fn append(
        &self,
        deliveries: &[VerifiedDelivery],
        now: Timestamp,
    ) -> Result<Vec<Appended>, Trouble> {
        let Some(journal) = self.journal.as_ref().filter(|_| !deliveries.is_empty()) else {
            return Ok(Vec::new());
        };
        // Before: the publisher may come to a webhook's delivery that follows at once.
        for id in deliveries.iter().filter_map(VerifiedDelivery::answered_id) {
            self.reconciled.add(id);
        }
        let appended = journal.appending_late(deliveries, now).await;
        Ok(appended.into_iter().collect::<Result<_, _>>()?)
    }

    fn count(&self, deliveries: &[VerifiedDelivery], appended: &[Appended]) {
        for (delivery, appended) in deliveries.iter().zip(appended) {
            self.metrics.appended(delivery.origin(), appended.kind);
            tracing::debug!(
                webhook = %delivery.webhook(),
                id = clip(&appended.id),
                out_seq = appended.out_seq,
                "reconciliation: {}",
                appended.kind.word()
            );
        }
    }

    fn tell(&self, call: &Listed, ready: Stages, tell: &mut Tell<'_>) -> Result<(), Trouble> {
        let of = (call.call_id.as_str(), call.agent_id.as_deref());
        if !ready.is_empty() {
            tell(Outcome::of(
                of,
                call.created_at,
                ready,
                (What::Fetched, None),
            ));
        }
        let missing = self.missing(call)?.unwrap_or(Stages::ALL).but(ready);
        let what = match call.why {
            Some(Why::Unknown) => What::UnknownToApi,
            Some(Why::Refused) => What::ApiRefuses,
            Some(Why::NoAnalytics) => What::NoAnalytics,
            Some(Why::NoAnalyticsYet) => What::NoAnalyticsYet,
            Some(Why::Settling) if call.asked > 0 => What::Postponed,
            Some(Why::Settling | Why::OnItsWay) => What::Settling,
            None => return Ok(()),
        };
        tell(Outcome::of(
            of,
            call.created_at,
            missing,
            (what, call.next_at),
        ));
        Ok(())
    }
}

/// Nothing more is done about it.
fn finished(call: Listed, why: Option<Why>) -> Listed {
    Listed {
        next_at: None,
        row: None,
        why,
        ..call
    }
}

/// The row as it was listed.
fn row_of(call: &Listed) -> Option<ListedCall> {
    let row = RawValue::from_string(call.row.clone()?).ok()?;
    let listed = ListedCall::read(row).ok()?;
    (listed.call_id == call.call_id).then_some(listed)
}

/// How long a call is left alone of which nothing could be heard.
fn pause(settling: Duration, asked: u32) -> Duration {
    let doubled = settling.saturating_mul(1 << asked.saturating_sub(1).min(16));
    doubled.min(LONGEST_PAUSE)
}

/// Whether every other question would be answered alike.
fn is_about_the_key(error: &AtomsError) -> bool {
    match error {
        AtomsError::NoKey
        | AtomsError::KeyUnfit
        | AtomsError::Client(_)
        | AtomsError::BaseUrl
        | AtomsError::KeyRefused
        | AtomsError::Forbidden { .. } => true,
        AtomsError::Unreachable { .. }
        | AtomsError::Unwell { .. }
        | AtomsError::TooMany { .. }
        | AtomsError::Refused { .. }
        | AtomsError::NotTheApi { .. }
        | AtomsError::NotAnId => false,
    }
}

/// Calls that are asked for side by side: the client's pace spreads them.
const AT_ONCE: usize = 16;
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
