//! Fields that no schema knows yet, by name: a report of how the sender changes.
//!
//! A name is what a sender makes up, so it is plain or a star, and there is room for so many of them and no more.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounterVec, Registry};

/// Counts unmapped fields. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    counters: IntCounterVec,
    known: Arc<Mutex<BTreeSet<String>>>,
}

impl Fields {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            counters: super::counter_vec(
                registry,
                "unmapped_fields_total",
                "Fields that the canonical event does not know and carries under `unmapped`, by their place in the sender's body; \
                 `*` for list positions and names that are not plain, `(more)` once 200 places are known.",
                &["dialect", "field"],
            ),
            known: Arc::default(),
        }
    }

    /// An event had these, by JSON Pointer.
    pub(super) fn saw(&self, dialect: &str, pointers: &[String]) {
        for pointer in pointers {
            let place = plain(pointer);
            let field = if self.has_room_for(&place) {
                place.as_str()
            } else {
                MORE
            };
            self.counters.with_label_values(&[dialect, field]).inc();
        }
    }

    fn has_room_for(&self, place: &str) -> bool {
        // A set of names is whole even if its holder panicked.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(place) || (known.len() < MOST && known.insert(place.to_owned()))
    }
}

/// `/data/items/3/Jane Doe` → `/data/items/*/*`: a position says nothing, and a name that is no identifier may say too much.
fn plain(pointer: &str) -> String {
    let mut place = String::with_capacity(pointer.len().min(MOST_BYTES));
    for part in pointer.split('/').skip(1).take(MOST_DEPTH) {
        place.push('/');
        place.push_str(if is_plain(part) { part } else { "*" });
    }
    place
}

fn is_plain(part: &str) -> bool {
    let mut bytes = part.bytes();
    part.len() <= MOST_BYTES
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        // A word with many digits is an id or a number of somebody's.
        && part.bytes().filter(u8::is_ascii_digit).count() <= MOST_DIGITS
}

const MOST: usize = 200;
const MOST_DEPTH: usize = 8;
const MOST_BYTES: usize = 48;
const MOST_DIGITS: usize = 3;
const MORE: &str = "(more)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_or_a_star() {
        for (pointer, place) in [
            ("/data/newField", "/data/newField"),
            ("/items/3/name", "/items/*/name"),
            ("/variables/+15551234567", "/variables/*"),
            ("/x/Jane Doe", "/x/*"),
            ("/x/u15551234567", "/x/*"),
            ("/x/a~1b", "/x/*"),
            ("/", "/*"),
        ] {
            assert_eq!(plain(pointer), place);
        }
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let registry = Registry::new();
        let fields = Fields::new(&registry);
        let letters = |n: usize| {
            let digit = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap());
            format!("/{}{}{}", digit(n / 676), digit(n / 26), digit(n))
        };
        for n in 0..1000 {
            fields.saw("flat", &[letters(n)]);
        }
        let families = registry.gather();
        assert_eq!(families[0].get_metric().len(), MOST + 1);
        let more = fields.counters.with_label_values(&["flat", MORE]);
        assert_eq!(more.get(), 800);
    }
}
