//! `completions SHELL`: a completion script on stdout.

use clap::CommandFactory;
use clap_complete::Shell;

use super::output::Output;
use super::{Cli, Ended};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
///
/// Stdout refuses.
pub fn run(args: Args) -> anyhow::Result<Ended> {
    // Into memory first: the generator panics when its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut Cli::command(),
        "atoms-kafka-bridge",
        &mut script,
    );
    Output::stdout().bytes(&script)?;
    Ok(Ended::Done)
}
