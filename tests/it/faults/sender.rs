//! A sender like the real one: it posts each delivery once, whatever becomes of it, and writes down what it was told.
//!
//! A 200 is an obligation. A delivery without one may be on its topic or not. Some deliveries are posted again, byte for
//! byte: at once when there was no answer, or long after a 200, also over crashes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::chance::Chance;
use crate::harness::bridge::post;
use crate::harness::http::{Answer, Client};
use crate::harness::until;

/// A delivery, and what became of it as far as its sender knows.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) call: String,
    /// Made from everything that was sent; the event must hold it.
    pub(super) marker: String,
    /// Where Kafka must have it.
    pub(super) lands: Lands,
    /// Whether any posting of it was answered 200.
    pub(super) answered: bool,
    body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lands {
    /// On the topic of its type and on the topic of all events.
    AsEvent,
    /// On the dead-letter topic alone, since its own topic refuses it.
    AsDeadLetter,
}

/// Lanes that post until [`Sender::finish`]. All deliveries of a call are on one lane, one after another.
#[derive(Debug)]
pub(super) struct Sender {
    shared: Arc<Shared>,
    lanes: Vec<JoinHandle<Vec<Sent>>>,
}

#[derive(Debug)]
struct Shared {
    bridge: SocketAddr,
    seed: u64,
    over: AtomicBool,
    answered: AtomicUsize,
}

impl Sender {
    pub(super) fn start(bridge: SocketAddr, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            bridge,
            seed,
            over: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
        });
        let lane = |lane: usize| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || Lane::new(&shared, lane).run())
        };
        Self {
            lanes: (0..LANES).map(lane).collect(),
            shared,
        }
    }

    /// How many deliveries and repeats were answered 200.
    pub(super) fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more were answered 200.
    pub(super) fn await_more(&self, count: usize) {
        let wanted = self.answered() + count;
        until(&format!("{count} more answers"), LIMIT, || {
            let over = self.lanes.iter().any(JoinHandle::is_finished);
            assert!(
                !over,
                "a lane was answered what it did not expect: see above"
            );
            match self.answered() {
                answered if answered >= wanted => Ok(()),
                answered => Err(format!("{answered} of {wanted}")),
            }
        });
    }

    /// Ends behind each lane's delivery under way; what was sent, each call's deliveries in their order.
    pub(super) fn finish(self) -> Vec<Sent> {
        self.shared.over.store(true, Ordering::Relaxed);
        self.lanes
            .into_iter()
            .flat_map(|lane| lane.join().expect("a lane found what it expects"))
            .collect()
    }
}

/// One connection, and the calls that it tells about.
struct Lane<'a> {
    shared: &'a Shared,
    number: usize,
    client: Client,
    chance: Chance,
    open: Vec<OpenCall>,
    calls: usize,
    sent: Vec<Sent>,
}

struct OpenCall {
    id: String,
    next_step: usize,
    steps: usize,
}

impl<'a> Lane<'a> {
    fn new(shared: &'a Shared, number: usize) -> Self {
        Self {
            shared,
            number,
            client: Client::new(shared.bridge),
            chance: Chance::new(shared.seed, u64::try_from(number).expect("fits")),
            open: Vec::new(),
            calls: 0,
            sent: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<Sent> {
        while !self.shared.over.load(Ordering::Relaxed) {
            if !self.sent.is_empty() && self.chance.one_in(12) {
                self.repeat_an_old_one();
            } else {
                self.send_the_next();
            }
            thread::sleep(PACE);
        }
        self.sent
    }

    fn send_the_next(&mut self) {
        while self.open.len() < OPEN_CALLS {
            self.calls += 1;
            self.open.push(OpenCall {
                id: format!("CALL-{}-{}-{}", self.shared.seed, self.number, self.calls),
                next_step: 0,
                steps: self.chance.within(2..5),
            });
        }
        let place = self.chance.within(0..self.open.len());
        let (kind, padding) = (*self.chance.pick(&KINDS), self.chance.within(0..2_000));
        let call = &mut self.open[place];
        let mut sent = Sent::event(&call.id, call.next_step, kind, padding);
        call.next_step += 1;
        if call.next_step == call.steps {
            self.open.swap_remove(place);
        }
        let answer = self.post(&sent.body);
        // A new delivery that is called a duplicate would be one that was lost.
        sent.answered = is_kept(answer.as_ref(), "stored");
        if answer.is_none() && self.chance.one_in(2) {
            sent.answered = self
                .post(&sent.body)
                .is_some_and(|answer| answer.status == 200);
        }
        self.sent.push(sent);
    }

    fn repeat_an_old_one(&mut self) {
        let place = self.chance.within(0..self.sent.len());
        if self.sent[place].answered {
            let body = self.sent[place].body.clone();
            let answer = self.post(&body);
            is_kept(answer.as_ref(), "duplicate");
        }
    }

    fn post(&mut self, body: &[u8]) -> Option<Answer> {
        let answer = post(&mut self.client, "default", body).ok()?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }
}

/// Whether there was an answer; it must say `status`.
fn is_kept(answer: Option<&Answer>, status: &str) -> bool {
    let Some(answer) = answer else { return false };
    assert_eq!(answer.json()["status"], status, "{}", answer.text());
    true
}

impl Sent {
    /// A delivery that lands on its topic.
    pub(super) fn event(call: &str, step: usize, kind: &str, padding: usize) -> Self {
        let id = format!("{call}.{step}");
        let text = "Ja, das passt. ठीक है। 好的。 ".repeat(padding / 50 + 1);
        let marker = hex::encode(Sha256::digest(format!("{id} {kind} {text}")));
        let body = json!({
            "url": "https://example.com/webhook", "description": "Collections",
            "event": format!("agent.{kind}"), "id": id,
            "metadata": {
                "agentId": "69fc7dd072a0c1d28d948ace", "eventType": kind, "callId": call,
                "conversationType": "telephonyOutbound",
                "transcript": [{"role": "user", "content": text, "timestamp": "2026-05-08T07:52:05.123Z"}],
                "variables": {"marker": marker},
            },
        });
        Self {
            id,
            call: call.to_owned(),
            marker,
            lands: Lands::AsEvent,
            answered: false,
            body: body.to_string().into_bytes(),
        }
    }

    /// A delivery that its topic refuses when that takes no more than [`REFUSED_ABOVE_BYTES`].
    pub(super) fn poison(call: &str) -> Self {
        Self {
            lands: Lands::AsDeadLetter,
            ..Self::event(call, 0, REFUSING, 2 * REFUSED_ABOVE_BYTES)
        }
    }

    /// Posts it once.
    pub(super) fn post(mut self, bridge: SocketAddr) -> Self {
        let answer = post(&mut Client::new(bridge), "default", &self.body);
        self.answered = answer.is_ok_and(|answer| answer.status == 200);
        self
    }
}

/// The type whose topic refuses what is large.
const REFUSING: &str = "something-new";
/// How much that topic takes.
pub(super) const REFUSED_ABOVE_BYTES: usize = 300_000;

/// Most types come several times in a call, so that order within a topic shows too.
const KINDS: [&str; 10] = [
    "pre-conversation",
    "pre-conversation",
    "post-conversation",
    "post-conversation",
    "post-conversation",
    "post-conversation",
    "analytics-completed",
    "analytics-completed",
    "analytics-completed",
    REFUSING,
];
const LANES: usize = 6;
/// How many calls a lane tells about at a time.
const OPEN_CALLS: usize = 8;
/// Between two deliveries of a lane: a steady load that leaves the machine room for brokers that start.
const PACE: Duration = Duration::from_millis(40);
const LIMIT: Duration = Duration::from_secs(180);
