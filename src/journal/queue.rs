//! What the journal's callers and its writer thread share: the queue in, the progress out.
//!
//! Whoever queues pays for a lock and a push; the writer is only woken when it sleeps. After [`Shared::close`], or when
//! the writer is gone, nothing is taken any more, and whoever waits is told so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::append::Prepared;
use super::fresh::Fresh;
use super::replay::Replayed;
use super::{Appended, error::AppendError};

/// Shared by all clones of the journal and its threads.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    committed: Mutex<Committed>,
    progressed: Condvar,
    settled: watch::Sender<u64>,
    fresh: Mutex<Fresh>,
    refusal: Mutex<Option<AppendError>>,
}

/// An append that waits for its commit.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) prepared: Prepared,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
}

/// A rare change, whose caller blocks until it is on disk.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) change: Change,
    pub(super) answer: mpsc::SyncSender<Result<Replayed, AppendError>>,
}

/// What an [`Ask`] asks for.
#[derive(Debug)]
pub(super) enum Change {
    FreezePartitions(u32),
    RaiseOutSeq(u64),
    MarkDead {
        out_seq: u64,
        reason: String,
    },
    Replay {
        seqs: Vec<u64>,
        record_ms: i64,
    },
    TakeBack {
        rows: BTreeMap<u64, String>,
        below: u64,
    },
    /// Nothing but what was settled before.
    Flush,
}

/// What the writer finds when it looks.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) appends: VecDeque<Waiting>,
    pub(super) asks: Vec<Ask>,
    /// Everything below is published, and not yet written as such.
    pub(super) settle_below: Option<u64>,
    pub(super) closed: bool,
}

/// The state on disk that callers ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Committed {
    pub(super) next_out_seq: u64,
    pub(super) partitions: Option<u32>,
}

#[derive(Debug, Default)]
struct Queue {
    taken: Taken,
    settle_since: Option<Instant>,
    sleeping: bool,
}

impl Shared {
    pub(super) fn new(committed: Committed, settled_out_seq: u64) -> Self {
        Self {
            queue: Mutex::default(),
            wake: Condvar::new(),
            committed: Mutex::new(committed),
            progressed: Condvar::new(),
            settled: watch::Sender::new(settled_out_seq),
            fresh: Mutex::default(),
            refusal: Mutex::default(),
        }
    }

    /// Why the writer refused the last time it looked.
    pub(super) fn refusal(&self) -> Option<AppendError> {
        lock(&self.refusal).clone()
    }

    pub(super) fn refuse(&self, refusal: Option<AppendError>) {
        *lock(&self.refusal) = refusal;
    }

    pub(super) fn append(&self, waiting: Waiting) {
        let mut queue = lock(&self.queue);
        if !queue.taken.closed {
            queue.taken.appends.push_back(waiting);
            self.wake(queue);
        }
    }

    /// Blocks until the change is on disk.
    pub(super) fn ask(&self, change: Change) -> Result<(), AppendError> {
        self.ask_replay(change).map(|_| ())
    }

    /// As [`Shared::ask`], for the change whose outcome is more than done.
    pub(super) fn ask_replay(&self, change: Change) -> Result<Replayed, AppendError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let mut queue = lock(&self.queue);
        if !queue.taken.closed {
            queue.taken.asks.push(Ask { change, answer });
            self.wake(queue);
        } else {
            drop(answer);
            drop(queue);
        }
        answered.recv().unwrap_or(Err(AppendError::Closed))
    }

    /// Tells those who wait at once: Kafka's own mark is the truth, the journal's copy may follow with the next commit.
    pub(super) fn settle(&self, below_out_seq: u64) {
        // What nobody has committed cannot have been published.
        let below = below_out_seq.min(lock(&self.committed).next_out_seq);
        if !self.raise_settled(below) {
            return;
        }
        let mut queue = lock(&self.queue);
        let settled = queue.taken.settle_below.unwrap_or(0).max(below);
        queue.taken.settle_below = Some(settled);
        queue.settle_since.get_or_insert_with(Instant::now);
        self.wake(queue);
    }

    /// Takes back what was settled, once that is on disk.
    pub(super) fn unsettle(&self, from_out_seq: u64) {
        self.settled
            .send_modify(|settled| *settled = from_out_seq.min(*settled));
    }

    fn raise_settled(&self, below: u64) -> bool {
        self.settled.send_if_modified(|settled| {
            let higher = below > *settled;
            *settled = below.max(*settled);
            higher
        })
    }

    pub(super) async fn published(&self, out_seq: u64) {
        // Fails only without a sender, which `self` holds.
        let _ = self
            .settled
            .subscribe()
            .wait_for(|settled| *settled > out_seq)
            .await;
    }

    pub(super) fn settled(&self) -> u64 {
        *self.settled.borrow()
    }

    pub(super) fn wait_above(&self, out_seq: u64, timeout: Duration) -> u64 {
        let committed = lock(&self.committed);
        let waits = |c: &mut Committed| c.next_out_seq <= out_seq;
        let result = self
            .progressed
            .wait_timeout_while(committed, timeout, waits);
        result
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .next_out_seq
    }

    pub(super) fn committed(&self) -> Committed {
        *lock(&self.committed)
    }

    /// What was committed a moment ago.
    pub(super) fn fresh(&self) -> MutexGuard<'_, Fresh> {
        lock(&self.fresh)
    }

    /// Called after each commit.
    pub(super) fn publish(&self, committed: Committed, settled_out_seq: u64) {
        *lock(&self.committed) = committed;
        self.progressed.notify_all();
        self.raise_settled(settled_out_seq);
    }

    /// Nothing is taken from now on; what was queued is finished.
    pub(super) fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.taken.closed = true;
        self.wake(queue);
    }

    /// The writer is gone: whoever still waits hears that the journal is closed.
    pub(super) fn abandon(&self) {
        let mut queue = lock(&self.queue);
        queue.taken = Taken {
            closed: true,
            ..Taken::default()
        };
    }

    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        if std::mem::take(&mut queue.sleeping) {
            drop(queue);
            self.wake.notify_one();
        }
    }

    /// How many deliveries are queued.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.queue).taken.appends.len()
    }

    /// Everything queued; blocks until there is something to write, or `until`.
    pub(super) fn take(&self, until: Option<Instant>) -> Taken {
        let mut queue = lock(&self.queue);
        loop {
            let now = Instant::now();
            let settle_at = queue.settle_since.map(|since| since + SETTLE_DELAY);
            let deadline = [until, settle_at].into_iter().flatten().min();
            if queue.has_urgent_work() || deadline.is_some_and(|at| at <= now) {
                queue.settle_since = None;
                let closed = queue.taken.closed;
                return std::mem::replace(
                    &mut queue.taken,
                    Taken {
                        closed,
                        ..Taken::default()
                    },
                );
            }
            queue.sleeping = true;
            let wait = deadline.map_or(LONGEST_SLEEP, |at| at - now);
            let result = self.wake.wait_timeout(queue, wait);
            queue = result.unwrap_or_else(PoisonError::into_inner).0;
            queue.sleeping = false;
        }
    }
}

impl Queue {
    fn has_urgent_work(&self) -> bool {
        self.taken.closed || !self.taken.appends.is_empty() || !self.taken.asks.is_empty()
    }
}

/// A thread that panicked leaves nothing half done in what these locks hold.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a settled mark waits for an append's commit to ride on.
const SETTLE_DELAY: Duration = Duration::from_millis(50);
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
