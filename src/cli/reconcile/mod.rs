//! `reconcile`: compares the calls that Atoms knows with what the topics have, and fetches what is missing.
//!
//! The bridge that runs on the journal does it, at its own pace beside its own task; without one this process takes the
//! journal's lock and does it itself, and `serve` publishes it later. A dry run without `serve` changes no file at all.

mod progress;
mod report;
mod status;

use std::io::Write;

use super::output::Output;
use super::{Common, Ended, UsageError, when};
use crate::config::{Config, Need};
use crate::control::{Control, ControlError, Request, Response};
use crate::reconcile::{self, Beyond, Job, Mode, Reconcile, Report};
use crate::time::Timestamp;
use progress::Bar;

/// Arguments of `reconcile`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Calls of the span are compared newest first: of agents that subscribe to a webhook of this bridge, every event that is neither
on its topic nor in the journal is fetched, once the call has settled (atoms.settling_time). However often it runs, nothing is
published twice. A run that was interrupted goes on where it was when it is given the same --since and --until as RFC 3339.
Exit code 1: something is missing for good, or it could not go on.

Examples:
  atoms-kafka-bridge reconcile --since 24h --dry-run
  atoms-kafka-bridge reconcile --since 2026-01-01T00:00:00Z --until 2026-05-01T00:00:00Z
  atoms-kafka-bridge reconcile --status")]
pub struct Args {
    /// Calls that were made since: 24h (back from now) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = when::time_arg, required_unless_present = "status")]
    pub since: Option<Timestamp>,
    /// Only calls that were made before: 1h (back from now) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = when::time_arg)]
    pub until: Option<Timestamp>,
    /// Say what would be fetched, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Fetch calls too of which it is not known any more what was published
    #[arg(long)]
    pub force: bool,
    /// Instead: say how complete the calls of the last hour and day are, and which lack something and why
    #[arg(long, conflicts_with_all = ["since", "until", "dry_run", "force"])]
    pub status: bool,
    /// A JSON object a line, for programs; the last one sums up
    #[arg(long)]
    pub json: bool,
}

/// Who does it.
enum Way {
    /// The running bridge, or this process with the journal's lock.
    Control(Control),
    /// This process, which changes nothing.
    Dry(Reconcile),
}

/// Why it cannot be heard how it goes.
#[derive(Debug, thiserror::Error)]
enum WayError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Start(#[from] reconcile::StartError),
    #[error("{0}")]
    Run(String),
}

/// Runs `reconcile`.
///
/// # Errors
///
/// The configuration is wrong or has no key, nobody can do it, or stdout refuses.
pub fn run(args: &Args, common: &Common) -> anyhow::Result<Ended> {
    let mut output = Output::stdout();
    let Some(since) = args.since else {
        return status::run(&mut output, &common.load_quietly()?.config, args);
    };
    let config = common.load()?.require(&[Need::Kafka, Need::ApiKey])?;
    if args.until.is_some_and(|until| until <= since) {
        return Err(UsageError("--until is not behind --since".to_owned()).into());
    }
    let mut way = Way::open(&config, args)?;
    way.begin(args.job(since))?;
    follow(&mut output, &mut way, (since, args))
}

fn follow(
    output: &mut Output<impl Write>,
    way: &mut Way,
    (since, args): (Timestamp, &Args),
) -> anyhow::Result<Ended> {
    let mut bar = Bar::new(since, args.until);
    loop {
        let told = way.next()?;
        if !told.outcomes.is_empty() {
            bar.clear();
        }
        for outcome in &told.outcomes {
            report::outcome(output, outcome, args.json)?;
        }
        bar.show(&told);
        if let Some(ended) = &told.ended {
            bar.clear();
            let publishes = way.publishes();
            return Ok(report::end(output, &told.progress, ended, args, publishes)?);
        }
    }
}

impl Args {
    fn job(&self, since: Timestamp) -> Job {
        Job {
            since_ms: since.unix_ms(),
            until_ms: self.until.map(Timestamp::unix_ms),
            mode: if self.dry_run {
                Mode::DryRun
            } else {
                Mode::Fill
            },
            beyond: if self.force {
                Beyond::Force
            } else {
                Beyond::Refuse
            },
        }
    }
}

impl Way {
    fn open(config: &Config, args: &Args) -> Result<Self, WayError> {
        if !args.dry_run {
            return Ok(Self::Control(Control::open(config)?));
        }
        Ok(match Control::of_running(config)? {
            Some(control) => Self::Control(control),
            None => Self::Dry(Reconcile::for_dry_runs(config)?),
        })
    }

    fn begin(&mut self, job: Job) -> Result<(), WayError> {
        match self {
            Self::Control(control) => control.ask(Request::Reconcile(job)).map(drop)?,
            Self::Dry(reconcile) => reconcile.begin(job).map_err(WayError::Run)?,
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Report, WayError> {
        match self {
            Self::Control(control) => match control.ask(Request::ReconcileNext)? {
                Response::Reconciled(report) => Ok(report),
                Response::Replayed { .. }
                | Response::Retried(_)
                | Response::Dropped { .. }
                | Response::Reconciling
                | Response::Failed { .. } => Err(ControlError::Unknown.into()),
            },
            Self::Dry(reconcile) => reconcile.next().map_err(WayError::Run),
        }
    }

    /// Whether what is fetched is published at once.
    fn publishes(&self) -> bool {
        match self {
            Self::Control(control) => control.is_running(),
            Self::Dry(_) => false,
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Self::Dry(reconcile) = self {
            reconcile.stop();
        }
    }
}
