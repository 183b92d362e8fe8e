//! Moves what is in the WAL into the file, on a thread of its own, so that no append pays for it.
//!
//! The WAL can only start anew when all of it has been moved, which a passive checkpoint never reaches beside a busy
//! writer. So the thread moves the bulk, and the writer itself the small rest, between two batches. SQLite syncs the file
//! with that rest alone; so that the writer, and all who wait for it, need not wait for the bulk too, the thread has synced
//! it before. Then, while the file grows, the system lets go of what was written some seconds ago: hardly anything of it is
//! read soon, and what is written next takes its memory, instead of pushing out what others have read, or waiting for memory
//! that a virtual machine must first get from its host.
//!
//! Two rules keep what was answered 200 when a disk fails an fsync once and then says that all is well, having dropped the
//! pages. The thread's connection stays open as long as the writer lives: the index of the WAL lives with it, so that a
//! commit that failed is written over by the next one and never found again by a recovery. And after a pass that failed,
//! none follows: SQLite would go on behind the pages that it believes moved, and then start the WAL anew, which alone
//! still has them. The next process moves all of the WAL again.

use std::fs::{File, Metadata};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::schema;

/// The writer's handle of the checkpoint thread.
pub(super) struct Checkpoints {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Bytes written since the last pass began.
    written: AtomicU64,
    /// The bulk is moved; the writer may move the rest.
    rest_is_small: AtomicBool,
    /// A pass failed: the WAL stays as it is.
    failed: AtomicBool,
    /// Up to where the file lies far from its end.
    far_from_end: AtomicU64,
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Checkpoints {
    /// Takes a connection of its own to the journal, and a descriptor of the file that is closed behind all connections.
    pub(super) fn start(conn: Connection, file: Arc<File>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            far_from_end: AtomicU64::new(far_from_end(&file.metadata()?)),
            ..Shared::default()
        });
        let of_thread = Arc::clone(&shared);
        let name = "journal-checkpoint".to_owned();
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || run(&of_thread, &conn, &file))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// A commit wrote about so much.
    pub(super) fn written(&self, bytes: u64) {
        let before = self.shared.written.fetch_add(bytes, Ordering::Relaxed);
        if before < PASS_BYTES && before + bytes >= PASS_BYTES {
            self.shared.wake.notify_one();
        }
    }

    /// Moves the rest if it is small, so that the next write starts the WAL anew.
    pub(super) fn finish(&self, conn: &Connection) {
        if self.shared.rest_is_small.swap(false, Ordering::Relaxed) {
            self.shared.pass(conn, "PASSIVE");
        }
    }

    /// Moves everything and cuts the WAL off, for a disk whose room is needed, or at the end. Whether that was done.
    pub(super) fn cut_wal(&self, conn: &Connection) -> bool {
        self.shared.pass(conn, "TRUNCATE").is_some()
    }

    pub(super) fn stop(&mut self) {
        *lock(&self.shared.stopped) = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its hook, and costs nothing but a longer WAL.
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(shared: &Shared, conn: &Connection, file: &File) {
    loop {
        let stopped = lock(&shared.stopped);
        let idle =
            |stopped: &mut bool| !*stopped && shared.written.load(Ordering::Relaxed) < PASS_BYTES;
        let result = shared.wake.wait_timeout_while(stopped, IDLE, idle);
        if *result.unwrap_or_else(PoisonError::into_inner).0 {
            return;
        }
        if shared.written.swap(0, Ordering::Relaxed) == 0 {
            continue;
        }
        if shared.move_bulk(conn, file) > START_ANEW_BYTES {
            // What was written while the bulk was synced.
            shared.move_bulk(conn, file);
            shared.rest_is_small.store(true, Ordering::Relaxed);
        }
    }
}

impl Shared {
    /// How large the WAL is; 0 when it was not moved.
    fn move_bulk(&self, conn: &Connection, file: &File) -> u64 {
        let Some(pages) = self.pass(conn, "PASSIVE") else {
            return 0;
        };
        if let Err(error) = file.sync_all() {
            self.fail(&error);
            return 0;
        }
        self.let_go(file);
        pages * u64::from(schema::PAGE_BYTES)
    }

    /// How many pages the WAL holds; nothing when they were not moved.
    fn pass(&self, conn: &Connection, mode: &str) -> Option<u64> {
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        match conn.query_row(&sql, [], |row| row.get::<_, i64>(1)) {
            Ok(pages) => u64::try_from(pages).ok(),
            // The disk is full, or somebody reads: nothing is wrong with what was moved.
            Err(error) if may_go_on(&error) => None,
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    /// Has the system drop from its cache what has come to lie far from the end of the file, which was just synced: once,
    /// since what is read again there may be read often. It is advice: whatever becomes of it, what is read comes from the
    /// disk.
    fn let_go(&self, file: &File) {
        let far = file
            .metadata()
            .map_or(0, |metadata| far_from_end(&metadata));
        let before = self.far_from_end.swap(far, Ordering::Relaxed);
        #[cfg(target_os = "linux")]
        if let Some(bytes) = NonZeroU64::new(far.saturating_sub(before)) {
            let _ = rustix::fs::fadvise(file, before, Some(bytes), rustix::fs::Advice::DontNeed);
        }
    }

    fn fail(&self, error: &(dyn std::error::Error + 'static)) {
        self.failed.store(true, Ordering::Relaxed);
        tracing::error!(
            error = error,
            "the disk refused a checkpoint of the journal; nothing is lost and deliveries are taken, but its WAL grows: look at the disk, then restart the bridge"
        );
    }
}

fn far_from_end(file: &Metadata) -> u64 {
    file.len().saturating_sub(CACHED_BYTES)
}

fn may_go_on(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
    error
        .sqlite_error_code()
        .is_some_and(|code| [DatabaseBusy, DatabaseLocked, DiskFull].contains(&code))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much is written before the thread begins a pass. While the disk takes what a pass has moved, commits wait for it:
/// little and often, so that no answer waits for long.
const PASS_BYTES: u64 = 2 << 20;
/// From this size on, the WAL is made to start anew.
const START_ANEW_BYTES: u64 = 32 << 20;
/// What was written is moved after this time, however little it is.
const IDLE: Duration = Duration::from_secs(1);
/// So much of the file's end stays in the system's cache, for a publisher that is some seconds behind at full load.
const CACHED_BYTES: u64 = 256 << 20;
