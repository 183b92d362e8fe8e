//! What the integration tests share: processes, a broker, the bridge, readers that are not ours.
//!
//! Two things stay true. No process outlives the test binary, not even when that is killed with -9 (`process`). And
//! nothing waits by sleeping a fixed time: every wait is for a condition, with a deadline that says what was missing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) mod bridge;
pub(crate) mod calls;
pub(crate) mod collector;
pub(crate) mod disk;
pub(crate) mod foreign;
pub(crate) mod gate;
pub(crate) mod healing;
pub(crate) mod hop;
pub(crate) mod http;
pub(crate) mod java;
pub(crate) mod kafka;
pub(crate) mod kcat;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod markers;
pub(crate) mod ports;
pub(crate) mod power;
pub(crate) mod process;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod reloading;
pub(crate) mod simulator;
pub(crate) mod strace;
pub(crate) mod tally;
pub(crate) mod tls;
pub(crate) mod trace;
pub(crate) mod web;

/// One broker for all tests that do not break it; started by the first that asks. Use names from [`unique`] on it.
pub(crate) fn shared_broker() -> &'static kafka::Broker {
    static BROKER: OnceLock<kafka::Broker> = OnceLock::new();
    BROKER.get_or_init(kafka::Broker::start)
}

/// A name that no other test of this run uses: letters, digits and hyphens, fit for a topic or the start of one.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{number}", std::process::id())
}

/// Asks `probe` until it has an answer.
///
/// Panics after `limit` with what was waited for and what the last probe saw.
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match probe() {
            Ok(answer) => return answer,
            Err(seen) if Instant::now() >= deadline => {
                panic!("waited {limit:?} for {what}; last seen: {seen}")
            }
            Err(_) => thread::sleep(BETWEEN_PROBES),
        }
    }
}

/// Says when it is dropped that something is over, so that nobody watches on when an assertion has failed meanwhile.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Short beside anything that is waited for, long beside the cost of a probe.
const BETWEEN_PROBES: Duration = Duration::from_millis(20);
