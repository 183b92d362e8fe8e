//! Which refusals become a line of the log: a flood of them is counted, so that it fills no disk and hides nothing else.
//!
//! Of each webhook and reason the first few in a while are told one by one; the rest is one line with their number when the
//! while is over. The metrics count each all the same.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::delivery::WebhookName;

/// The refusals of a while.
#[derive(Default)]
pub(super) struct Refusals(Mutex<BTreeMap<Key, u64>>);

/// The webhook, unless there is none of that name, and a stable word for why.
type Key = (Option<WebhookName>, &'static str);

impl Refusals {
    /// Counts one more; whether it is to be told by itself.
    pub(super) fn is_told(&self, webhook: Option<&WebhookName>, reason: &'static str) -> bool {
        let mut counts = self.counts();
        let count = counts.entry((webhook.cloned(), reason)).or_default();
        *count += 1;
        *count <= LINES
    }

    /// Sums up while after while, for ever.
    pub(super) async fn sum_up_for_ever(&self) {
        loop {
            tokio::time::sleep(WHILE).await;
            self.sum_up();
        }
    }

    /// Says how many were not told, and begins anew.
    pub(super) fn sum_up(&self) {
        let counts = std::mem::take(&mut *self.counts());
        for ((webhook, reason), count) in counts {
            let more = count.saturating_sub(LINES);
            if more > 0 {
                let webhook = webhook.as_ref().map(WebhookName::as_str);
                tracing::warn!(
                    webhook,
                    reason,
                    more,
                    "refused: so many more like those above"
                );
            }
        }
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, u64>> {
        // Numbers are whole even if their holder panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many are told one by one in a while.
const LINES: u64 = 10;
const WHILE: Duration = Duration::from_secs(10);
