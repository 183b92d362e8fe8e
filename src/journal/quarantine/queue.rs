//! What waits to be written into the quarantine: two lanes, bounded together by number and bytes.
//!
//! Whoever pushes pays for a lock and never waits. When it is full, what looks signed takes the place of what does not.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Candidate, Counts, Limits};

#[derive(Debug)]
pub(super) struct Queue {
    most_rows: usize,
    most_bytes: usize,
    lanes: Mutex<Lanes>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Lanes {
    signed: VecDeque<Candidate>,
    unsigned: VecDeque<Candidate>,
    /// Of what waits, and of what was taken and is not written yet.
    bytes: usize,
    counts: Counts,
    closed: bool,
}

/// What the writer takes at once.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// In the order of arrival among those that look signed, and among the others behind them.
    pub(super) candidates: Vec<Candidate>,
    /// Nothing comes any more.
    pub(super) closed: bool,
}

impl Queue {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            most_rows: limits.queue_rows,
            most_bytes: limits.queue_bytes,
            lanes: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    pub(super) fn push(&self, candidate: Candidate) {
        let bytes = bytes_of(&candidate);
        let looks_signed = candidate.proof.looks_signed();
        let mut lanes = self.lock();
        while looks_signed && !self.fits(&lanes, bytes) && lanes.drop_unsigned() {}
        if lanes.closed || !self.fits(&lanes, bytes) {
            lanes.counts.dropped += 1;
            return;
        }
        lanes.bytes += bytes;
        let lane = if looks_signed {
            &mut lanes.signed
        } else {
            &mut lanes.unsigned
        };
        lane.push_back(candidate);
        drop(lanes);
        self.wake.notify_one();
    }

    fn fits(&self, lanes: &Lanes, bytes: usize) -> bool {
        let rows = lanes.signed.len() + lanes.unsigned.len();
        rows < self.most_rows && lanes.bytes + bytes <= self.most_bytes
    }

    /// Blocks until something waits, the queue is closed, or `timeout` is over.
    pub(super) fn take(&self, timeout: Duration) -> Taken {
        let lanes = self.lock();
        let idle = |lanes: &mut Lanes| {
            lanes.signed.is_empty() && lanes.unsigned.is_empty() && !lanes.closed
        };
        let waited = self.wake.wait_timeout_while(lanes, timeout, idle);
        let mut lanes = waited.unwrap_or_else(PoisonError::into_inner).0;
        let mut candidates = Vec::new();
        while candidates.len() < BATCH_ROWS {
            let next = lanes.signed.pop_front();
            let Some(next) = next.or_else(|| lanes.unsigned.pop_front()) else {
                break;
            };
            candidates.push(next);
        }
        Taken {
            closed: lanes.closed && candidates.is_empty(),
            candidates,
        }
    }

    /// Pauses, unless the queue is closed.
    pub(super) fn rest(&self, pause: Duration) {
        let waited = self
            .wake
            .wait_timeout_while(self.lock(), pause, |lanes| !lanes.closed);
        drop(waited);
    }

    /// What was taken is in the file, or will never be.
    pub(super) fn done(&self, candidates: &[Candidate], kept: bool) {
        let mut lanes = self.lock();
        lanes.bytes -= candidates.iter().map(bytes_of).sum::<usize>();
        let count = candidates.len() as u64;
        if kept {
            lanes.counts.kept += count;
        } else {
            lanes.counts.dropped += count;
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    /// Makes room; whether there was any to make.
    fn drop_unsigned(&mut self) -> bool {
        let Some(dropped) = self.unsigned.pop_front() else {
            return false;
        };
        self.bytes -= bytes_of(&dropped);
        self.counts.dropped += 1;
        true
    }
}

/// About what a delivery takes in memory.
fn bytes_of(candidate: &Candidate) -> usize {
    candidate.delivery.body.len() + candidate.proof.bytes() + OVERHEAD_BYTES
}

const OVERHEAD_BYTES: usize = 512;
const BATCH_ROWS: usize = 256;
