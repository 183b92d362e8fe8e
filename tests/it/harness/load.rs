//! A sender under load that, unlike the real one, repeats each delivery until it is answered.
//!
//! So whatever it sent must be on its topic once, whoever was killed between: a repeat of what the journal had is a
//! duplicate, and of what it had not is the first.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::bridge::post;
use super::http::Client;
use super::{calls, until};

/// Lanes that post calls, one after another, until [`Load::finish`].
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    lanes: Vec<JoinHandle<Vec<String>>>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    answered: AtomicUsize,
}

impl Load {
    /// Begins to post to the webhook `default`, as fast as it is answered.
    pub(crate) fn start(bridge: SocketAddr) -> Self {
        Self::start_with(bridge, Duration::ZERO)
    }

    /// [`Load::start`] at some thousand deliveries a second at most: minutes of it are drained in seconds.
    pub(crate) fn start_paced(bridge: SocketAddr) -> Self {
        Self::start_with(bridge, Duration::from_millis(1))
    }

    fn start_with(bridge: SocketAddr, pause: Duration) -> Self {
        let shared = Arc::<Shared>::default();
        let lane = |lane: usize| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.post_calls(bridge, lane, pause))
        };
        Self {
            lanes: (0..LANES).map(lane).collect(),
            shared,
        }
    }

    /// Waits until so many more deliveries were answered 200.
    pub(crate) fn await_more(&self, count: usize) {
        let wanted = self.shared.answered.load(Ordering::Relaxed) + count;
        until(&format!("{count} more answers"), LIMIT, || {
            match self.shared.answered.load(Ordering::Relaxed) {
                answered if answered >= wanted => Ok(()),
                answered => Err(format!("{answered} of {wanted}")),
            }
        });
    }

    /// Ends once each lane's delivery under way is answered, and returns the ids of all.
    pub(crate) fn finish(self) -> BTreeSet<String> {
        self.shared.over.store(true, Ordering::Relaxed);
        self.lanes
            .into_iter()
            .flat_map(|lane| lane.join().expect("a lane does not panic"))
            .collect()
    }
}

impl Shared {
    fn post_calls(&self, bridge: SocketAddr, lane: usize, pause: Duration) -> Vec<String> {
        let mut client = Client::new(bridge);
        let mut ids = Vec::new();
        while !self.over.load(Ordering::Relaxed) {
            let (call, step) = (ids.len() / STEPS, ids.len() % STEPS);
            let call = format!("CALL-{lane}-{call}");
            post_until_answered(&mut client, &calls::delivery(&call, step));
            self.answered.fetch_add(1, Ordering::Relaxed);
            ids.push(calls::id(&call, step));
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
        ids
    }
}

fn post_until_answered(client: &mut Client, body: &[u8]) {
    until("an answer", LIMIT, || match post(client, "default", body) {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
        Err(error) => Err(error.to_string()),
    });
}

const LANES: usize = 4;
const STEPS: usize = 10;
const LIMIT: Duration = Duration::from_secs(60);
