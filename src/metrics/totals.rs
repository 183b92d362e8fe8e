//! The counters added up over webhooks, for the console's chart.

use prometheus::core::Collector;

use super::Metrics;

/// What was counted since the start, whatever the webhook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// New deliveries, stored.
    pub stored: u64,
    /// Deliveries that were stored before.
    pub duplicates: u64,
    /// Requests that were refused, for whatever reason.
    pub refused: u64,
    /// Events committed to Kafka.
    pub published: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

impl Metrics {
    /// What was counted since the start.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            published: sum(&self.events),
            dead_letters: sum(&self.dead_letters),
            ..Totals::default()
        };
        for (outcome, count) in by_outcome(&self.deliveries) {
            match outcome.as_str() {
                "stored" => totals.stored += count,
                "duplicate" => totals.duplicates += count,
                _ => totals.refused += count,
            }
        }
        totals
    }
}

fn sum(counters: &prometheus::IntCounterVec) -> u64 {
    by_outcome(counters).map(|(_, count)| count).sum()
}

fn by_outcome(counters: &prometheus::IntCounterVec) -> impl Iterator<Item = (String, u64)> {
    let families = counters.collect();
    families.into_iter().flat_map(|family| {
        let counted = |metric: &prometheus::proto::Metric| {
            let labels = metric.get_label().iter();
            let mut labels = labels.filter(|label| label.name() == "outcome");
            let outcome = labels.next();
            let outcome = outcome.map_or_else(String::new, |label| label.value().to_owned());
            // Counts are whole and far below where a float is not.
            let count = metric.get_counter().get_value() as u64;
            (outcome, count)
        };
        family.get_metric().iter().map(counted).collect::<Vec<_>>()
    })
}
