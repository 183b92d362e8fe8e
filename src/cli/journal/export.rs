//! `journal export`: deliveries as NDJSON, whole, to take them elsewhere.

use std::io::Write;

use super::json::ShownLine;
use crate::cli::output::{Output, OutputError};
use crate::cli::select::SelectArgs;
use crate::config::Config;
use crate::journal::ReadError;
use crate::journal::read::Viewer;

/// Arguments of `journal export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
One JSON object a line, in the order of arrival: seq, outSeq, webhook, id, receivedAt, origin, state, reason, headers, intact and
the raw body as text (body) or, when it is no UTF-8, in hex (bodyHex). What is not known is absent.

Examples:
  atoms-kafka-bridge journal export > journal.ndjson
  atoms-kafka-bridge journal export --call CALL-1778226705739-7e4c17 | jq -r .body")]
pub struct ExportArgs {
    /// Which deliveries; all without an option
    #[command(flatten)]
    pub select: SelectArgs,
    /// A JSON object a line, as without it
    #[arg(long)]
    pub json: bool,
}

/// What goes wrong on the way.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

pub(super) fn run(
    output: &mut Output<impl Write>,
    config: &Config,
    args: &ExportArgs,
) -> anyhow::Result<()> {
    let viewer = Viewer::open(&config.journal.path)?;
    let done = args.select.walk(&viewer, config, |selected| {
        let found = selected.found;
        let line = ShownLine::new(
            &found.entry,
            &found.headers,
            found.body.as_deref(),
            found.intact,
        );
        output.json(&line)?;
        Ok::<_, ExportError>(())
    });
    match done {
        Ok(()) => Ok(()),
        // So that a reader that went away is told from a failure.
        Err(ExportError::Output(error)) => Err(error.into()),
        Err(ExportError::Read(error)) => Err(error.into()),
    }
}
