//! The thread: compares and fills now and then, does what is due, and the runs that somebody asks for in between.
//!
//! Whatever fails costs time and no place: a scan goes on at its page, a run at its own, what is due stays due.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::{Engine, Setup, Trouble};
use super::judge::earlier;
use super::run::{Ended, Job, Mode, Outcome, Progress, Report};
use super::scan::{Extent, Scan};
use super::walk::{NotBegun, Walk};
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
    run: Option<Stage>,
}

/// A run, as far as it has come.
enum Stage {
    /// Until this bridge is elected, or until then.
    Waits(Job, Instant),
    Walks(Box<Walk>, Retry),
}

/// When a run that met trouble goes on.
struct Retry {
    at: Instant,
    troubles: u32,
}

/// A run, as its caller sees it.
pub(super) struct Running {
    outcomes: VecDeque<Outcome>,
    progress: Progress,
    held_up: Option<String>,
    ended: Option<Ended>,
    asked_at: Instant,
}

impl Running {
    pub(super) fn new() -> Self {
        Self {
            outcomes: VecDeque::new(),
            progress: Progress::default(),
            held_up: None,
            ended: None,
            asked_at: Instant::now(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some() || self.is_left()
    }

    /// Whether nobody has asked for long.
    fn is_left(&self) -> bool {
        self.asked_at.elapsed() > LEFT_AFTER
    }

    /// It has ended so, unless it has ended before.
    pub(super) fn end(&mut self, ended: Ended) {
        self.held_up = None;
        self.ended.get_or_insert(ended);
    }

    pub(super) fn has_news(&self) -> bool {
        !self.outcomes.is_empty() || self.ended.is_some()
    }

    pub(super) fn report(&mut self, now: Instant) -> Report {
        self.asked_at = now;
        let some = self.outcomes.len().min(OUTCOMES_AT_ONCE);
        let outcomes = self.outcomes.drain(..some).collect();
        let all = self.outcomes.is_empty();
        Report {
            outcomes,
            progress: self.progress,
            held_up: self.held_up.clone(),
            ended: self.ended.clone().filter(|_| all),
        }
    }
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
            self.run = Some(Stage::Waits(job, Instant::now() + ELECTED_WITHIN));
        }
    }

    fn join(&self) -> Option<Election> {
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

    fn is_elected(&self) -> bool {
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
                if passes(&trouble) && since.elapsed() < TELL_AFTER {
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

    /// Goes on with a run, if there is one; whether there is more to do at once.
    async fn step_run(&mut self) -> bool {
        let Some(stage) = self.run.take() else {
            return false;
        };
        if self
            .shared
            .state()
            .run
            .as_ref()
            .is_none_or(Running::is_over)
        {
            // Whoever asked is gone; the bookmark stays.
            self.end_run(Ended::Failed("nobody asks for it any more".to_owned()));
            return false;
        }
        match stage {
            Stage::Waits(job, until) => self.begin_run(job, until).await,
            Stage::Walks(walk, retry) => self.walk(walk, retry).await,
        }
    }

    async fn begin_run(&mut self, job: Job, until: Instant) -> bool {
        if job.mode == Mode::Fill {
            if self.engine.election.is_none() {
                self.engine.election = self.join();
            }
            if !self.is_elected() {
                if Instant::now() > until {
                    self.end_run(Ended::Failed(Trouble::NotElected.to_string()));
                    return false;
                }
                self.run = Some(Stage::Waits(job, until));
                self.hold_up(Some(
                    "waits to be the one bridge that reconciles".to_owned(),
                ));
                return false;
            }
        }
        match Walk::begin(&mut self.engine, job).await {
            Ok(walk) => {
                self.hold_up(None);
                let retry = Retry {
                    at: Instant::now(),
                    troubles: 0,
                };
                self.run = Some(Stage::Walks(Box::new(walk), retry));
                true
            }
            Err(NotBegun::Trouble(Trouble::Stopped)) => false,
            Err(error) => {
                self.end_run(Ended::Failed(error.to_string()));
                false
            }
        }
    }

    async fn walk(&mut self, mut walk: Box<Walk>, mut retry: Retry) -> bool {
        let is_full = |run: &Running| run.outcomes.len() > MOST_OUTCOMES;
        let waits = self.shared.state().run.as_ref().is_some_and(is_full);
        if waits || Instant::now() < retry.at {
            self.run = Some(Stage::Walks(walk, retry));
            return false;
        }
        let mut outcomes = Vec::new();
        let stepped = walk.step(&mut self.engine, &mut outcomes).await;
        self.publish(outcomes, walk.progress);
        match stepped {
            Ok(true) => {
                self.end_run(Ended::Done);
                return false;
            }
            Ok(false) => {
                self.hold_up(None);
                retry.troubles = 0;
            }
            Err(Trouble::Stopped) => return false,
            Err(trouble) if passes(&trouble) && retry.troubles < MOST_TROUBLES => {
                retry.troubles += 1;
                retry.at = Instant::now() + AFTER_TROUBLE * 2_u32.pow(retry.troubles);
                self.hold_up(Some(trouble.to_string()));
            }
            Err(trouble) => {
                self.end_run(Ended::Failed(trouble.to_string()));
                return false;
            }
        }
        self.run = Some(Stage::Walks(walk, retry));
        true
    }

    fn publish(&self, outcomes: Vec<Outcome>, progress: Progress) {
        if let Some(run) = &mut self.shared.state().run {
            run.outcomes.extend(outcomes);
            run.progress = progress;
        }
        self.shared.changed.notify_all();
    }

    fn hold_up(&self, why: Option<String>) {
        if let Some(run) = &mut self.shared.state().run {
            run.held_up = why;
        }
    }

    fn end_run(&mut self, ended: Ended) {
        self.run = None;
        if self.every.is_none() {
            self.engine.election = None;
        }
        if let Some(run) = &mut self.shared.state().run {
            run.end(ended);
        }
        self.shared.changed.notify_all();
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

/// Whether it may be over by itself in a while.
fn passes(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Api(error) => error.may_pass(),
        Trouble::Held(_) | Trouble::Append(_) | Trouble::Backlog(_) => true,
        Trouble::Ledger(_)
        | Trouble::Read(_)
        | Trouble::NothingOurs
        | Trouble::NotElected
        | Trouble::Stopped => false,
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const IDLE: Duration = Duration::from_millis(500);
/// Topics are made, leaders found, an API catches its breath: not worth a warning.
const TELL_AFTER: Duration = Duration::from_secs(15);
const WHOLE_EVERY_MS: i64 = 3_600_000;
const DUE_AT_ONCE: usize = 256;
/// Longer than a bridge that died keeps its place.
const ELECTED_WITHIN: Duration = Duration::from_secs(25);
/// A run ends with the command that asks for it.
const LEFT_AFTER: Duration = Duration::from_secs(30);
/// So many fit into a line of the control socket.
const OUTCOMES_AT_ONCE: usize = 100;
const MOST_OUTCOMES: usize = 2000;
/// How often in a row a run meets trouble before it ends; each time it has asked several times.
const MOST_TROUBLES: u32 = 5;
const AFTER_TROUBLE: Duration = Duration::from_secs(1);
