//! Strings the stages together: what `serve` and `dev` run.
//!
//! Whatever fails after the journal is open leaves deliveries where they are: on disk, to be published by the next start.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Config;
use crate::console::{self, Console};
use crate::control::{Actions, Socket};
use crate::journal::quarantine::Quarantine;
use crate::journal::{self, Journal, OpenError};
use crate::metrics::{Metrics, Observed, Watched};
use crate::publish::{Publisher, Reconciled, Routes, StartError, State};
use crate::receive::Receiver;
use crate::receive::health::{self, Health, Probe, Readiness};
use crate::reconcile::Reconcile;
use crate::registry::ids::Ids;
use crate::time::Timestamp;
use crate::traces::Traces;
use crate::verify::verifiers::Verifiers;

/// A bridge whose listeners are bound and whose journal is open.
pub struct Bridge {
    config: Config,
    receiver: Receiver,
    verifiers: Verifiers,
    probe: Probe,
    journal: Journal,
    quarantine: Quarantine,
    publisher: Publisher,
    metrics: Metrics,
    traces: Traces,
    /// `None` without an API key.
    reconcile: Option<Reconcile>,
    /// `None` when it could not be bound.
    control: Option<Socket>,
    /// `None` when it is off, or could not be bound.
    console: Option<Console>,
    webhooks: TcpListener,
    health: TcpListener,
}

/// Why a bridge could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartingError {
    /// An address is taken, or not this machine's.
    #[error("cannot listen on {address}, the {key}: is another process using it?")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The configuration's key.
        key: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The journal cannot be opened.
    #[error("cannot open the journal")]
    Journal(#[from] OpenError),
    /// The quarantine cannot be started.
    #[error("cannot start the quarantine's thread")]
    Quarantine(#[source] io::Error),
    /// The publisher cannot be started.
    #[error("cannot start the publisher")]
    Publisher(#[from] StartError),
}

impl Bridge {
    /// Binds the listeners, opens the journal and begins to publish what is pending in it.
    ///
    /// # Errors
    ///
    /// Whatever keeps the bridge from taking deliveries. Kafka does not: it may be away.
    pub async fn start(config: Config) -> Result<Self, StartingError> {
        let webhooks = bind(config.listen.webhooks, "listen.webhooks").await?;
        let health = bind(config.listen.health, "listen.health").await?;
        let journal = Journal::open_with(&config.journal.path, &journal_options(&config))?;
        let quarantine =
            Quarantine::open(&config.journal.path).map_err(StartingError::Quarantine)?;
        let metrics = Metrics::new();
        let traces = Traces::of_process(journal.uuid(), || metrics.spans());
        let telemetry = (metrics.clone(), traces.clone());
        let publisher = Publisher::start(&config, journal.clone(), telemetry)?;
        let probe = probe(&journal, publisher.state(), publisher.schema_ids());
        let receiver = Receiver::new(
            &config.listen,
            &config.webhooks,
            (journal.clone(), quarantine.clone()),
            probe.clone(),
            (&metrics, traces.clone()),
        );
        Ok(Self {
            receiver,
            reconcile: reconcile(&config, &journal, (publisher.reconciled(), &metrics)),
            verifiers: Verifiers::new(&config.webhooks),
            probe,
            journal,
            quarantine,
            publisher,
            metrics,
            traces,
            control: control_socket(&config),
            console: console(&config).await,
            webhooks,
            health,
            config,
        })
    }

    /// Where deliveries are taken; tells the port when 0 was configured.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn webhooks_address(&self) -> io::Result<SocketAddr> {
        self.webhooks.local_addr()
    }

    /// Where health is told.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn health_address(&self) -> io::Result<SocketAddr> {
        self.health.local_addr()
    }

    /// Where the console is; `None` when there is none.
    pub fn console_address(&self) -> Option<SocketAddr> {
        self.console.as_ref()?.address().ok()
    }

    /// What of it can be changed while it runs.
    pub fn changeable(&self) -> Changeable {
        Changeable {
            receiver: self.receiver.clone(),
            verifiers: self.verifiers.clone(),
            routes: self.publisher.routes(),
            reconcile: self.reconcile.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// Takes deliveries until `shutdown` resolves, gives the answers that are under way, and lets go of everything.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stop, stopped) = watch::channel(());
        self.metrics.watch(observe(
            &self.config,
            self.journal.clone(),
            self.quarantine.clone(),
            self.publisher.state(),
        ));
        let actions = Arc::new(Actions::following(
            &self.config,
            self.journal.clone(),
            self.verifiers.clone(),
            self.reconcile.clone(),
        ));
        let control = serve_control(self.control, Arc::clone(&actions), until(stopped.clone()));
        let parts = console::Parts {
            journal: self.journal.clone(),
            actions,
            probe: self.probe.clone(),
            observe: Arc::new(observe(
                &self.config,
                self.journal.clone(),
                self.quarantine.clone(),
                self.publisher.state(),
            )),
            metrics: self.metrics.clone(),
            publishing: self.publisher.state(),
            reconcile: self.reconcile.clone(),
        };
        let console = serve_console(self.console, (&self.config, parts), until(stopped.clone()));
        let deliveries = self.receiver.serve(self.webhooks, until(stopped.clone()));
        let health = health::serve(
            self.health,
            &self.config.listen,
            (self.probe, self.metrics),
            until(stopped.clone()),
        );
        let schema_ids = self.publisher.schema_ids().keep(until(stopped));
        let told = async {
            shutdown.await;
            tracing::info!("stopping: no more deliveries are taken");
            drop(stop);
        };
        tokio::join!(deliveries, health, control, console, schema_ids, told);
        let (publisher, journal, quarantine) = (self.publisher, self.journal, self.quarantine);
        let (traces, reconcile) = (self.traces, self.reconcile);
        let closing = tokio::task::spawn_blocking(move || {
            if let Some(reconcile) = reconcile {
                reconcile.stop();
            }
            publisher.stop();
            quarantine.close();
            journal.close();
            traces.close(LAST_SPANS);
        });
        if closing.await.is_err() {
            tracing::error!("closing failed; what is pending is published after the next start");
        }
        tracing::info!("stopped");
    }
}

/// What of a running bridge can be changed: webhooks with their secrets, the certificate, whose word on clients' addresses
/// is believed.
#[derive(Clone)]
pub struct Changeable {
    receiver: Receiver,
    verifiers: Verifiers,
    routes: Routes,
    reconcile: Option<Reconcile>,
    metrics: Metrics,
}

impl Changeable {
    /// Goes on with these parts of another configuration.
    pub fn apply(&self, config: &Config) {
        // Before a delivery comes in for it, the publisher knows where a webhook's events go.
        self.routes.replace(config);
        self.verifiers.replace(&config.webhooks);
        self.receiver.replace(config);
        if let Some(reconcile) = &self.reconcile {
            reconcile.replace(config);
        }
        self.metrics.reloaded();
    }

    /// Raises an alarm: another configuration was there, and the old one is gone on with.
    pub fn refuse(&self) {
        self.metrics.not_reloaded();
    }
}

/// How the journal is kept; the same for whoever opens it.
pub(crate) fn journal_options(config: &Config) -> journal::Options {
    journal::Options {
        max_bytes: config.journal.max_bytes,
        retention: config.journal.retention,
        ..journal::Options::default()
    }
}

async fn bind(address: SocketAddr, key: &'static str) -> Result<TcpListener, StartingError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| StartingError::Listen {
        address,
        key,
        source,
    })
}

/// Without it calls that were missed are not fetched; those that come are taken all the same.
fn reconcile(
    config: &Config,
    journal: &Journal,
    parts: (Reconciled, &Metrics),
) -> Option<Reconcile> {
    config.atoms.api_key.as_ref()?;
    let started = Reconcile::start(config, journal.clone(), parts);
    started
        .inspect_err(|error| {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "there is no reconciliation"
            );
        })
        .ok()
}

/// Commands that change something go without it, not deliveries.
fn control_socket(config: &Config) -> Option<Socket> {
    let bound = Socket::bind(&config.journal.path);
    bound
        .inspect_err(|error| {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "no control socket beside the journal: stop the bridge for `journal replay` and `quarantine retry` \
                 (a journal.path of less than 100 characters can have one)"
            );
        })
        .ok()
}

/// Nobody's call is lost for want of a page to look at.
async fn console(config: &Config) -> Option<Console> {
    let bound = Console::bind(config.listen.console.as_ref()?).await;
    bound
        .inspect_err(|error| {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "there is no console"
            );
        })
        .ok()
}

async fn serve_console(
    console: Option<Console>,
    (config, parts): (&Config, console::Parts),
    shutdown: impl Future<Output = ()>,
) {
    if let Some(console) = console {
        console.serve(config, parts, shutdown).await;
    }
}

async fn serve_control(
    socket: Option<Socket>,
    actions: Arc<Actions>,
    shutdown: impl Future<Output = ()>,
) {
    if let Some(socket) = socket {
        socket.serve(actions, shutdown).await;
    }
}

async fn until(mut stopped: watch::Receiver<()>) {
    // The sender is never used but to be dropped.
    while stopped.changed().await.is_ok() {}
}

/// How things stand. The journal decides whether the bridge is ready; Kafka and the registry are detail.
fn probe(journal: &Journal, kafka: State, schema_ids: Ids) -> Probe {
    let journal = journal.clone();
    Arc::new(move || Readiness {
        journal: health_of(journal.refusal().map(|refusal| refusal.to_string())),
        kafka: health_of(kafka.alarm()),
        registry: schema_ids.health().map(health_of),
    })
}

/// What `/metrics` looks up. What cannot be read is 0: readiness and the log say why.
fn observe(config: &Config, journal: Journal, quarantine: Quarantine, publisher: State) -> Watched {
    let journal_max_bytes = config.journal.max_bytes;
    Box::new(move || {
        let backlog = journal.backlog().unwrap_or_default();
        let disk = journal.disk();
        let quarantine_counts = quarantine.counts();
        let age_ms = |since: Timestamp| Timestamp::now().unix_ms() - since.unix_ms();
        let waited_ms = backlog.oldest.map_or(0, age_ms);
        Observed {
            accepting: journal.refusal().is_none(),
            publishing: publisher.hindrance().is_none(),
            wants_attention: publisher.finding().is_some(),
            pending_rows: backlog.rows,
            pending_bytes: backlog.bytes,
            pending_seconds: Duration::from_millis(waited_ms.max(0).unsigned_abs()).as_secs_f64(),
            journal_bytes: disk.journal_bytes,
            wal_bytes: disk.wal_bytes,
            journal_max_bytes,
            free_bytes: disk.free_bytes,
            quarantined: quarantine_counts.kept,
            not_quarantined: quarantine_counts.dropped,
            quarantine_bytes: disk.quarantine_bytes,
        }
    })
}

fn health_of(trouble: Option<String>) -> Health {
    trouble.map_or(Health::Ok, |reason| Health::Failing { reason })
}

/// How long the last spans may take to reach the collector: with all else less than the 10 s that orchestrators give.
const LAST_SPANS: Duration = Duration::from_secs(1);
