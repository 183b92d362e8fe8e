//! `topics list · ensure`: what the topics should be and are; creates what is missing and sets what differs.

mod ensure;
pub(super) mod judge;

use anyhow::Context;

use super::output::Output;
use super::{Common, Ended};
use crate::publish::topics::{Plan, Topics};

use self::judge::{Settings, State, compare};

/// What to do with the topics.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Compare the topics with what they should be; exit code 1 when something is wrong
    List(Args),
    /// Create the topics that are missing, and tell what differs of the others; exit code 1 when something does
    Ensure(EnsureArgs),
}

/// Arguments of `topics ensure`.
#[derive(Debug, clap::Args)]
pub struct EnsureArgs {
    /// What `topics list` takes too.
    #[command(flatten)]
    pub args: Args,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Also set what differs: retention, max.message.bytes, cleanup.policy
    #[arg(long)]
    pub alter: bool,
    /// Place calls by the topics' present partition count from now on; `serve` must be stopped and nothing pending
    #[arg(long, conflicts_with = "dry_run")]
    pub adopt_partitions: bool,
}

/// Arguments of `topics list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A JSON object a line, for programs
    #[arg(long)]
    pub json: bool,
}

/// Runs `topics …`.
///
/// # Errors
///
/// The configuration is wrong, Kafka does not answer or refuses, or stdout refuses.
pub fn run(command: &Command, common: &Common) -> anyhow::Result<Ended> {
    let config = common.load()?.require_kafka()?;
    let plan = Plan::of(&config);
    let topics = Topics::connect(&config.kafka)?;
    let mut output = Output::stdout();
    match command {
        Command::List(args) => {
            let found = topics
                .describe(&plan.names)
                .context("cannot list the topics")?;
            let settings = Settings::read(&topics, &plan, &found);
            let lines = compare(&plan, &found, &settings);
            if args.json {
                lines.iter().try_for_each(|line| output.json(line))?;
            } else {
                judge::write(&mut output, &lines)?;
            }
            let well = lines.iter().all(|line| line.state == State::Ok);
            Ok(if well { Ended::Done } else { Ended::Finding })
        }
        Command::Ensure(args) => ensure::run(&mut output, &plan, &topics, &config, args),
    }
}
