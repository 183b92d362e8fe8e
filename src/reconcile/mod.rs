//! Fetches from the sender's API what no webhook brought: the one gap that no receiver can close by itself.
//!
//! ```text
//! list of calls (API) ─ scan ─┐                      ┌─ nothing is missing
//! ours   which events of      ├─ judge ─ ledger.listed ─ waits until its time ─ work ─ fetched → journal → the road
//!        which agents         │                      └─ given up, with the reason
//! what the topics have ───────┘
//!        (ledger.held), the journal's own backlog
//! ```
//!
//! The ledger is what is on the topics, whoever published it: so several bridges see each other's events, and one of them,
//! elected by a consumer group, does the work. What still lies in another's journal cannot be seen; a call is left alone for
//! a settling time after its end, and reconciled events have ids of call and type alone, so that a second one is told.
//!
//! ```text
//! task     the thread: scans, and what is due                               engine   what it works with and knows
//! running  a run that somebody asks for                                     walk     its way over a span of time
//! scan     newest first until everything older is known                     judge    what is to be done about a call
//! fill     fetch and append                                                 run      what is asked and heard
//! ours     whose events are expected
//! ```

mod engine;
mod fill;
mod judge;
mod ours;
mod run;
mod running;
mod scan;
mod task;
mod walk;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use self::run::{Beyond, Ended, Job, Mode, Outcome, Progress, Report, What};

use self::engine::Setup;
use self::running::Running;
use self::task::Task;
use crate::atoms::AtomsError;
use crate::config::Config;
use crate::dialect::api;
use crate::journal::Journal;
use crate::journal::ledger::{Completeness, Ledger, LedgerError};
use crate::metrics::Metrics;
use crate::publish::{Reconciled, Stop};
use crate::time::Timestamp;

/// The running thread. Clones are handles of the same one.
#[derive(Clone)]
pub struct Reconcile {
    shared: Arc<Shared>,
    stop: Stop,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Why there is no reconciliation.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The API cannot be asked.
    #[error(transparent)]
    Api(#[from] AtomsError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The system gives no thread.
    #[error("cannot start the thread that reconciles")]
    Thread(#[from] std::io::Error),
}

/// How reconciliation goes, for whoever watches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// Whether it goes on by itself, or only when asked.
    pub is_task: bool,
    /// Whether this bridge is the one that does it.
    pub is_elected: bool,
    /// What holds it up.
    pub trouble: Option<String>,
    /// When a scan came to its end.
    pub scanned_at: Option<Timestamp>,
    /// How complete calls are; `None` where another bridge knows.
    pub figures: Option<Figures>,
}

/// How complete calls are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// When that was so.
    pub at: Timestamp,
    /// Calls that ended in the last hour.
    pub hour: Completeness,
    /// Calls that ended in the last day.
    pub day: Completeness,
}

/// What callers and the thread share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    setup: Option<Setup>,
    asked: Option<Job>,
    run: Option<Running>,
    standing: Standing,
    /// The thread has ended.
    is_gone: bool,
}

/// Whatever ends the thread, nobody waits for it in vain.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_gone = true;
        if let Some(run) = &mut state.run {
            run.end(Ended::Failed(GONE.to_owned()));
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

const GONE: &str = "nothing is reconciled any more: the bridge is stopping, or its log says why";

impl Reconcile {
    /// Begins the task of `serve`, as configured.
    ///
    /// # Errors
    ///
    /// There is no key, or what it needs cannot be had.
    pub fn start(
        config: &Config,
        journal: Journal,
        (reconciled, metrics): (Reconciled, &Metrics),
    ) -> Result<Self, StartError> {
        let ledger = Ledger::open(&config.journal.path)?;
        ledger.each_reconciled(|call_id, stage| reconciled.add(&api::id(call_id, stage)))?;
        let mut task = Task::new(config, ledger, metrics)?;
        task.engine.journal = Some(journal);
        task.engine.reconciled = reconciled;
        task.every = config.atoms.reconcile_every;
        Self::spawn(task)
    }

    /// Waits for a run that somebody asks for, in a process that has the journal's lock for it.
    ///
    /// # Errors
    ///
    /// As [`Reconcile::start`].
    pub fn for_runs(
        config: &Config,
        journal: Journal,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let ledger = Ledger::open(&config.journal.path)?;
        let mut task = Task::new(config, ledger, metrics)?;
        task.engine.journal = Some(journal);
        Self::spawn(task)
    }

    /// Waits for a dry run, and changes nothing: neither the journal nor any file beside it.
    ///
    /// # Errors
    ///
    /// As [`Reconcile::start`].
    pub fn for_dry_runs(config: &Config) -> Result<Self, StartError> {
        let ledger = Ledger::in_memory(&config.journal.path)?;
        Self::spawn(Task::new(config, ledger, &Metrics::new())?)
    }

    fn spawn(mut task: Task) -> Result<Self, StartError> {
        let shared = Arc::clone(&task.shared);
        let stop = task.engine.stop.clone();
        let thread = std::thread::Builder::new()
            .name("reconcile".to_owned())
            .spawn(move || {
                let _gone = Gone(Arc::clone(&task.shared));
                task.run();
            })?;
        Ok(Self {
            shared,
            stop,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }

    /// Goes on with another configuration's webhooks, topics and times.
    pub fn replace(&self, config: &Config) {
        self.state().setup = Some(Setup::of(config));
        self.shared.changed.notify_all();
    }

    /// Asks for a run.
    ///
    /// # Errors
    ///
    /// One is under way.
    pub fn begin(&self, job: Job) -> Result<(), String> {
        let mut state = self.state();
        if state.is_gone {
            return Err(GONE.to_owned());
        }
        let is_over = state.run.as_ref().is_none_or(Running::is_over);
        if state.asked.is_some() || !is_over {
            return Err("another run is under way: wait for its end".to_owned());
        }
        state.run = Some(Running::new());
        state.asked = Some(job);
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// What the run has to say since it was asked last; waits a moment for something.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn next(&self) -> Result<Report, String> {
        let waits = |state: &mut State| {
            let run = state.run.as_ref();
            run.is_some_and(|run| !run.has_news())
        };
        let state = self.state();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, NEWS_WITHIN, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let Some(run) = &mut state.run else {
            return Err("there is no run".to_owned());
        };
        let report = run.report(Instant::now());
        drop(state);
        self.shared.changed.notify_all();
        Ok(report)
    }

    /// How it goes.
    pub fn standing(&self) -> Standing {
        self.state().standing.clone()
    }

    /// Ends behind what is under way, soon.
    pub fn stop(&self) {
        self.stop.set();
        self.shared.changed.notify_all();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread that reconciles panicked");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each part of it is whole even if its holder panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The consumer group in which bridges on the same topics find out which of them reconciles.
fn election_group(prefix: &str) -> String {
    format!("atoms-bridge-reconcile-{prefix}")
}

const NEWS_WITHIN: Duration = Duration::from_millis(300);
