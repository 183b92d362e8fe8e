//! The command line: global options, one subcommand a file, and what the process's exit code says.
//!
//! Results go to stdout, logs and errors to stderr. Exit codes: 0 done, 1 a finding or failure, 2 wrong usage or
//! configuration. A reader that closes stdout early (`| head`) is no failure.

pub mod atoms;
pub mod check;
pub mod completions;
pub mod config;
pub mod dev;
pub mod journal;
pub mod output;
pub mod quarantine;
pub mod reconcile;
pub mod schemas;
pub mod select;
pub mod send;
pub mod serve;
pub mod tail;
pub mod topics;
pub mod when;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, Loaded, process_environment};
use crate::telemetry::{self, LogFormat, TelemetryError};

/// Takes the webhooks of Smallest.ai's Atoms voice agents and puts every call into Kafka, complete, once, in one clean
/// shape.
#[derive(Debug, Parser)]
#[command(name = "atoms-kafka-bridge", version, after_long_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Configuration file [default: bridge.toml in the working directory, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Log more: -v debug, -vv trace (RUST_LOG wins)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How log lines are written to stderr
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Try it: an embedded Kafka, the bridge and sample calls in one process, nothing else installed
    Dev(dev::Args),
    /// Run the bridge: take deliveries, keep them, publish them
    Serve,
    /// Find what would go wrong: a line for each finding, with what to do
    Check(check::Args),
    /// Sign and send sample calls, or files, to any URL: a test tool
    Send(send::Args),
    /// Follow the topics and print events as they come
    Tail(tail::Args),
    /// What the topics should be and are; create what is missing
    #[command(subcommand)]
    Topics(topics::Command),
    /// The schemas of the canonical event
    #[command(subcommand)]
    Schemas(schemas::Command),
    /// Look into the journal: what came, and what became of it; publish it again, take it elsewhere
    #[command(subcommand)]
    Journal(journal::Command),
    /// Deliveries that were refused as unverified: look at them, verify them again, let them go
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// The sender's side, by its API: webhooks and agents; connect them with this bridge
    #[command(subcommand)]
    Atoms(atoms::Command),
    /// Compare the calls that Atoms knows with what the topics have, and fetch what is missing
    Reconcile(reconcile::Args),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All is well: exit code 0.
    Done,
    /// It found something that should not be: exit code 1.
    Finding,
    /// It found wrong configuration: exit code 2.
    Misconfigured,
}

/// A wrong use of a command that its arguments alone do not show: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

impl Common {
    /// Reads the configuration from the file and the process's environment, and logs its warnings.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let loaded = self.load_quietly()?;
        for warning in &loaded.warnings {
            tracing::warn!("configuration: {warning}");
        }
        Ok(loaded)
    }

    /// As [`Common::load`], for commands to which the warnings are no concern.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load_quietly(&self) -> Result<Loaded, ConfigError> {
        Config::load(self.config.as_deref(), process_environment())
    }
}

/// Runs the process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Finding) => ExitCode::from(1),
        Ok(Ended::Misconfigured) => ExitCode::from(2),
        Err(error) => fail(&error),
    }
}

fn run(cli: Cli) -> anyhow::Result<Ended> {
    let Cli { common, command } = cli;
    telemetry::init(common.log_format, common.verbose)?;
    #[cfg(feature = "failpoints")]
    crate::failpoint::check()?;
    match command {
        Command::Dev(args) => dev::run(&args, &common),
        Command::Serve => serve::run(&common),
        Command::Check(args) => check::run(&args, &common),
        Command::Send(args) => send::run(&args, &common),
        Command::Tail(args) => tail::run(&args, &common),
        Command::Topics(command) => topics::run(&command, &common),
        Command::Schemas(command) => schemas::run(&command, &common),
        Command::Journal(command) => journal::run(command, &common),
        Command::Quarantine(command) => quarantine::run(command, &common),
        Command::Atoms(command) => atoms::run(&command, &common),
        Command::Reconcile(args) => reconcile::run(&args, &common),
        Command::Config(command) => config::run(command, &common),
        Command::Completions(args) => completions::run(args),
    }
}

/// Says what went wrong, a cause a line.
fn fail(error: &anyhow::Error) -> ExitCode {
    let Some(code) = exit_code(error) else {
        return ExitCode::SUCCESS;
    };
    let mut lines: Vec<String> = error.chain().map(ToString::to_string).collect();
    // Some libraries repeat their cause's text as their own.
    lines.dedup();
    let text = format!("error: {}\n", lines.join("\n  cause: "));
    // Without stderr the exit code is all that can be said.
    let _ = io::Write::write_all(&mut io::stderr().lock(), text.as_bytes());
    ExitCode::from(code)
}

/// `None`: the reader of stdout went away, which is its right.
fn exit_code(error: &anyhow::Error) -> Option<u8> {
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        let output = cause.downcast_ref::<output::OutputError>();
        output.is_some_and(output::OutputError::is_broken_pipe)
    };
    let wrong_use = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<ConfigError>() || cause.is::<UsageError>() || cause.is::<TelemetryError>()
    };
    if error.chain().any(broken_pipe) {
        None
    } else if error.chain().any(wrong_use) {
        Some(2)
    } else {
        Some(1)
    }
}

const EXAMPLES: &str = "\
Examples:
  atoms-kafka-bridge dev
      The whole road with an embedded Kafka and sample calls, until Ctrl-C.
  atoms-kafka-bridge serve
      The bridge; needs ATOMS_WEBHOOK_SECRET and ATOMS_BRIDGE__KAFKA__BOOTSTRAP_SERVERS, or a bridge.toml.
  atoms-kafka-bridge check
      What would go wrong, and a delivery signed, posted and read back from Kafka.
  atoms-kafka-bridge send --dialect all --count 4
      Four signed sample calls to the receiver on this machine.
  atoms-kafka-bridge tail -e --call CALL-1778226705739-7e4c17
      All that is known of a call, then stop; without -e, what comes from now on.
  atoms-kafka-bridge topics list
      What the topics should be and are, and what to do about a difference.
  atoms-kafka-bridge schemas diff
      Whether schemas/ is what this build publishes.
  atoms-kafka-bridge schemas register --dry-run
      What would be loaded into the schema registry, and whether it may.
  atoms-kafka-bridge config show
      The effective configuration, each value with where it came from, secrets redacted.
  atoms-kafka-bridge journal status
      How much came in, and how much of it Kafka has.
  atoms-kafka-bridge journal list --state pending --since 1h
      What waits for Kafka, newest first.
  atoms-kafka-bridge journal replay --call CALL-1778226705739-7e4c17 --dry-run
      What would be published again, and where to.
  atoms-kafka-bridge quarantine retry --all
      After a wrong secret was mended: what verifies now is published.
  atoms-kafka-bridge atoms connect --url https://bridge.example.com --agent Collections
      Has an agent's events delivered to this bridge, and fetches the signing secret; needs ATOMS_API_KEY.
  atoms-kafka-bridge reconcile --since 24h --dry-run
      Which events of the last day's calls no webhook brought, and would be fetched.
  atoms-kafka-bridge completions bash > ~/.local/share/bash-completion/completions/atoms-kafka-bridge

Traces go to the OTLP collector that OTEL_EXPORTER_OTLP_ENDPOINT names; without it there are none.
Every key of bridge.toml can be set as ATOMS_BRIDGE__SECTION__KEY in the environment, which wins.
Times (--since, --until) are a duration back from now, such as 24h, or RFC 3339.
Exit codes: 0 done, 1 a finding or failure, 2 wrong usage or configuration.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::output::OutputError;
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in [
            ["x", "--config", "a.toml", "config", "show"],
            ["x", "config", "show", "--config", "a.toml"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.common.config, Some(PathBuf::from("a.toml")));
        }
    }

    #[test]
    fn exit_codes_tell_wrong_use_from_failure() {
        let config = ConfigError::Invalid(Vec::new());
        assert_eq!(exit_code(&config.into()), Some(2));
        assert_eq!(exit_code(&UsageError("x".into()).into()), Some(2));
        assert_eq!(exit_code(&anyhow::anyhow!("x")), Some(1));
    }

    #[test]
    fn only_a_broken_stdout_is_no_failure() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let stdout = anyhow::Error::from(OutputError::from(broken())).context("listing");
        assert_eq!(exit_code(&stdout), None);
        assert_eq!(exit_code(&broken().into()), Some(1));
    }
}
