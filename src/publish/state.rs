//! How publishing goes, for health and for people; the one place where a change of it is logged.

use std::sync::{Arc, Mutex, PoisonError};

/// How publishing goes. Clones share it.
#[derive(Debug, Clone)]
pub struct State(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    /// What keeps the publisher from publishing.
    hindrance: Option<String>,
    /// What the operator must see to while publishing goes on.
    finding: Option<String>,
}

impl Default for State {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Seen {
            hindrance: Some("not connected to Kafka yet".to_owned()),
            finding: None,
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
