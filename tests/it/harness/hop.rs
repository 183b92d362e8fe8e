//! A TCP hop between a client and the broker that can hold back what a client sent, beyond that client's death.
//!
//! It knows as much of Kafka's protocol as it needs: a request is four bytes of length, then two of its kind. From the
//! first request of the kind to be held on, a connection's bytes stay in the hop until [`Hop::release`].

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::Duration;

use super::until;

/// The hop; it ends with the test process.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A request of Kafka's protocol, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Records.
    Produce = 0,
    /// The end of a transaction: its commit.
    EndTxn = 26,
    /// The mark.
    TxnOffsetCommit = 28,
}

#[derive(Debug, Default)]
struct Shared {
    broker: OnceLock<SocketAddr>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    hold: Option<Request>,
    /// Connections of which bytes are here.
    held: usize,
    /// Connections whose client is gone, and whose bytes are here.
    left_behind: usize,
    released: bool,
    /// Answers of the broker to what was released.
    answers: usize,
}

impl Hop {
    /// A hop whose address may be given to a broker as the one that it advertises.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let hop = Self {
            address: listener.local_addr().expect("it is bound"),
            shared: Arc::default(),
        };
        let shared = Arc::clone(&hop.shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let shared = Arc::clone(&shared);
                let client = client.expect("a connection");
                // A broker that is away looks to the client as it would without the hop.
                thread::spawn(move || shared.join(client));
            }
        });
        hop
    }

    /// Where clients come in.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where they are taken to; said once.
    pub(crate) fn lead_to(&self, broker: SocketAddr) {
        self.shared.broker.set(broker).expect("said once");
    }

    /// From now on each connection stops at its first request of that kind.
    pub(crate) fn hold(&self, kind: Request) {
        *self.shared.state() = State {
            hold: Some(kind),
            ..State::default()
        };
    }

    /// Waits until a request of that kind is here. A busy machine may take its time to send one.
    pub(crate) fn await_held(&self) {
        until("a request of the kind to hold", LIMIT, || {
            match self.shared.state().held {
                0 => Err("the hop holds none".to_owned()),
                _ => Ok(()),
            }
        });
    }

    /// New requests pass again; what is held stays. Waits until a client has gone and left something here.
    pub(crate) fn await_left_behind(&self) {
        self.shared.state().hold = None;
        until("bytes of a client that is gone", LIMIT, || {
            match self.shared.state().left_behind {
                0 => Err("the hop holds none".to_owned()),
                _ => Ok(()),
            }
        });
    }

    /// Sends on what was held, and waits until the broker has answered to it.
    pub(crate) fn release(&self) {
        self.shared.state().released = true;
        self.shared.changed.notify_all();
        until(
            "the broker's answer to the late bytes",
            LIMIT,
            || match self.shared.state().answers {
                0 => Err("none".to_owned()),
                _ => Ok(()),
            },
        );
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with it")
    }

    fn join(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        let broker = TcpStream::connect(self.broker.get().expect("lead_to was called"))?;
        for stream in [&client, &broker] {
            stream.set_nodelay(true)?;
        }
        let (answers_from, answers_to) = (broker.try_clone()?, client.try_clone()?);
        let back = Arc::clone(&self);
        thread::spawn(move || back.answer(answers_from, answers_to));
        self.forward(client, broker)
    }

    /// Takes requests to the broker, or keeps them.
    fn forward(&self, mut client: TcpStream, mut broker: TcpStream) -> io::Result<()> {
        let mut held = Vec::new();
        while let Ok(request) = frame(&mut client) {
            if held.is_empty() && !self.is_to_hold(&request) {
                broker.write_all(&request)?;
            } else {
                self.state().held += usize::from(held.is_empty());
                held.extend(request);
            }
        }
        if held.is_empty() {
            return broker.shutdown(Shutdown::Both);
        }
        let mut state = self.state();
        state.left_behind += 1;
        let released = self.changed.wait_while(state, |state| !state.released);
        drop(released.expect("no thread panics with it"));
        broker.write_all(&held)
    }

    fn is_to_hold(&self, request: &[u8]) -> bool {
        let kind = i16::from_be_bytes([request[4], request[5]]);
        self.state().hold.is_some_and(|hold| hold as i16 == kind)
    }

    /// Takes answers back, or counts them when nobody is there to hear them.
    fn answer(&self, mut broker: TcpStream, mut client: TcpStream) -> io::Result<()> {
        loop {
            let Ok(answer) = frame(&mut broker) else {
                return client.shutdown(Shutdown::Both);
            };
            // To a client that is gone the write fails, sooner or later.
            let _ = client.write_all(&answer);
            let mut state = self.state();
            state.answers += usize::from(state.released);
        }
    }
}

/// A request or an answer with the length before it.
fn frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut frame = length.to_vec();
    frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

const LIMIT: Duration = Duration::from_secs(30);
