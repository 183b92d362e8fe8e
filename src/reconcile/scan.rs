//! Goes through the list of calls, newest first.
//!
//! The list is in the order of the last change and its rows do not say when that was. So a scan ends where whole pages are
//! known from an earlier one that came to its end, as they are; and since calls move to the first page while it reads, it
//! reads that again at last, and whatever pages have calls that it has not seen. What a scan that broke off saw does not
//! count as known: the next one goes on until what lies behind.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use super::engine::{Engine, Trouble};
use super::judge::{Anew, Terms, Told, earlier, is_as_known, judge};
use crate::atoms::answers::ListedCall;
use crate::atoms::contract::LARGEST_PAGE;
use crate::journal::ledger::{KEPT, Listed, Reach};
use crate::time::Timestamp;

/// A scan under way; an error costs it no place.
pub(super) struct Scan {
    number: i64,
    page: u32,
    phase: Phase,
    /// Whether everything of the last day is looked at, known or not.
    extent: Extent,
    /// How far it goes back in any case, and how far at most.
    floors: (Timestamp, Timestamp),
    completed: i64,
    /// When the last scan came to its end: what it has not seen has changed since.
    changed_since: Option<Timestamp>,
    seen: Seen,
}

/// Which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// From the newest to what is known.
    Down,
    /// Once more from the newest, to what it has seen.
    Again,
}

/// How far a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Until whole pages are known.
    New,
    /// The last day as well.
    Whole,
}

/// Calls that were seen, as they were, by a hash of each.
#[derive(Default)]
pub(super) struct Seen {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

/// What is made of a call on a page.
pub(super) struct Sighted {
    pub(super) listed: Listed,
    /// The scan that saw it as it is.
    pub(super) known_since: Option<i64>,
    /// Whether it was seen in this scan or run as it is.
    pub(super) was_seen: bool,
    /// Whether the ledger had it as it is.
    pub(super) is_as_known: bool,
    pub(super) age: Age,
}

/// Where a call lies in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It is not known whether its events were published.
    BeyondReach,
    Within,
}

impl Seen {
    /// These were seen as they are.
    pub(super) fn saw(&mut self, sighted: &[Sighted]) {
        let calls = sighted.iter().map(|one| &one.listed);
        let hashes = calls.map(|call| self.hash(&call.call_id, &call.status, call.retry_count));
        let hashes: Vec<u64> = hashes.collect();
        self.hashes.extend(hashes);
    }

    fn has(&self, call: &ListedCall) -> bool {
        let hash = self.hash(&call.call_id, &call.status, call.retry_count);
        self.hashes.contains(&hash)
    }

    fn hash(&self, call_id: &str, status: &str, retry_count: u64) -> u64 {
        self.hasher.hash_one((call_id, status, retry_count))
    }
}

impl Scan {
    pub(super) fn begin(engine: &mut Engine, extent: Extent) -> Result<Self, Trouble> {
        let now = Timestamp::now();
        let scans = engine.ledger.scans()?;
        let at_most = earlier(now, KEPT);
        let at_most = match engine.reach() {
            Reach::Everything => at_most,
            Reach::Since(at) => at.max(at_most),
        };
        // Nothing is known yet: the last day is a beginning.
        let extent = if scans.completed == 0 {
            Extent::Whole
        } else {
            extent
        };
        Ok(Self {
            number: engine.ledger.begin_scan()?,
            page: 1,
            phase: Phase::Down,
            extent,
            floors: (earlier(now, LAST_DAY), at_most),
            completed: scans.completed,
            changed_since: scans.completed_at,
            seen: Seen::default(),
        })
    }

    /// Looks at a page; whether it was the last.
    pub(super) async fn step(&mut self, engine: &mut Engine) -> Result<bool, Trouble> {
        let page = engine.answered(engine.client.calls(self.page, LARGEST_PAGE));
        let page = page.await?;
        let sighted = engine
            .sight(
                &page.calls,
                &self.seen,
                (Anew::WhenChanged, self.changed_since),
                engine.reach(),
            )
            .await?;
        let changed = sighted
            .iter()
            .filter(|sighted| sighted.age == Age::Within && sighted.known_since.is_none());
        let changed: Vec<Listed> = changed
            .map(|sighted| Listed {
                scan: Some(self.number),
                ..sighted.listed.clone()
            })
            .collect();
        engine.ledger.list(&changed, Timestamp::now())?;
        self.seen.saw(&sighted);
        let ends = !page.has_more || sighted.is_empty() || self.ends_with(&sighted);
        if !ends {
            self.page += 1;
            return Ok(false);
        }
        if self.phase == Phase::Down && self.page > 1 {
            // Pages have shifted while they were read.
            (self.phase, self.page) = (Phase::Again, 1);
            return Ok(false);
        }
        let now = Timestamp::now();
        match self.extent {
            Extent::New => engine.ledger.complete_scan(self.number, now)?,
            Extent::Whole => engine.ledger.complete_whole_scan(self.number, now)?,
        }
        Ok(true)
    }

    /// Whether nothing new lies behind this page.
    fn ends_with(&self, sighted: &[Sighted]) -> bool {
        let older = |than: Timestamp| sighted.iter().all(|one| one.listed.created_at < than);
        let is_known = |one: &Sighted| {
            let since = one.known_since;
            one.age == Age::BeyondReach || since.is_some_and(|scan| scan <= self.completed)
        };
        let all_known = sighted.iter().all(is_known);
        let all_seen = sighted.iter().all(|one| one.was_seen || is_known(one));
        let (at_least, at_most) = self.floors;
        match (self.phase, self.extent) {
            (Phase::Again, _) => all_seen,
            _ if older(at_most) => true,
            (Phase::Down, Extent::New) => all_known,
            (Phase::Down, Extent::Whole) => older(at_least) && (all_known || self.completed == 0),
        }
    }
}

impl Engine {
    /// Judges the calls of a page and their further tries, and changes nothing.
    pub(super) async fn sight(
        &self,
        calls: &[ListedCall],
        seen: &Seen,
        (anew, changed_since): (Anew, Option<Timestamp>),
        reach: Reach,
    ) -> Result<Vec<Sighted>, Trouble> {
        let terms = Terms {
            now: Timestamp::now(),
            settling: self.setup.atoms.settling_time,
            anew,
            changed_since,
        };
        let on_page: HashSet<&str> = calls.iter().map(|call| call.call_id.as_str()).collect();
        let mut sighted = Vec::with_capacity(calls.len());
        for call in calls {
            let was_seen = seen.has(call);
            let own = self.sight_one(call, Told::Listed, was_seen, &terms, reach)?;
            let asks_for_tries = call.retry_count > 0
                && !was_seen
                && own.age == Age::Within
                && (own.known_since.is_none() || anew == Anew::Always);
            if asks_for_tries {
                let tries = self.answered(self.client.retries(&call.call_id)).await?;
                for one in tries
                    .iter()
                    .filter(|one| !on_page.contains(one.call_id.as_str()))
                {
                    let was_seen = seen.has(one);
                    sighted.push(self.sight_one(one, Told::AsRetry, was_seen, &terms, reach)?);
                }
            }
            sighted.push(own);
        }
        Ok(sighted)
    }

    pub(super) fn sight_one(
        &self,
        call: &ListedCall,
        told: Told,
        was_seen: bool,
        terms: &Terms,
        reach: Reach,
    ) -> Result<Sighted, Trouble> {
        let known = self.ledger.listed(&call.call_id)?;
        let same = known.as_ref().filter(|known| is_as_known(call, known));
        let known_since = same.and_then(|known| known.scan);
        let agent = call.agent_id.as_deref();
        let agent = agent.or_else(|| known.as_ref()?.agent_id.as_deref());
        let expected = agent.map(|agent| self.expected(agent));
        let have = self.have(&call.call_id)?;
        let listed = judge(call, told, known.as_ref(), (expected, have), terms);
        let beyond = matches!(reach, Reach::Since(since) if listed.created_at < since);
        Ok(Sighted {
            listed: Listed {
                scan: known_since,
                ..listed
            },
            known_since,
            was_seen,
            is_as_known: same.is_some(),
            age: if beyond {
                Age::BeyondReach
            } else {
                Age::Within
            },
        })
    }
}

const LAST_DAY: Duration = Duration::from_secs(24 * 3600);
