//! A gate in front of the registry: who does not say the right thing is sent away, as a registry with users does it.
//!
//! Apicurio itself wants an identity provider for that. It passes on whole requests, one a connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use super::http::{Answer, Client};

/// The gate; it ends with the test process.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    behind: SocketAddr,
    /// The `Authorization` header that lets through.
    wanted: String,
    /// So many requests more are answered 503.
    unwell: AtomicUsize,
    /// Paths that begin so are not there.
    hidden: OnceLock<&'static str>,
    passed: AtomicUsize,
}

impl Gate {
    /// A gate to that address for those who say `wanted` in `Authorization`.
    pub(crate) fn start(behind: SocketAddr, wanted: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let gate = Self {
            address: listener.local_addr().expect("it is bound"),
            shared: Arc::new(Shared {
                behind,
                wanted: wanted.to_owned(),
                unwell: AtomicUsize::new(0),
                hidden: OnceLock::new(),
                passed: AtomicUsize::new(0),
            }),
        };
        let shared = Arc::clone(&gate.shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client that goes away early is its own affair.
                let _ = shared.serve(client);
            }
        });
        gate
    }

    /// The next requests are answered 503, as by a registry that restarts.
    pub(crate) fn be_unwell(&self, requests: usize) {
        self.shared.unwell.store(requests, Ordering::SeqCst);
    }

    /// Paths that begin so are not there from now on, as with a registry that does not have all of the API.
    pub(crate) fn hide(&self, path: &'static str) {
        self.shared.hidden.set(path).expect("one path is hidden");
    }

    /// How many requests were let through.
    pub(crate) fn passed(&self) -> usize {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// Its address without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Shared {
    fn serve(&self, client: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let header = |name: &str| {
            let line = head
                .lines()
                .find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
        };
        let length = header("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let unwell = self
            .unwell
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        let path = head.split(' ').nth(1).unwrap_or_default();
        let answer = if unwell.is_ok() {
            plain(503)
        } else if self
            .hidden
            .get()
            .is_some_and(|hidden| path.starts_with(hidden))
        {
            plain(404)
        } else if header("authorization").as_deref() != Some(self.wanted.as_str()) {
            plain(401)
        } else {
            self.passed.fetch_add(1, Ordering::SeqCst);
            let method = head.split(' ').next().unwrap_or_default();
            let kind = header("content-type");
            let kind: Vec<(&str, &str)> = kind
                .iter()
                .map(|kind| ("content-type", kind.as_str()))
                .collect();
            Client::new(self.behind).request(method, path, &kind, &body)?
        };
        let kind = answer
            .header("content-type")
            .unwrap_or("text/plain")
            .to_owned();
        write!(
            reader.get_mut(),
            "HTTP/1.1 {} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.status,
            answer.body.len()
        )?;
        reader.get_mut().write_all(&answer.body)
    }
}

fn plain(status: u16) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}
