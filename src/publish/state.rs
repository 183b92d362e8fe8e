//! How publishing goes, for health and for people; the one place where a change of it is logged.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::journal::search::Refused;

/// How publishing goes. Clones share it.
#[derive(Debug, Clone)]
pub struct State(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    /// What keeps the publisher from publishing.
    hindrance: Option<String>,
    /// What the operator must see to while publishing goes on.
    finding: Option<String>,
    /// What was set aside, until somebody asks.
    refused: VecDeque<Refused>,
}

impl Default for State {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Seen {
            hindrance: Some("not connected to Kafka yet".to_owned()),
            finding: None,
            refused: VecDeque::new(),
        })))
    }
}

impl State {
    /// What keeps the publisher from publishing, or else what somebody must see to; `None` when all is well.
    pub fn alarm(&self) -> Option<String> {
        let seen = self.seen();
        seen.hindrance.clone().or_else(|| seen.finding.clone())
    }

    /// What keeps the publisher from publishing.
    pub fn hindrance(&self) -> Option<String> {
        self.seen().hindrance.clone()
    }

    /// What somebody must see to while publishing goes on.
    pub fn finding(&self) -> Option<String> {
        self.seen().finding.clone()
    }

    /// What was set aside since somebody last asked; of very many, the latest.
    pub fn take_refused(&self) -> Vec<Refused> {
        self.seen().refused.drain(..).collect()
    }

    /// A row was set aside. Rare, and so not on the road of every event.
    pub(super) fn refuse(&self, (seq, out_seq): (u64, u64), reason: &str) {
        let mut seen = self.seen();
        if seen.refused.len() >= MOST_REFUSED {
            seen.refused.pop_front();
        }
        seen.refused.push_back(Refused {
            seq,
            out_seq,
            reason: reason.to_owned(),
        });
    }

    /// Nothing is published. Tells the operator once why, not at every attempt.
    pub(super) fn hinder(&self, why: &str) {
        let mut seen = self.seen();
        if seen.hindrance.as_deref() != Some(why) {
            tracing::error!("not publishing, deliveries are kept in the journal: {why}");
            seen.hindrance = Some(why.to_owned());
        }
    }

    /// Nothing keeps the bridge from publishing.
    pub(super) fn well(&self) {
        if self.seen().hindrance.take().is_some() {
            tracing::info!("publishing to Kafka");
        }
    }

    /// Publishing goes on, but somebody must see to this; `None` when that has been done.
    pub(super) fn find(&self, finding: Option<String>) {
        let mut seen = self.seen();
        if seen.finding != finding {
            match &finding {
                Some(text) => tracing::error!("publishing goes on, but {text}"),
                None => tracing::info!("the topics are as they should be again"),
            }
            seen.finding = finding;
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        // Each text is whole even if its holder panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where nobody asks, memory does not grow.
const MOST_REFUSED: usize = 1024;
