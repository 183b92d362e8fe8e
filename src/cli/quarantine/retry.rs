//! `quarantine retry`: what verifies with the present secrets is stored and published, the rest stays.

use std::io::Write;
use std::path::Path;

use clap::ArgGroup;
use serde::Serialize;

use super::{Failed, each_page};
use crate::cli::Ended;
use crate::cli::output::{Output, OutputError};
use crate::config::Config;
use crate::control::{Control, ControlError, Request, Response, Retried};
use crate::journal::quarantine::{Filter, Listed, Store};
use crate::verify::Verifier;

/// Arguments of `quarantine retry`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["id", "all", "webhook"]))]
#[command(after_help = "\
A running `serve` verifies with the secrets that it runs with. It takes up a changed bridge.toml and changed files of
secrets by itself, and at once on SIGHUP; only a secret in a variable of its environment wants a restart. What verifies is
stored and published as if it had come now, with the time at which it was received; what does not stays.

Examples:
  atoms-kafka-bridge quarantine retry --all --dry-run
  atoms-kafka-bridge quarantine retry --webhook sales")]
pub struct RetryArgs {
    /// Its ID in `quarantine list`; may be repeated
    #[arg(long, value_name = "ID")]
    pub id: Vec<u64>,
    /// Everything
    #[arg(long, conflicts_with_all = ["id", "webhook"])]
    pub all: bool,
    /// Only deliveries to this webhook
    #[arg(long, value_name = "NAME")]
    pub webhook: Option<String>,
    /// Say how many would verify with this configuration, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// A JSON object, for programs
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(
    output: &mut Output<impl Write>,
    (config, path): (&Config, &Path),
    args: &RetryArgs,
) -> anyhow::Result<Ended> {
    let filter = Filter {
        ids: args.id.clone(),
        webhook: args.webhook.clone(),
        ..Filter::default()
    };
    let mut outcome = Outcome::default();
    if args.dry_run {
        each_page(path, &filter, |store, page| {
            let verifies = count_verifying(config, store, &page)?;
            outcome.would_verify += verifies;
            outcome.told.refused += page.len() as u64 - verifies;
            Ok(())
        })?;
    } else {
        let mut control = None;
        each_page(path, &filter, |store, page| {
            let control = match &mut control {
                Some(control) => control,
                none => none.insert(Control::open(config)?),
            };
            outcome.add(retry_page(control, &page)?);
            if control.is_running() {
                outcome.would_verify += count_verifying(config, store, &page)?;
            }
            Ok(())
        })?;
    }
    tell(output, args, &outcome)?;
    let none = outcome.told.stored + outcome.told.duplicates == 0 && !args.dry_run;
    let refused = outcome.told.refused > 0;
    Ok(if none && refused {
        Ended::Finding
    } else {
        Ended::Done
    })
}

/// What became of a retry.
#[derive(Debug, Default)]
struct Outcome {
    told: Retried,
    /// With this command's configuration, of those that are still there.
    would_verify: u64,
}

impl Outcome {
    fn add(&mut self, more: Retried) {
        self.told.stored += more.stored;
        self.told.duplicates += more.duplicates;
        self.told.refused += more.refused;
        self.told.gone += more.gone;
    }
}

fn retry_page(control: &mut Control, page: &[Listed]) -> Result<Retried, Failed> {
    let ids = page.iter().map(|listed| listed.id).collect();
    match control.ask(Request::Retry { ids })? {
        Response::Retried(retried) => Ok(retried),
        Response::Replayed { .. }
        | Response::Dropped { .. }
        | Response::Reconciling
        | Response::Reconciled(_)
        | Response::Failed { .. } => Err(ControlError::Unknown.into()),
    }
}

/// How many of these, as far as they are still there, verify with this configuration.
fn count_verifying(config: &Config, store: &Store, page: &[Listed]) -> Result<u64, Failed> {
    let mut count = 0;
    for listed in page {
        let Some(kept) = store.load(listed.id)? else {
            continue;
        };
        let webhook = config.webhooks.get(kept.webhook());
        let verifies = webhook.is_some_and(|webhook| kept.verify(&Verifier::new(webhook)).is_ok());
        count += u64::from(verifies);
    }
    Ok(count)
}

fn tell(
    output: &mut Output<impl Write>,
    args: &RetryArgs,
    outcome: &Outcome,
) -> Result<(), OutputError> {
    let Outcome { told, would_verify } = outcome;
    if args.json {
        return output.json(&RetryLine {
            dry_run: args.dry_run,
            stored: told.stored,
            duplicates: told.duplicates,
            refused: told.refused,
            would_verify: *would_verify,
        });
    }
    if args.dry_run {
        return output.line(&format!(
            "{would_verify} would verify; {} would be refused still",
            told.refused
        ));
    }
    output.line(&format!(
        "{} verified and stored, {} stored before; {} refused still",
        told.stored, told.duplicates, told.refused
    ))?;
    if *would_verify > 0 {
        output.line(&format!(
            "{would_verify} of them verify with this command's configuration, which `serve` does not run with: it takes up changed files by itself, and at once on SIGHUP (a refused configuration is told in its log); after a change of its environment restart it; then retry"
        ))?;
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RetryLine {
    dry_run: bool,
    stored: u64,
    duplicates: u64,
    refused: u64,
    would_verify: u64,
}
