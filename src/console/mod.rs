//! The console: one page for people at a listener of its own, because it shows what was said.
//!
//! It is on loopback or asks for a token (`guard`), writes every value as text (`maud` escapes; there is no way round it
//! here), and loads nothing but its own two files. It reads the journal as the commands do, beside the writer, each page
//! in short transactions; what it changes goes the way of the commands too ([`crate::control::Actions`]). Without it the
//! bridge takes and publishes deliveries all the same: nothing here may keep it from starting.
//!
//! ```text
//! indexer   the thread: journal → index, minutes, how things stand     guard    host, token, origin, headers
//! desk      what a page reads with                                     page     the frame, and small parts of pages
//! overview  how things stand, and what arrives (live)                  chart    the last hour
//! search    by call, agent, type, state, time                          rows     deliveries as a table
//! call      a call's events on one timeline                            dialogue what was said
//! event     a stored delivery, read as the publisher reads it
//! delivery  raw body beside canonical event                            mapping  what was mapped where
//! letters   dead letters, and quarantine, with retry                   json     JSON as lines
//! completeness   which calls lack which events, and why
//! ```

mod assets;
mod call;
mod chart;
mod completeness;
mod delivery;
mod desk;
mod dialogue;
mod event;
mod guard;
mod indexer;
mod json;
mod letters;
mod live;
mod login;
mod mapping;
mod overview;
mod page;
mod quarantine;
mod rows;
mod search;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::watch as channel;

use crate::config::{self, Config};
use crate::control::Actions;
use crate::journal::Journal;
use crate::metrics::{Metrics, Watched};
use crate::publish::State as Publishing;
use crate::receive::health::Probe;
use crate::receive::listener;
use crate::reconcile::Reconcile;
use guard::Guard;
use indexer::Indexer;
use watch::Standing;

/// A console whose listener is bound.
pub struct Console {
    listener: TcpListener,
    guard: Guard,
}

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// Beyond loopback, and open to everybody.
    #[error("it would show what people said to anyone: set listen.console_token")]
    NoToken,
    /// The address is taken, or not this machine's.
    #[error(
        "cannot listen on {0}: is another process using it? Set listen.console to another address, or to \"off\""
    )]
    Listen(SocketAddr, #[source] io::Error),
}

/// What the console looks at.
pub struct Parts {
    /// The journal, open.
    pub journal: Journal,
    /// What changes it.
    pub actions: Arc<Actions>,
    /// How things stand.
    pub probe: Probe,
    /// The same in numbers.
    pub observe: Arc<Watched>,
    /// What was counted.
    pub metrics: Metrics,
    /// How publishing goes.
    pub publishing: Publishing,
    /// What fetches what was missed; `None` without an API key.
    pub reconcile: Option<Reconcile>,
}

impl Console {
    /// Binds the listener.
    ///
    /// # Errors
    ///
    /// When the address is taken, or is beyond loopback without a token.
    pub async fn bind(console: &config::Console) -> Result<Self, ConsoleError> {
        if !console.address.ip().is_loopback() && console.token.is_none() {
            return Err(ConsoleError::NoToken);
        }
        let listener = TcpListener::bind(console.address)
            .await
            .map_err(|error| ConsoleError::Listen(console.address, error))?;
        Ok(Self {
            listener,
            guard: Guard::new(console),
        })
    }

    /// Where it listens; tells the port when 0 was configured.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves pages until `shutdown` resolves.
    pub async fn serve(self, config: &Config, parts: Parts, shutdown: impl Future<Output = ()>) {
        let (stop, stopped) = channel::channel(());
        let standing = Standing::default();
        let indexer = Indexer::start(config, &parts, standing.clone());
        let shared = Arc::new(Shared {
            guard: self.guard,
            config: config.clone(),
            actions: parts.actions,
            probe: parts.probe,
            reconcile: parts.reconcile,
            standing,
            readers: Semaphore::new(READERS),
            viewers: Arc::new(Semaphore::new(VIEWERS)),
            stopped,
        });
        let shutdown = async {
            shutdown.await;
            // Live pages end with it; they would never by themselves.
            drop(stop);
        };
        let router = router(shared);
        listener::serve(self.listener, router, config.listen.read_timeout, shutdown).await;
        // It may be in the middle of a batch.
        let stopping = tokio::task::spawn_blocking(move || drop(indexer));
        if stopping.await.is_err() {
            tracing::error!("the console's thread panicked");
        }
    }
}

/// What all pages share.
struct Shared {
    guard: Guard,
    config: Config,
    actions: Arc<Actions>,
    probe: Probe,
    reconcile: Option<Reconcile>,
    standing: Standing,
    /// Pages that may read at a time: they must not take the machine from deliveries.
    readers: Semaphore,
    /// Live pages that may be open at a time.
    viewers: Arc<Semaphore>,
    /// Fails once it is time to stop.
    stopped: channel::Receiver<()>,
}

type App = Arc<Shared>;

fn router(shared: App) -> Router {
    Router::new()
        .route("/", get(overview::overview))
        .route("/live", get(live::live))
        .route("/search", get(search::search))
        .route("/call", get(call::call))
        .route("/completeness", get(completeness::completeness))
        .route("/deliveries/{seq}", get(delivery::delivery))
        .route("/deliveries/{seq}/body", get(delivery::body))
        .route("/dead-letters", get(letters::letters))
        .route("/dead-letters/retry", post(letters::retry))
        .route("/quarantine", get(quarantine::list))
        .route("/quarantine/retry", post(quarantine::retry))
        .route("/login", get(login::ask).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/console.css", get(assets::css))
        .route("/console.js", get(assets::js))
        .route("/icon.svg", get(assets::icon))
        .fallback(page::no_such_page)
        .method_not_allowed_fallback(page::other_method)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            guard::guard,
        ))
        .with_state(shared)
}

const READERS: usize = 2;
const VIEWERS: usize = 32;
