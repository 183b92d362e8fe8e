//! Whether there is room for more: `max_bytes` and a floor of free disk space, both met before SQLite would meet them.
//!
//! A full disk refuses deletes too, so the floor is what deletes are made with. Looks at the disk a few times a second
//! at most, and estimates in between.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::error::{AppendError, Limit};
use super::{Options, place};

/// The journal's room, as last seen.
pub(super) struct Space {
    path: PathBuf,
    max_bytes: u64,
    floor_bytes: u64,
    looked_at: Option<Instant>,
    used_bytes: u64,
    free_bytes: u64,
    written_since: u64,
}

/// How hard room is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pressure {
    /// Only age makes room.
    None,
    /// Published bodies go, the oldest first.
    Bodies,
    /// Then the oldest ids too.
    Ids,
}

impl Space {
    pub(super) fn new(path: &Path, options: &Options) -> Self {
        Self {
            path: path.to_owned(),
            max_bytes: options.max_bytes,
            floor_bytes: options.free_floor_bytes,
            looked_at: None,
            used_bytes: 0,
            free_bytes: u64::MAX,
            written_since: 0,
        }
    }

    /// Refuses when a limit is met.
    pub(super) fn check(&mut self, conn: Option<&Connection>) -> Result<(), AppendError> {
        let fresh = self.looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY);
        if !fresh || self.written_since > LOOK_AFTER_BYTES {
            self.look_at(conn);
        }
        if self.limit().is_some() && self.written_since > 0 {
            // Nobody is refused for an estimate.
            self.look_at(conn);
        }
        self.limit()
            .map_or(Ok(()), |limit| Err(AppendError::Full { limit }))
    }

    fn limit(&self) -> Option<Limit> {
        let Self {
            max_bytes,
            floor_bytes,
            ..
        } = *self;
        if self.used_bytes + self.written_since >= max_bytes {
            return Some(Limit::MaxBytes { max_bytes });
        }
        // What was written went into the WAL, and goes into the file from there.
        let low = self.free_bytes.saturating_sub(2 * self.written_since) < floor_bytes;
        low.then_some(Limit::FreeSpace { floor_bytes })
    }

    pub(super) fn used(&mut self, bytes: u64) {
        self.written_since += bytes;
    }

    pub(super) fn pressure(&self) -> Pressure {
        let used = self.used_bytes + self.written_since;
        if used >= self.max_bytes / 100 * 95 {
            Pressure::Ids
        } else if used >= self.max_bytes / 100 * 90 {
            Pressure::Bodies
        } else {
            Pressure::None
        }
    }

    /// Looks at once, since something was deleted.
    pub(super) fn look(&mut self, conn: &Connection) {
        self.look_at(Some(conn));
    }

    fn look_at(&mut self, conn: Option<&Connection>) {
        // A disk that cannot be asked is left to SQLite, whose error then says why.
        self.free_bytes = place::free_bytes(&self.path).unwrap_or(u64::MAX);
        if let Some(used) = conn.and_then(|conn| used_bytes(conn).ok()) {
            self.used_bytes = used;
        }
        self.written_since = 0;
        self.looked_at = Some(Instant::now());
    }
}

/// Pages in use times their size; the rest of the file is reused.
pub(super) fn used_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    let value = |name| conn.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let pages = value("page_count")?.saturating_sub(value("freelist_count")?);
    Ok(u64::from(pages) * u64::from(value("page_size")?))
}

const LOOK_EVERY: Duration = Duration::from_millis(200);
const LOOK_AFTER_BYTES: u64 = 16 << 20;
