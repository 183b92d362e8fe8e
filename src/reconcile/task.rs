//! The thread: compares and fills now and then, does what is due, and a run that somebody asks for in between.
//!
//! Whatever fails costs time and no place: a scan goes on at its page, a run at its own, what is due stays due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::{Engine, Setup, Trouble};
use super::judge::earlier;
use super::run::Progress;
use super::running::Stage;
use super::scan::{Extent, Scan};
use super::{Figures, Shared, StartError, election_group};
use crate::atoms::Client;
use crate::config::Config;
use crate::journal::ledger::{Ledger, LedgerError};
use crate::metrics::{Metrics, Window};
use crate::publish::Stop;
use crate::publish::elect::Election;
use crate::route::DEAD_LETTER;
use crate::time::Timestamp;

/// What the thread has.
pub(super) struct Task {
    pub(super) engine: Engine,
    /// How often it compares by itself; `None`: never.
    pub(super) every: Option<Duration>,
    pub(super) shared: Arc<Shared>,
    scan: Option<Scan>,
    next_at: Instant,
    /// When completeness is figured out next.
    figures_at: Instant,
    troubled_since: Option<Instant>,
    pub(super) run: Option<Stage>,
}

impl Task {
    pub(super) fn new(
        config: &Config,
        ledger: Ledger,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let client = Client::new(&config.atoms)?;
        let kept = (metrics.reconcile(), Stop::default());
        Ok(Self {
            engine: Engine::new(Setup::of(config), client, ledger, kept),
            every: None,
            shared: Arc::default(),
            scan: None,
            next_at: Instant::now(),
            figures_at: Instant::now(),
            troubled_since: None,
            run: None,
        })
    }

    /// Runs until it is told to stop.
    pub(super) fn run(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.live()),
            Err(error) => tracing::error!(%error, "reconciliation has no runtime"),
        }
        // Another bridge has the place at once.
        self.engine.election = None;
    }

    async fn live(&mut self) {
        self.shared.state().standing.is_task = self.every.is_some();
        if self.every.is_some() {
            self.engine.election = self.join();
        }
        while !self.engine.stop.is_set() {
            self.take_changes();
            self.observe_election();
            let is_due = self.every.is_some() && Instant::now() >= self.next_at;
            if is_due {
                let done = self.cycle().await;
                self.note(done);
                let figured = self.figure();
                self.note_figures(figured);
                self.next_at = Instant::now() + self.every.unwrap_or(IDLE);
            }
            let is_busy = self.step_run().await;
            self.engine.metrics.requests(self.engine.client.requests());
            if !is_busy {
                self.rest();
            }
        }
    }

    /// Waits for something to do.
    fn rest(&self) {
        let state = self.shared.state();
        let until = match self.every {
            Some(_) => self.next_at.saturating_duration_since(Instant::now()),
            None => IDLE,
        };
        if state.asked.is_none() && state.setup.is_none() && !self.engine.stop.is_set() {
            // Whatever it wakes up for is looked at.
            drop(self.shared.changed.wait_timeout(state, until.min(IDLE)));
        }
    }

    fn take_changes(&mut self) {
        let mut state = self.shared.state();
        let (setup, asked) = (state.setup.take(), state.asked.take());
        drop(state);
        if let Some(setup) = setup {
            self.engine.follow(setup);
        }
        if let Some(job) = asked {
            self.run = Some(Stage::asked(job));
        }
    }

    pub(super) fn join(&self) -> Option<Election> {
        let setup = &self.engine.setup;
        let name = self.engine.journal.as_ref()?.uuid().to_string();
        let (group, topic) = (
            election_group(&setup.prefix),
            format!("{}{DEAD_LETTER}", setup.prefix),
        );
        let joined = Election::join(&setup.kafka, (&group, &name), &topic);
        joined
            .inspect_err(|error| {
                tracing::error!(
                    error = error as &dyn std::error::Error,
                    "reconciliation: this bridge takes no part in the election"
                );
            })
            .ok()
    }

    pub(super) fn is_elected(&self) -> bool {
        let election = self.engine.election.as_ref();
        election.is_some_and(Election::is_elected)
    }

    fn observe_election(&mut self) {
        let is_elected = self.is_elected();
        let mut state = self.shared.state();
        let standing = &mut state.standing;
        let was = std::mem::replace(&mut standing.is_elected, is_elected);
        drop(state);
        self.engine.metrics.elected(is_elected);
        if self.every.is_none() || was == is_elected {
            return;
        }
        self.figures_at = Instant::now();
        match is_elected {
            true => tracing::info!("reconciliation: this bridge does it"),
            false => tracing::info!("reconciliation: another bridge does it"),
        }
        // Whoever has the place now begins its own.
        self.scan = None;
        self.next_at = Instant::now();
    }

    /// Compares, and does what is due; where another bridge does that, only learns what the topics have.
    async fn cycle(&mut self) -> Result<(), Trouble> {
        let engine = &mut self.engine;
        engine.catch_up()?;
        while engine.ledger.forget_old(Timestamp::now())? {}
        if engine.still_elected().is_err() || engine.election.is_none() {
            return Ok(());
        }
        engine.learn_ours().await?;
        let requests_before = engine.client.requests().all();
        let mut scan = match self.scan.take() {
            Some(scan) => scan,
            None => {
                let extent = extent(engine)?;
                Scan::begin(engine, extent)?
            }
        };
        loop {
            match scan.step(engine).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(trouble) => {
                    self.scan = Some(scan);
                    return Err(trouble);
                }
            }
            if engine.stop.is_set() {
                return Err(Trouble::Stopped);
            }
            engine.still_elected()?;
        }
        let mut told = Progress::default();
        let worked = work_off(engine, &mut told).await;
        if told.fetched > 0 || told.given_up > 0 {
            tracing::info!(
                fetched = told.fetched,
                given_up = told.given_up,
                requests = engine.client.requests().all() - requests_before,
                "reconciliation: fetched events that no webhook had brought"
            );
        }
        self.shared.state().standing.scanned_at = engine.ledger.scans()?.completed_at;
        worked
    }

    /// Figures out how complete calls are, for a hundredth of the time at most.
    fn figure(&mut self) -> Result<(), LedgerError> {
        let (engine, began) = (&self.engine, Instant::now());
        let scans = engine.ledger.scans()?;
        engine
            .metrics
            .stands(scans.completed_at, engine.ledger.waiting()?);
        if began < self.figures_at {
            return Ok(());
        }
        let is_elected = self.shared.state().standing.is_elected;
        let now = Timestamp::now();
        let figures = match is_elected {
            true => Some(Figures {
                at: now,
                hour: engine.ledger.completeness(earlier(now, HOUR))?,
                day: engine.ledger.completeness(earlier(now, 24 * HOUR))?,
            }),
            false => None,
        };
        match &figures {
            Some(figures) => {
                engine.metrics.completeness(Window::Hour, &figures.hour);
                engine.metrics.completeness(Window::Day, &figures.day);
            }
            None => engine.metrics.forget_completeness(),
        }
        self.figures_at = Instant::now() + began.elapsed() * 100;
        self.shared.state().standing.figures = figures;
        Ok(())
    }

    fn note_figures(&self, figured: Result<(), LedgerError>) {
        if let Err(error) = figured {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "reconciliation: it is not known how complete calls are"
            );
        }
    }

    /// Says once what holds it up, unless it is over in a moment, and once that it goes on.
    fn note(&mut self, done: Result<(), Trouble>) {
        let trouble = match done {
            Err(Trouble::Stopped) => return,
            Err(Trouble::Ledger(error)) if error.is_damage() => {
                self.mend_ledger(&error);
                return;
            }
            Ok(()) | Err(Trouble::NotElected) => None,
            Err(trouble) => {
                let since = *self.troubled_since.get_or_insert_with(Instant::now);
                if trouble.may_pass() && since.elapsed() < TELL_AFTER {
                    tracing::debug!(%trouble, "reconciliation waits");
                    return;
                }
                Some(trouble.to_string())
            }
        };
        if trouble.is_none() {
            self.troubled_since = None;
        }
        let mut state = self.shared.state();
        let before = std::mem::replace(&mut state.standing.trouble, trouble.clone());
        drop(state);
        match (before, trouble) {
            (Some(before), Some(now)) if before == now => {}
            (_, Some(now)) => tracing::warn!("reconciliation waits: {now}"),
            (Some(_), None) => tracing::info!("reconciliation goes on"),
            (None, None) => {}
        }
    }

    /// What it knew is read and asked for again.
    fn mend_ledger(&mut self, damage: &LedgerError) {
        tracing::warn!(
            error = damage as &dyn std::error::Error,
            "the ledger of what the topics have is damaged and is filled anew"
        );
        let path = self.engine.setup.journal_path.clone();
        if let Err(error) = self.engine.ledger.begin_anew(&path) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "there is no ledger: nothing can be compared"
            );
        }
        self.scan = None;
    }
}

/// How far the next scan goes: now and then it looks at the whole last day.
fn extent(engine: &Engine) -> Result<Extent, Trouble> {
    let whole_at = engine.ledger.scans()?.whole_at;
    let since_ms = whole_at.map(|at| Timestamp::now().unix_ms() - at.unix_ms());
    Ok(match since_ms {
        Some(since_ms) if since_ms < WHOLE_EVERY_MS => Extent::New,
        Some(_) | None => Extent::Whole,
    })
}

/// Does whatever is due.
async fn work_off(engine: &mut Engine, told: &mut Progress) -> Result<(), Trouble> {
    loop {
        let due = engine.ledger.due(Timestamp::now(), DUE_AT_ONCE)?;
        if due.is_empty() {
            return Ok(());
        }
        if engine.stop.is_set() {
            return Err(Trouble::Stopped);
        }
        engine.learn_ours().await?;
        engine
            .work(due, &mut |outcome| told.count(&outcome))
            .await?;
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const IDLE: Duration = Duration::from_millis(500);
/// Topics are made, leaders found, an API catches its breath: not worth a warning.
const TELL_AFTER: Duration = Duration::from_secs(15);
const WHOLE_EVERY_MS: i64 = 3_600_000;
const DUE_AT_ONCE: usize = 256;
