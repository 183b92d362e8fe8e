//! How fast the API is asked, and how long to wait before a question is asked again.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// Spreads requests evenly: whoever asks waits for a turn.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(requests_per_second: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / requests_per_second.max(1),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Resolves when the next request may go.
    pub(super) async fn turn(&self) {
        let mut next = self.next.lock().await;
        let turn = take(&mut next, Instant::now(), self.interval);
        drop(next);
        tokio::time::sleep_until(turn.into()).await;
    }

    /// Nobody has a turn for so long: the API asked for it.
    pub(super) async fn hold(&self, pause: Duration) {
        let mut next = self.next.lock().await;
        *next = (*next).max(Instant::now() + pause);
    }
}

/// The turn that `next` stands for, if that is not over.
fn take(next: &mut Instant, now: Instant, interval: Duration) -> Instant {
    let turn = (*next).max(now);
    *next = turn + interval;
    turn
}

/// The pause before try number `again` (from 1), anywhere between nothing and a length that doubles: many who failed
/// together do not come back together.
pub(super) fn pause(again: u32) -> Duration {
    pause_at(again, random())
}

/// `share`: of the whole, from 0 to `u32::MAX`.
fn pause_at(again: u32, share: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << again.saturating_sub(1).min(10));
    let whole = doubled.min(LONGEST_PAUSE);
    whole.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

/// The standard library seeds each of these anew.
fn random() -> u32 {
    let mixed = RandomState::new().hash_one(0_u8);
    u32::try_from(mixed >> 32).unwrap_or_default()
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_may_be_anything_below() {
        for (again, most_ms) in [
            (1, 500),
            (2, 1000),
            (3, 2000),
            (6, 16_000),
            (7, 30_000),
            (99, 30_000),
        ] {
            assert_eq!(pause_at(again, u32::MAX), Duration::from_millis(most_ms));
            assert_eq!(pause_at(again, 0), Duration::ZERO);
            assert!(pause(again) <= Duration::from_millis(most_ms));
        }
    }

    #[test]
    fn two_pauses_are_rarely_alike() {
        let pauses: std::collections::BTreeSet<Duration> = (0..16).map(|_| pause(5)).collect();
        assert!(pauses.len() > 8, "{pauses:?}");
    }

    #[test]
    fn turns_come_one_after_another_and_are_not_saved_up() {
        let (begun, interval) = (Instant::now(), Duration::from_millis(100));
        let mut next = begun;
        assert_eq!(take(&mut next, begun, interval), begun);
        assert_eq!(take(&mut next, begun, interval), begun + interval);
        let later = begun + Duration::from_secs(5);
        assert_eq!(take(&mut next, later, interval), later);
        assert_eq!(take(&mut next, later, interval), later + interval);
    }
}
