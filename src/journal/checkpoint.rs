//! Moves what is in the WAL into the file, on a thread of its own, so that no append pays for it.
//!
//! The WAL can only start anew when all of it has been moved, which a passive checkpoint never reaches beside a busy
//! writer. So the thread moves the bulk, and the writer itself the small rest, between two batches.

use std::path::PathBuf;
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
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl Checkpoints {
    pub(super) fn start(path: PathBuf) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let name = "journal-checkpoint".to_owned();
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || run(&of_thread, &path))?;
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
            pass(conn);
        }
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

fn run(shared: &Shared, path: &std::path::Path) {
    let mut conn = None;
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
        if conn.is_none() {
            conn = schema::open_beside(path).inspect_err(warn).ok();
        }
        let Some(open) = &conn else { continue };
        match pass(open) {
            Some(wal_pages) if wal_pages * u64::from(schema::PAGE_BYTES) > START_ANEW_BYTES => {
                shared.rest_is_small.store(true, Ordering::Relaxed);
            }
            Some(_) => {}
            None => conn = None,
        }
    }
}

/// How many pages the WAL holds.
fn pass(conn: &Connection) -> Option<u64> {
    let pages = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        row.get::<_, i64>(1)
    });
    pages
        .inspect_err(warn)
        .ok()
        .and_then(|pages| u64::try_from(pages).ok())
}

fn warn(error: &rusqlite::Error) {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "a checkpoint of the journal failed; nothing is lost, but its WAL grows until one succeeds"
    );
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much is written before the thread begins a pass.
const PASS_BYTES: u64 = 16 << 20;
/// From this size on, the WAL is made to start anew.
const START_ANEW_BYTES: u64 = 32 << 20;
/// What was written is moved after this time, however little it is.
const IDLE: Duration = Duration::from_secs(1);
