//! How things stand, as last seen by the console's thread: pages take it from here and look up nothing.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::metrics::Observed;

/// How things stand. Clones share it.
#[derive(Clone)]
pub(super) struct Standing(Arc<Inner>);

struct Inner {
    seen: RwLock<Arc<Seen>>,
    news: watch::Sender<u64>,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// How journal, publisher and disk stand; `None` before the first look.
    pub(super) observed: Option<Observed>,
    /// How many deliveries are in the journal and not in the index yet.
    pub(super) behind: u64,
    /// Why nothing can be searched.
    pub(super) trouble: Option<String>,
}

impl Default for Standing {
    fn default() -> Self {
        Self(Arc::new(Inner {
            seen: RwLock::default(),
            news: watch::Sender::new(0),
        }))
    }
}

impl Standing {
    pub(super) fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.0.seen.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what was seen, and wakes live pages.
    pub(super) fn see(&self, change: impl FnOnce(&mut Seen)) {
        let mut seen = self.0.seen.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut seen));
        drop(seen);
        self.0.news.send_modify(|count| *count += 1);
    }

    /// Changes whenever there may be something new to show.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }
}
