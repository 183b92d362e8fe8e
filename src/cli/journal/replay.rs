//! `journal replay`: deliveries become pending again and are published once more, under their ids.

use std::io::Write;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::output::{Output, OutputError, Shown};
use crate::cli::select::{SelectArgs, Selected};
use crate::cli::{Ended, UsageError};
use crate::config::Config;
use crate::control::{BATCH, Control, ControlError, Request, Response};
use crate::journal::ReadError;
use crate::journal::read::{State, Viewer};

/// Arguments of `journal replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A replayed event keeps its id; its record is stamped with the time of the replay. What is pending anyway is left where
it is, and what retention has deleted cannot be replayed. Works beside a running `serve`, and without.

Examples:
  atoms-kafka-bridge journal replay --seq 4711..4720 --dry-run
  atoms-kafka-bridge journal replay --call CALL-1778226705739-7e4c17
  atoms-kafka-bridge journal replay --state dead --since 24h")]
pub struct ReplayArgs {
    /// Which deliveries; at least one option
    #[command(flatten)]
    pub select: SelectArgs,
    /// Show what would go where, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// JSON for programs: an object, with --dry-run one a delivery
    #[arg(long)]
    pub json: bool,
}

/// What became of the deliveries that were meant.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    replayed: u64,
    already_pending: u64,
    /// Their bodies are deleted.
    gone: u64,
    /// Their bodies do not have their checksums.
    damaged: u64,
}

/// What goes wrong on the way.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

pub(super) fn run(
    output: &mut Output<impl Write>,
    config: &Config,
    args: &ReplayArgs,
) -> anyhow::Result<Ended> {
    if args.select.is_empty() {
        let what = "say which deliveries to replay: --seq, --since, --until, --call, --type, --state or --webhook";
        return Err(UsageError(what.to_owned()).into());
    }
    let outcome = if args.dry_run {
        show(output, config, args)?
    } else {
        let mut replay = Replay {
            control: Control::open(config)?,
            waiting: Vec::new(),
            outcome: Outcome::default(),
        };
        let done = replay.run(config, &args.select);
        done.with_context(|| format!("replayed {} so far", replay.outcome.replayed))?;
        replay.outcome
    };
    tell(output, args, &outcome)?;
    let nothing = outcome.replayed + outcome.already_pending == 0;
    Ok(if nothing { Ended::Finding } else { Ended::Done })
}

/// A replay under way.
struct Replay {
    control: Control,
    waiting: Vec<u64>,
    outcome: Outcome,
}

impl Replay {
    fn run(&mut self, config: &Config, select: &SelectArgs) -> Result<(), ReplayError> {
        let viewer = Viewer::open(&config.journal.path)?;
        select.walk(&viewer, config, |selected| {
            if self.outcome.takes(&selected) {
                self.waiting.push(selected.found.entry.seq);
            }
            if self.waiting.len() == BATCH {
                self.ask()?;
            }
            Ok::<_, ReplayError>(())
        })?;
        self.ask()
    }

    fn ask(&mut self) -> Result<(), ReplayError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let seqs = std::mem::take(&mut self.waiting);
        match self.control.ask(Request::Replay { seqs })? {
            Response::Replayed {
                queued,
                pending,
                gone,
            } => {
                self.outcome.replayed += queued;
                self.outcome.already_pending += pending;
                self.outcome.gone += gone;
                Ok(())
            }
            Response::Retried(_)
            | Response::Dropped { .. }
            | Response::Reconciling
            | Response::Reconciled(_)
            | Response::Failed { .. } => Err(ControlError::Unknown.into()),
        }
    }
}

impl Outcome {
    /// Whether a delivery can be replayed; counts it if not.
    fn takes(&mut self, selected: &Selected) -> bool {
        let found = &selected.found;
        let count = if found.body.is_none() {
            &mut self.gone
        } else if !found.intact {
            &mut self.damaged
        } else if found.entry.state == State::Pending {
            &mut self.already_pending
        } else {
            return true;
        };
        *count += 1;
        false
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    seq: u64,
    id: &'a str,
    would: &'static str,
    topics: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

fn show(
    output: &mut Output<impl Write>,
    config: &Config,
    args: &ReplayArgs,
) -> Result<Outcome, ReplayError> {
    let viewer = Viewer::open(&config.journal.path)?;
    let (mut outcome, mut rows) = (Outcome::default(), Vec::new());
    args.select.walk(&viewer, config, |selected| {
        let would = would(&mut outcome, &selected);
        let entry = &selected.found.entry;
        let (topics, key) = match &selected.destination {
            Some(destination) if would == "replay" => {
                (destination.topics.as_slice(), destination.key.as_deref())
            }
            Some(_) | None => (&[][..], None),
        };
        if args.json {
            let line = Line {
                seq: entry.seq,
                id: &entry.id,
                would,
                topics,
                key,
            };
            output.json(&line)?;
        } else {
            rows.push(vec![
                Shown::number(entry.seq),
                Shown::text(would),
                Shown::text(topics.join(", ")),
                Shown::text(key.unwrap_or_default()),
                Shown::text(&entry.id),
            ]);
        }
        Ok::<_, ReplayError>(())
    })?;
    if !args.json && !rows.is_empty() {
        output.table(&["SEQ", "WOULD", "TOPIC", "KEY", "ID"], rows)?;
    }
    Ok(outcome)
}

fn would(outcome: &mut Outcome, selected: &Selected) -> &'static str {
    let Outcome { gone, damaged, .. } = *outcome;
    if outcome.takes(selected) {
        outcome.replayed += 1;
        "replay"
    } else if outcome.gone > gone {
        "stay: body gone"
    } else if outcome.damaged > damaged {
        "stay: body damaged"
    } else {
        "stay: pending"
    }
}

fn tell(
    output: &mut Output<impl Write>,
    args: &ReplayArgs,
    outcome: &Outcome,
) -> Result<(), OutputError> {
    match (args.json, args.dry_run) {
        (true, true) => Ok(()),
        (true, false) => output.json(outcome),
        (false, dry_run) => {
            let Outcome {
                replayed,
                already_pending,
                gone,
                damaged,
            } = outcome;
            let verb = if dry_run { "would be" } else { "are" };
            output.line(&format!(
                "{replayed} {verb} pending again; {already_pending} pending anyway, {gone} without a body, {damaged} damaged"
            ))
        }
    }
}
