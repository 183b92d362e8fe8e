//! `quarantine list · retry · drop`: deliveries that were refused because nothing showed that they are the sender's.

mod retry;

use std::io::Write;
use std::path::Path;

use clap::ArgGroup;
use serde::Serialize;

use super::output::{Output, OutputError, Shown};
use super::{Common, Ended, when};
use crate::config::{Config, Need};
use crate::control::{BATCH, Control, ControlError, Request, Response};
use crate::journal::ReadError;
use crate::journal::quarantine::{Filter, Listed, QuarantineError, Store, path_beside};
use crate::time::Timestamp;

/// What to do with refused deliveries.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List what was refused, in the order in which it came
    List(ListArgs),
    /// Verify again with the present secrets, and publish what verifies now
    Retry(retry::RetryArgs),
    /// Delete refused deliveries for good
    Drop(DropArgs),
}

/// Arguments of `quarantine list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Only deliveries to this webhook
    #[arg(long, value_name = "NAME")]
    pub webhook: Option<String>,
    /// Only what was received since: 24h (back from now) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = when::time_arg)]
    pub since: Option<Timestamp>,
    /// Only what was received before: 1h (back from now) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = when::time_arg)]
    pub until: Option<Timestamp>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// A JSON object a line, for programs
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `quarantine drop`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["id", "all", "older_than"]))]
pub struct DropArgs {
    /// Its ID in `quarantine list`; may be repeated
    #[arg(long, value_name = "ID")]
    pub id: Vec<u64>,
    /// Everything
    #[arg(long, conflicts_with_all = ["id", "older_than"])]
    pub all: bool,
    /// What was received before: 24h (back from now) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = when::time_arg)]
    pub older_than: Option<Timestamp>,
    /// A JSON object, for programs
    #[arg(long)]
    pub json: bool,
}

/// What goes wrong on the way.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// Runs `quarantine …`.
///
/// # Errors
///
/// The configuration is wrong, the quarantine cannot be read or changed, or stdout refuses.
pub fn run(command: Command, common: &Common) -> anyhow::Result<Ended> {
    let loaded = common.load_quietly()?;
    let journal = &loaded.config.journal.path;
    // Without a journal nothing is known of a quarantine: that there is none may be a wrong path.
    anyhow::ensure!(journal.exists(), ReadError::Missing(journal.clone()));
    let path = path_beside(journal);
    let mut output = Output::stdout();
    match command {
        Command::List(args) => list(&mut output, &path, &args),
        Command::Retry(args) => {
            let config = loaded.require(&[Need::Webhooks])?;
            retry::run(&mut output, (&config, &path), &args)
        }
        Command::Drop(args) => discard(&mut output, (&loaded.config, &path), &args),
    }
}

fn list(output: &mut Output<impl Write>, path: &Path, args: &ListArgs) -> anyhow::Result<Ended> {
    let filter = Filter {
        ids: Vec::new(),
        webhook: args.webhook.clone(),
        since: args.since,
        until: args.until,
    };
    let mut newest = std::collections::VecDeque::new();
    each_page(path, &filter, |_, page| {
        newest.extend(page);
        let over = newest.len().saturating_sub(args.limit);
        newest.drain(..over);
        Ok(())
    })?;
    if args.json {
        for listed in &newest {
            output.json(&Line::new(listed))?;
        }
    } else {
        write_list(output, newest.make_contiguous())?;
    }
    Ok(Ended::Done)
}

fn write_list(output: &mut Output<impl Write>, list: &[Listed]) -> Result<(), OutputError> {
    let rows = list.iter().map(|listed| {
        vec![
            Shown::number(listed.id),
            Shown::text(listed.received_at.to_string()),
            Shown::text(&listed.webhook),
            Shown::number(listed.body_bytes),
            Shown::text(&listed.reason),
            Shown::text(listed.call_id.as_deref().unwrap_or("-")),
        ]
    });
    let header = ["ID", "RECEIVED", "WEBHOOK", "BYTES", "REASON", "CALL"];
    output.table(&header, rows)
}

fn discard(
    output: &mut Output<impl Write>,
    (config, path): (&Config, &Path),
    args: &DropArgs,
) -> anyhow::Result<Ended> {
    let filter = Filter {
        ids: args.id.clone(),
        until: args.older_than,
        ..Filter::default()
    };
    let (mut control, mut dropped) = (None, 0);
    each_page(path, &filter, |_, page| {
        let control = match &mut control {
            Some(control) => control,
            none => none.insert(Control::open(config)?),
        };
        let ids = page.iter().map(|listed| listed.id).collect();
        match control.ask(Request::Drop { ids })? {
            Response::Dropped { count } => dropped += count,
            Response::Replayed { .. }
            | Response::Retried(_)
            | Response::Reconciling
            | Response::Reconciled(_)
            | Response::Failed { .. } => {
                return Err(ControlError::Unknown.into());
            }
        }
        Ok(())
    })?;
    if args.json {
        output.json(&DropLine { dropped })?;
    } else {
        output.line(&format!("{dropped} dropped"))?;
    }
    Ok(Ended::Done)
}

/// Gives what is there now to `each`, page by page, in the order in which it came.
fn each_page(
    path: &Path,
    filter: &Filter,
    mut each: impl FnMut(&Store, Vec<Listed>) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let Some(store) = Store::open_to_read(path)? else {
        return Ok(());
    };
    let last = store.last_id()?;
    let mut above = 0;
    while above < last {
        let mut page = store.list(filter, above, BATCH)?;
        page.retain(|listed| listed.id <= last);
        let Some(behind) = page.last() else {
            return Ok(());
        };
        above = behind.id;
        each(&store, page)?;
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    id: u64,
    received_at: Timestamp,
    webhook: &'a str,
    body_bytes: u64,
    reason: &'a str,
    plausible: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn new(listed: &'a Listed) -> Self {
        Self {
            id: listed.id,
            received_at: listed.received_at,
            webhook: &listed.webhook,
            body_bytes: listed.body_bytes,
            reason: &listed.reason,
            plausible: listed.plausible,
            call_id: listed.call_id.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct DropLine {
    dropped: u64,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        _command: Command,
    }

    fn parses(line: &str) -> bool {
        Line::try_parse_from(["x"].into_iter().chain(line.split(' '))).is_ok()
    }

    #[test]
    fn what_changes_something_must_be_told_what() {
        for line in [
            "list",
            "retry --all",
            "retry --id 1 --id 2",
            "retry --webhook sales --dry-run",
            "drop --all",
            "drop --id 1 --older-than 24h",
        ] {
            assert!(parses(line), "{line}");
        }
        for line in [
            "retry",
            "retry --dry-run",
            "drop",
            "drop --json",
            "drop --all --id 1",
        ] {
            assert!(!parses(line), "{line}");
        }
    }

    #[test]
    fn a_refused_delivery_cannot_steer_the_terminal() {
        let listed = Listed {
            id: 7,
            webhook: "default".into(),
            received_at: Timestamp::from_unix_ms(0),
            reason: "no-signature".into(),
            call_id: Some("\u{1b}[2J".into()),
            plausible: false,
            body_bytes: 2,
        };
        let mut written = Vec::new();
        write_list(&mut Output::plain(&mut written), &[listed]).unwrap();
        let shown = String::from_utf8(written).unwrap();
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert!(shown.contains("no-signature  \\u{1b}[2J"), "{shown}");
    }
}
