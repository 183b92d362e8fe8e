//! How many bytes of bodies may be in memory at once.
//!
//! A body takes its share as it arrives, not as it is declared: who sends nothing holds nothing. Small bodies have a lane
//! of their own, so that many large ones do not hold up ordinary calls.
//!
//! Shares that grow could wait for each other without end. So where a lane is full, one request at a time may go on
//! beyond it; that one always finishes or runs into its time limit, and what it held goes to the next.
//!
//! What bodies take is at most [`SMALL_LANE_KIB`] + [`LARGE_LANE_KIB`] + 64 KiB + `listen.max_body`; a body without a
//! `Content-Length` may take twice its share while it grows.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Room for the bodies of all requests under way.
pub(super) struct Budget {
    small: Lane,
    large: Lane,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self::with_lanes(SMALL_LANE_KIB, LARGE_LANE_KIB)
    }

    fn with_lanes(small_kib: usize, large_kib: usize) -> Self {
        Self {
            small: Lane::new(small_kib),
            large: Lane::new(large_kib),
        }
    }

    /// The share of a body that is declared or known to have `bytes`, of which nothing is there yet.
    pub(super) fn share(&self, bytes: u64) -> Share<'_> {
        Share {
            large: &self.large,
            lane: if bytes > SMALL_BYTES {
                &self.large
            } else {
                &self.small
            },
            held_kib: 0,
            held: None,
            beyond: None,
        }
    }
}

struct Lane {
    room_kib: Semaphore,
    beyond: Semaphore,
}

impl Lane {
    fn new(kib: usize) -> Self {
        Self {
            room_kib: Semaphore::new(kib),
            beyond: Semaphore::new(1),
        }
    }
}

/// What one body holds of the budget; dropped, it is free again.
pub(super) struct Share<'a> {
    large: &'a Lane,
    lane: &'a Lane,
    held_kib: u32,
    held: Option<SemaphorePermit<'a>>,
    /// Leave to go on although the lane is full.
    beyond: Option<SemaphorePermit<'a>>,
}

impl Share<'_> {
    /// Waits until the body may have `bytes` altogether.
    pub(super) async fn grow_to(&mut self, bytes: u64) {
        if bytes > SMALL_BYTES && !std::ptr::eq(self.lane, self.large) {
            *self = Self {
                large: self.large,
                lane: self.large,
                held_kib: 0,
                held: None,
                beyond: None,
            };
        }
        let wanted_kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let missing_kib = wanted_kib.saturating_sub(self.held_kib);
        if missing_kib > 0 && self.beyond.is_none() {
            self.take(missing_kib).await;
        }
    }

    async fn take(&mut self, kib: u32) {
        let lane = self.lane;
        let taken = match lane.room_kib.try_acquire_many(kib) {
            Ok(permit) => Some(permit),
            Err(_) => tokio::select! {
                biased;
                permit = lane.room_kib.acquire_many(kib) => Some(permit.expect("never closed")),
                permit = lane.beyond.acquire() => {
                    self.beyond = Some(permit.expect("never closed"));
                    None
                }
            },
        };
        let Some(taken) = taken else { return };
        self.held_kib += kib;
        match &mut self.held {
            Some(held) => held.merge(taken),
            None => self.held = Some(taken),
        }
    }
}

/// Bodies up to this size use the small lane. An ordinary call has about 6 KiB.
const SMALL_BYTES: u64 = 64 * 1024;
const SMALL_LANE_KIB: usize = 64 * 1024;
const LARGE_LANE_KIB: usize = 192 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Whether the share grows without waiting for anyone.
    async fn grows(share: &mut Share<'_>, bytes: u64) -> bool {
        tokio::time::timeout(Duration::from_millis(20), share.grow_to(bytes))
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn shares_that_wait_for_each_other_go_on_one_at_a_time() {
        let budget = Budget::with_lanes(64, 200);
        let (mut first, mut second) = (budget.share(MANY), budget.share(MANY));
        assert!(grows(&mut first, 100 * 1024).await);
        assert!(grows(&mut second, 100 * 1024).await);
        assert!(grows(&mut first, MANY).await, "one may go beyond");
        assert!(!grows(&mut second, MANY).await, "the other waits");
        drop(first);
        assert!(grows(&mut second, MANY).await, "and follows");
    }

    #[tokio::test]
    async fn small_bodies_do_not_wait_for_large_ones() {
        let budget = Budget::with_lanes(64, 200);
        let (mut first, mut second) = (budget.share(MANY), budget.share(MANY));
        assert!(grows(&mut first, 200 * 1024).await);
        assert!(grows(&mut second, MANY).await);
        assert!(grows(&mut budget.share(6000), 6000).await);
    }

    #[tokio::test]
    async fn a_body_that_outgrows_the_small_lane_leaves_it() {
        let budget = Budget::with_lanes(64, 200);
        let mut share = budget.share(0);
        assert!(grows(&mut share, SMALL_BYTES).await);
        assert!(grows(&mut share, SMALL_BYTES + 1).await);
        assert_eq!(budget.small.room_kib.available_permits(), 64);
        assert_eq!(budget.large.room_kib.available_permits(), 200 - 65);
        drop(share);
        assert_eq!(budget.large.room_kib.available_permits(), 200);
    }

    const MANY: u64 = 1 << 20;
}
