//! `[journal]`: where deliveries are kept and for how long.

use std::path::PathBuf;
use std::time::Duration;

use super::keys::Key;
use super::reader::Reader;
use super::values::{DURATION, PATH, SIZE};

/// `[journal]`: where deliveries are kept and for how long.
#[derive(Debug, Clone)]
pub struct Journal {
    /// The SQLite file. Default `data/journal.db`.
    pub path: PathBuf,
    /// How long published bodies are kept. Default 72 h.
    pub retention: Duration,
    /// How large the journal may grow, in bytes. Default 4 GiB.
    pub max_bytes: u64,
}

pub(super) const KEYS: &[Key] = &[
    Key::with_default("journal.path", "data/journal.db"),
    Key::with_default("journal.retention", "72h"),
    Key::with_default("journal.max_bytes", "4GiB"),
];

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Journal> {
    let path = reader.value("journal.path", &PATH);
    let retention = reader.value("journal.retention", &DURATION);
    let max_bytes = reader.value("journal.max_bytes", &SIZE);
    Some(Journal {
        path: path?,
        retention: retention?,
        max_bytes: max_bytes?,
    })
}
