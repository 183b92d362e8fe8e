//! The quarantine: deliveries that were refused because nothing showed that they are the sender's.
//!
//! A wrong secret in the configuration would otherwise lose every call until somebody sees it. It is best effort, and never
//! at the cost of what is signed: a file and a budget of its own beside the journal, a thread of its own that rests longer
//! than it works, no fsync, a bounded queue. Whatever does not fit is dropped and counted. Nothing in it is ever published;
//! `quarantine retry` verifies it again.
//!
//! What cannot be a real call (without a signature's form or without a readable call id) goes first, then the oldest.

mod file;
mod queue;
mod rows;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use store::{Filter, Kept, Listed, QuarantineError, Store};

use super::fresh::on_its_own;
use super::place;
use crate::receive::delivery::Delivery;
use crate::verify::proof::Proof;
use crate::verify::{Refusal, Refused};
use queue::Queue;
use writer::Writer;

/// Takes refused deliveries. Clones share it; the last one that goes closes it.
#[derive(Debug, Clone)]
pub struct Quarantine(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How much is kept, how long, and how much of it waits in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How large the file may grow, in bytes. Default 256 MiB.
    pub max_bytes: u64,
    /// How long a delivery is kept. Default 7 days.
    pub keep: Duration,
    /// How many deliveries wait to be written. Default 4,096.
    pub queue_rows: usize,
    /// How many bytes of them. Default 32 MiB.
    pub queue_bytes: usize,
    /// Free space on the disk below which nothing is kept. Default 256 MiB: above the journal's own floor, which it must
    /// never be the first to reach.
    pub free_floor_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            keep: Duration::from_secs(7 * 24 * 3600),
            queue_rows: 4096,
            queue_bytes: 32 << 20,
            free_floor_bytes: 256 << 20,
        }
    }
}

/// How many deliveries came to the quarantine since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Written, though they may have made room for others since.
    pub kept: u64,
    /// Not written.
    pub dropped: u64,
}

/// A refused delivery on its way to the file.
#[derive(Debug)]
struct Candidate {
    delivery: Delivery,
    refusal: Refusal,
    proof: Proof,
}

/// The quarantine's file, beside its journal.
pub fn path_beside(journal: &Path) -> PathBuf {
    place::beside(journal, ".quarantine.db")
}

impl Quarantine {
    /// Opens the quarantine of the journal at that path, which this process must have open. A file that cannot be opened
    /// is tried again later: nothing here may keep the bridge from starting.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn open(journal: &Path) -> std::io::Result<Self> {
        Self::open_with(journal, &Limits::default())
    }

    /// As [`Quarantine::open`], with other limits.
    ///
    /// # Errors
    ///
    /// As [`Quarantine::open`].
    pub fn open_with(journal: &Path, limits: &Limits) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(limits));
        let writer = Writer::new(path_beside(journal), limits, Arc::clone(&queue));
        let thread = std::thread::Builder::new()
            .name("quarantine".to_owned())
            .spawn(|| writer.run())?;
        let thread = Mutex::new(Some(thread));
        Ok(Self(Arc::new(Handle { queue, thread })))
    }

    /// Takes a refused delivery if there is room for it; never waits.
    pub fn offer(&self, refused: Refused, proof: Proof) {
        let Refused { delivery, refusal } = refused;
        let body = on_its_own(delivery.body);
        let delivery = Delivery { body, ..delivery };
        self.0.queue.push(Candidate {
            delivery,
            refusal,
            proof,
        });
    }

    /// What became of those that came.
    pub fn counts(&self) -> Counts {
        self.0.queue.counts()
    }

    /// Takes nothing more, writes what waits, and blocks until that is done.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Handle {
    fn close(&self) {
        self.queue.close();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // A panic there was reported by its hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}
