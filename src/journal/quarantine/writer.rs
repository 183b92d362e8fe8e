//! The quarantine's thread: writes what waits, makes room, and tells now and then what was dropped.
//!
//! After each batch it rests for longer than it worked, so that a flood of refused deliveries costs those that are signed
//! at most a part of one core.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::place;
use super::queue::{Queue, Taken};
use super::store::{QuarantineError, Store};
use super::{Candidate, Limits, file};
use crate::time::Timestamp;

pub(super) struct Writer {
    path: PathBuf,
    limits: Limits,
    queue: Arc<Queue>,
    store: Option<Store>,
    /// Not tried again before.
    open_at: Instant,
    expire_at: Instant,
    told: Told,
}

/// What the log has heard of what was dropped.
struct Told {
    at: Option<Instant>,
    dropped: u64,
}

impl Writer {
    pub(super) fn new(path: PathBuf, limits: &Limits, queue: Arc<Queue>) -> Self {
        let now = Instant::now();
        Self {
            path,
            limits: limits.clone(),
            queue,
            store: None,
            open_at: now,
            expire_at: now,
            told: Told {
                at: None,
                dropped: 0,
            },
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let Taken { candidates, closed } = self.queue.take(EXPIRE_EVERY);
            if closed {
                return self.tell(Instant::now());
            }
            let began = Instant::now();
            if !candidates.is_empty() {
                let kept = self.write(&candidates);
                self.queue.done(&candidates, kept);
            }
            self.expire(began);
            if self.told.at.is_none_or(|at| at + TELL_EVERY <= began) {
                self.tell(began);
            }
            self.queue.rest(began.elapsed() * RESTS_TIMES);
        }
    }

    fn write(&mut self, candidates: &[Candidate]) -> bool {
        let free_bytes = place::Disk::of(&self.path).map_or(u64::MAX, |disk| disk.free_bytes);
        if free_bytes < self.limits.free_floor_bytes || !self.ensure_open() {
            return false;
        }
        let Some(store) = &mut self.store else {
            return false;
        };
        let written = store
            .insert(candidates)
            .and_then(|()| store.make_room(self.limits.max_bytes));
        if let Err(error) = &written {
            self.give_up(error);
        }
        written.is_ok()
    }

    fn ensure_open(&mut self) -> bool {
        if self.store.is_none() && Instant::now() >= self.open_at {
            match Store::open_or_create(&self.path) {
                Ok(store) => self.store = Some(store),
                Err(error) => self.give_up(&error),
            }
        }
        self.store.is_some()
    }

    /// Leaves the file alone for a while. What a power cut has damaged is set aside.
    fn give_up(&mut self, error: &QuarantineError) {
        self.store = None;
        self.open_at = Instant::now() + AFTER_ERROR;
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "refused deliveries cannot be kept in the quarantine now"
        );
        if error.is_damage() && file::set_aside(&self.path).is_ok() {
            self.open_at = Instant::now();
            tracing::warn!("the damaged quarantine was set aside as *.damaged; a new one is begun");
        }
    }

    fn expire(&mut self, now: Instant) {
        if now < self.expire_at || !self.path.exists() || !self.ensure_open() {
            return;
        }
        let keep_ms = i64::try_from(self.limits.keep.as_millis()).unwrap_or(i64::MAX);
        let before_ms = Timestamp::now().unix_ms().saturating_sub(keep_ms);
        let expired = self
            .store
            .as_mut()
            .map_or(Ok(false), |store| store.expire(before_ms));
        match expired {
            Ok(more) if more => {}
            Ok(_) => self.expire_at = now + EXPIRE_EVERY,
            Err(error) => self.give_up(&error),
        }
    }

    fn tell(&mut self, now: Instant) {
        let counts = self.queue.counts();
        let dropped = counts.dropped - self.told.dropped;
        if dropped > 0 {
            tracing::warn!(
                dropped,
                dropped_in_all = counts.dropped,
                kept_in_all = counts.kept,
                "refused deliveries came faster than the quarantine takes them, or its disk is full; they were not kept"
            );
            self.told = Told {
                at: Some(now),
                dropped: counts.dropped,
            };
        }
    }
}

/// A rest is so many times as long as the work before it.
const RESTS_TIMES: u32 = 3;
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
const TELL_EVERY: Duration = Duration::from_secs(10);
const AFTER_ERROR: Duration = Duration::from_secs(10);
