//! A run that somebody asks for: it waits for its turn, walks page by page, and is held up by what passes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::engine::Trouble;
use super::run::{Ended, Job, Mode, Outcome, Progress, Report};
use super::task::Task;
use super::walk::{NotBegun, Walk};

/// A run, as far as it has come.
pub(super) enum Stage {
    /// Until this bridge is elected, or until then.
    Waits(Job, Instant),
    Walks(Box<Walk>, Retry),
}

impl Stage {
    pub(super) fn asked(job: Job) -> Self {
        Self::Waits(job, Instant::now() + ELECTED_WITHIN)
    }
}

/// When a run that met trouble goes on.
pub(super) struct Retry {
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
    /// Goes on with a run, if there is one; whether there is more to do at once.
    pub(super) async fn step_run(&mut self) -> bool {
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
            Err(trouble) if trouble.may_pass() && retry.troubles < MOST_TROUBLES => {
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
