//! What is counted of reconciliation.

use prometheus::{IntCounter, IntCounterVec, Registry};

use super::counter_vec;
use crate::event::{Origin, Stage};
use crate::journal::AppendedKind;

/// What reconciliation counts. Clones share it.
#[derive(Debug, Clone)]
pub struct ReconcileMetrics {
    fetched: IntCounterVec,
}

impl ReconcileMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let fetched = counter_vec(
            registry,
            "reconciled_total",
            "Events that no webhook had brought, fetched from the sender's API and stored, by type.",
            &["type"],
        );
        for stage in Stage::ALL {
            fetched.with_label_values(&[stage.name()]);
        }
        Self { fetched }
    }

    /// An event was fetched and given to the journal.
    pub fn appended(&self, origin: Origin, kind: AppendedKind) {
        if let (Origin::Reconcile(stage), AppendedKind::Stored) = (origin, kind) {
            self.fetched(stage).inc();
        }
    }

    fn fetched(&self, stage: Stage) -> IntCounter {
        self.fetched.with_label_values(&[stage.name()])
    }
}
