//! What became of the spans of traces.

use prometheus::{IntCounter, Registry};

use super::counter_vec;

/// Counts spans by what became of them. Clones share it.
#[derive(Debug, Clone)]
pub struct SpanMetrics {
    /// The collector has them.
    pub exported: IntCounter,
    /// The collector was away, too slow or refused them.
    pub failed: IntCounter,
    /// Too many waited for the collector.
    pub dropped: IntCounter,
}

impl SpanMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let spans = counter_vec(
            registry,
            "spans_total",
            "Spans of traces, by what became of them: exported to the collector, failed there, or dropped since too many waited.",
            &["outcome"],
        );
        let outcome = |outcome| spans.with_label_values(&[outcome]);
        Self {
            exported: outcome("exported"),
            failed: outcome("failed"),
            dropped: outcome("dropped"),
        }
    }
}
