//! Ports for programs that must know theirs before they start: below the range the system hands out by itself.
//!
//! A port from the system's own range may be given to some client socket between our look and the program's bind; one
//! from below it can only meet another test process, which begins at another place.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A loopback address that nothing listens on, handed out once per test process.
pub(crate) fn free_address() -> SocketAddr {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // A prime stride spreads neighbouring process ids over the range.
    let start = std::process::id().wrapping_mul(211);
    (0..COUNT)
        .map(|_| start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .map(|offset| {
            SocketAddr::from((
                Ipv4Addr::LOCALHOST,
                FIRST + u16::try_from(offset).expect("COUNT fits"),
            ))
        })
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("no free port between 12000 and 32000")
}

/// The ports that the bridge takes when nothing else is configured: whoever runs it so holds them, the others wait.
pub(crate) fn default_ports() -> MutexGuard<'static, ()> {
    static HELD: Mutex<()> = Mutex::new(());
    // A test that failed has let go of them all the same.
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

const FIRST: u16 = 12_000;
const COUNT: u32 = 20_000;
