//! Whether there is room for more: `max_bytes` and a floor of free disk space, both met before SQLite would meet them.
//!
//! A full disk refuses deletes too, so the floor is what deletes are made with. Looks at the disk a few times a second
//! at most, and estimates in between.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::Options;
use super::error::{AppendError, Limit};
use super::place::Disk;
use super::schema;

/// The journal's room, as last seen.
pub(super) struct Space {
    path: PathBuf,
    max_bytes: u64,
    /// On a disk that is large enough for it.
    floor_bytes: u64,
    looked_at: Option<Instant>,
    /// What rows took since then, and the WAL with them.
    written_since: u64,
    wal_since: u64,
    used_bytes: u64,
    disk: Disk,
    /// Free pages of the file, which are written before it grows.
    reusable_bytes: u64,
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
            written_since: 0,
            wal_since: 0,
            used_bytes: 0,
            disk: UNKNOWN,
            reusable_bytes: 0,
        }
    }

    /// Refuses when a limit is met.
    pub(super) fn check(&mut self, conn: Option<&Connection>) -> Result<(), AppendError> {
        if self.is_stale(LOOK_EVERY) || self.wal_since > self.floor_bytes() / 4 {
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
        let max_bytes = self.max_bytes;
        if self.used_bytes + self.written_since >= max_bytes {
            return Some(Limit::MaxBytes { max_bytes });
        }
        let floor_bytes = self.floor_bytes();
        // Rows may go where others were deleted, so that a journal which has filled its disk goes on once it is
        // published; but the WAL needs room of its own.
        let free = self.free_bytes();
        let low = free < floor_bytes / 2 || free.saturating_add(self.reusable_bytes) < floor_bytes;
        low.then_some(Limit::FreeSpace { floor_bytes })
    }

    /// Whether the WAL must be kept short, since the room is what was deleted.
    pub(super) fn is_tight(&self) -> bool {
        self.free_bytes() < self.floor_bytes()
    }

    /// What was written went into the WAL, and goes into the file from there.
    fn free_bytes(&self) -> u64 {
        let since = self.written_since + self.wal_since;
        self.disk.free_bytes.saturating_sub(since)
    }

    fn floor_bytes(&self) -> u64 {
        floor_bytes(self.floor_bytes, self.disk)
    }

    /// How large a batch may be: on a small disk, one that leaves room for the deletes.
    pub(super) fn batch_bytes(&self) -> u64 {
        BATCH_BYTES.min(self.floor_bytes() / 4)
    }

    /// A commit wrote rows of so many bytes.
    pub(super) fn used(&mut self, bytes: u64) {
        self.written_since += bytes;
        self.wal_since += bytes + COMMIT_WAL_BYTES;
    }

    pub(super) fn pressure(&self) -> Pressure {
        let used = self.used_bytes + self.written_since;
        if used >= self.max_bytes / 100 * 95 {
            Pressure::Ids
        } else if used >= self.max_bytes / 100 * 90 || self.is_tight() {
            Pressure::Bodies
        } else {
            Pressure::None
        }
    }

    /// Whether nobody has looked for so long.
    pub(super) fn is_stale(&self, after: Duration) -> bool {
        self.looked_at.is_none_or(|at| at.elapsed() >= after)
    }

    /// Something went otherwise than it was thought.
    pub(super) fn forget(&mut self) {
        self.looked_at = None;
    }

    /// Looks at once, since something was deleted.
    pub(super) fn look(&mut self, conn: &Connection) {
        self.look_at(Some(conn));
    }

    fn look_at(&mut self, conn: Option<&Connection>) {
        // A disk that does not tell is left to SQLite, whose error then says why.
        let told = Disk::of(&self.path)
            .ok()
            .filter(|disk| disk.total_bytes > 0);
        self.disk = told.unwrap_or(UNKNOWN);
        if let Some(pages) = conn.and_then(|conn| Pages::count(conn).ok()) {
            self.used_bytes = pages.used_bytes();
            self.reusable_bytes = pages.free * pages.size_bytes;
            // What is in the WAL alone has its place in the file still to come.
            let on_disk = fs::metadata(&self.path).map_or(0, |file| file.len());
            let to_come = (pages.all * pages.size_bytes).saturating_sub(on_disk);
            self.disk.free_bytes = self.disk.free_bytes.saturating_sub(to_come);
        }
        self.written_since = 0;
        self.wal_since = 0;
        self.looked_at = Some(Instant::now());
    }
}

/// What must stay free: on a small disk, a part of it.
pub(super) fn floor_bytes(wanted: u64, disk: Disk) -> u64 {
    wanted.min(disk.total_bytes / FLOOR_PART)
}

struct Pages {
    all: u64,
    free: u64,
    size_bytes: u64,
}

impl Pages {
    fn count(conn: &Connection) -> rusqlite::Result<Self> {
        let value = |name| conn.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        Ok(Self {
            all: value("page_count")?.into(),
            free: value("freelist_count")?.into(),
            size_bytes: value("page_size")?.into(),
        })
    }

    fn used_bytes(&self) -> u64 {
        self.all.saturating_sub(self.free) * self.size_bytes
    }
}

/// Pages in use times their size; the rest of the file is reused.
pub(super) fn used_bytes(conn: &Connection) -> rusqlite::Result<u64> {
    Pages::count(conn).map(|pages| pages.used_bytes())
}

/// Of a disk that does not tell.
const UNKNOWN: Disk = Disk {
    free_bytes: u64::MAX,
    total_bytes: u64::MAX,
};
/// The floor is a twentieth of a small disk.
const FLOOR_PART: u64 = 20;
const BATCH_BYTES: u64 = 16 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What a commit writes to the WAL beside its rows: a page or two of each table.
const COMMIT_WAL_BYTES: u64 = 12 * schema::PAGE_BYTES as u64;
