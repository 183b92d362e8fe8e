//! Which events reconciliation had made before a webhook brought them after all: those of the webhook say whom they replace.
//!
//! Whoever publishes pays one look at an atomic while nothing was ever reconciled, and a hash afterwards: a filter of a fixed
//! size says no to nearly everything that was not. What it does not rule out is looked up, in the journal and in the ledger
//! of what other bridges have published.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::dialect::api;
use crate::event::Stage;
use crate::journal::ledger::Ledger;
use crate::journal::{Journal, ReadError, Reader};

/// The ids of all reconciled events, in a filter that may say yes where it should say no. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Reconciled(Arc<Filter>);

#[derive(Debug, Default)]
struct Filter {
    hasher: RandomState,
    /// Made with the first.
    bits: OnceLock<Vec<AtomicU64>>,
    /// Not all could be added.
    says_yes: AtomicBool,
}

impl Reconciled {
    /// There is one of this id, or will be in a moment.
    pub fn add(&self, id: &str) {
        let bits = self.0.bits.get_or_init(|| {
            let words = std::iter::repeat_with(AtomicU64::default);
            words.take(WORDS).collect()
        });
        for (word, bit) in self.places(id) {
            if let Some(word) = bits.get(word) {
                word.fetch_or(bit, Ordering::Release);
            }
        }
    }

    /// Whether there may be any.
    fn is_empty(&self) -> bool {
        self.0.bits.get().is_none() && !self.0.says_yes.load(Ordering::Acquire)
    }

    fn may_have(&self, id: &str) -> bool {
        if self.0.says_yes.load(Ordering::Acquire) {
            return true;
        }
        let Some(bits) = self.0.bits.get() else {
            return false;
        };
        let has = |(word, bit): (usize, u64)| {
            let word = bits.get(word);
            word.is_some_and(|word| word.load(Ordering::Acquire) & bit != 0)
        };
        self.places(id).into_iter().all(has)
    }

    /// Four bits, by two halves of a hash.
    fn places(&self, id: &str) -> [(usize, u64); 4] {
        let hash = self.0.hasher.hash_one(id);
        let (start, step) = (hash & 0xffff_ffff, hash >> 32 | 1);
        [0, 1, 2, 3].map(|turn| {
            let place = (start + turn * step) % (WORDS as u64 * 64);
            // Below the number of words.
            (
                usize::try_from(place / 64).unwrap_or_default(),
                1 << (place % 64),
            )
        })
    }
}

/// Finds out what a webhook's event replaces; for the publisher's thread.
pub(super) struct Replaced {
    known: Reconciled,
    journal: Journal,
    path: PathBuf,
    reader: RefCell<Option<Reader>>,
    ledger: RefCell<Option<Ledger>>,
}

impl Replaced {
    pub(super) fn new(journal: Journal, path: PathBuf, known: Reconciled) -> Self {
        Self {
            known,
            journal,
            path,
            reader: RefCell::default(),
            ledger: RefCell::default(),
        }
    }

    /// Reads which there are; until then and when that fails, each is looked up.
    pub(super) fn load(&self) {
        self.known.0.says_yes.store(true, Ordering::Release);
        let read = || -> Result<(), ReadError> {
            let reader = self.journal.reader()?;
            reader.each_reconciled(|id| self.known.add(id))
        };
        match read() {
            Ok(()) => self.known.0.says_yes.store(false, Ordering::Release),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot read which events were reconciled; each is looked up"
            ),
        }
    }

    /// The id of the reconciled event that stands in the place of this one, if there is one before it.
    pub(super) fn by(&self, call_id: &str, stage: Stage, out_seq: u64) -> Option<String> {
        if self.known.is_empty() {
            return None;
        }
        let id = api::id(call_id, stage);
        let is_there = self.known.may_have(&id)
            && (self.is_in_journal(&id, out_seq) || self.is_held(call_id, stage));
        is_there.then_some(id)
    }

    fn is_in_journal(&self, id: &str, before: u64) -> bool {
        let mut reader = self.reader.borrow_mut();
        if reader.is_none() {
            *reader = self.journal.reader().ok();
        }
        let found = reader.as_ref().map(|reader| reader.reconciled(id));
        match found {
            Some(Ok(out_seq)) => out_seq.is_some_and(|out_seq| out_seq < before),
            Some(Err(_)) | None => {
                *reader = None;
                false
            }
        }
    }

    /// By another bridge, as far as the ledger knows; without one it is not known.
    fn is_held(&self, call_id: &str, stage: Stage) -> bool {
        let mut ledger = self.ledger.borrow_mut();
        if ledger.is_none() {
            *ledger = Ledger::open_to_read(&self.path).ok().flatten();
        }
        let held = ledger.as_ref().map(|ledger| ledger.held(call_id));
        match held {
            Some(Ok(held)) => held.reconciled.contains(stage),
            Some(Err(_)) | None => {
                *ledger = None;
                false
            }
        }
    }
}

/// 1 MiB: with 100,000 ids it is wrong in one of 200,000 cases, with 1,000,000 in one of 50.
const WORDS: usize = 1 << 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_known_and_hardly_anything_else_is() {
        let known = Reconciled::default();
        assert!(known.is_empty() && !known.may_have("reconcile-1"));
        for number in 0..10_000 {
            known.add(&format!("reconcile-{number}"));
        }
        assert!(!known.is_empty());
        assert!((0..10_000).all(|number| known.may_have(&format!("reconcile-{number}"))));
        let others = 10_000..110_000;
        let wrong = others.filter(|number| known.may_have(&format!("reconcile-{number}")));
        assert!(wrong.count() < 10);
    }
}
