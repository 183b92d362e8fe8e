//! Creates what is missing and, when asked, sets what differs. Doing it again changes nothing.
//!
//! Unequal partition counts are refused before anything is done. A partition count is never altered: it can only rise, and
//! calls under way would change their partition.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context;
use serde::Serialize;

use super::EnsureArgs;
use super::judge::{Line, Settings, State, compare, tell};
use crate::bridge;
use crate::cli::Ended;
use crate::cli::output::Output;
use crate::config::Config;
use crate::journal::Journal;
use crate::journal::read::Viewer;
use crate::publish::topics::settings::Difference;
use crate::publish::topics::{Plan, Topics};

/// Runs `topics ensure`.
pub(super) fn run(
    output: &mut Output<impl Write>,
    plan: &Plan,
    topics: &Topics,
    config: &Config,
    args: &EnsureArgs,
) -> anyhow::Result<Ended> {
    let found = topics.describe(&plan.names)?;
    Topics::equal(&found)?;
    let settings = Settings::read(topics, plan, &found);
    let lines = compare(plan, &found, &settings);
    if !args.dry_run {
        let ensured = topics.ensure(plan, None)?;
        if args.adopt_partitions {
            adopt(config, ensured.partitions)?;
        }
    }
    let mut ended = Ended::Done;
    for line in &lines {
        let done = Done::of(line, args);
        if let Done::Altered = done {
            topics.alter(&line.topic, &line.differences, plan)?;
        }
        if let Done::Differs | Done::UnderReplicated | Done::Unknown = done {
            ended = Ended::Finding;
        }
        let told = Ensured::of(line, done, plan);
        if args.args.json {
            output.json(&told)?;
        } else {
            output.line(&told.sentence())?;
        }
    }
    Ok(ended)
}

/// Freezes another partition count in the journal. What is pending was to follow earlier events of its calls by the old
/// one, so there must be none.
fn adopt(config: &Config, partitions: u32) -> anyhow::Result<()> {
    let journal = &config.journal.path;
    // What it may delete meanwhile is what `serve` would.
    let open = Journal::open_with(journal, &bridge::journal_options(config))
        .context("the journal keeps the partition count; stop `serve`, then run this again")?;
    let pending = Viewer::open(journal)?.status()?.pending;
    anyhow::ensure!(
        pending == 0,
        "{pending} deliveries are pending and must follow their calls into the old partitions; start `serve`, let it \
         publish them, stop it with SIGTERM, then run this again"
    );
    open.freeze_partitions(partitions)?;
    Ok(())
}

/// What was done to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Done {
    Created,
    Altered,
    /// It was as it should be.
    Nothing,
    WouldCreate,
    WouldAlter,
    Differs,
    UnderReplicated,
    Unknown,
}

impl Done {
    fn of(line: &Line, args: &EnsureArgs) -> Self {
        match line.state {
            State::Missing if args.dry_run => Self::WouldCreate,
            State::Missing => Self::Created,
            State::Ok | State::Unequal => Self::Nothing,
            // What can be set is set, whatever else is wrong with the topic.
            State::Differs | State::UnderReplicated
                if args.alter && !line.differences.is_empty() =>
            {
                if args.dry_run {
                    Self::WouldAlter
                } else {
                    Self::Altered
                }
            }
            State::Differs => Self::Differs,
            State::UnderReplicated => Self::UnderReplicated,
            State::Unknown => Self::Unknown,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ensured<'a> {
    topic: &'a str,
    done: Done,
    created: bool,
    partitions: u32,
    /// Of a topic that is created: what it is set to.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<BTreeMap<&'static str, &'a str>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    differences: &'a [Difference],
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'a str>,
}

impl<'a> Ensured<'a> {
    fn of(line: &'a Line, done: Done, plan: &'a Plan) -> Self {
        let is_new = matches!(done, Done::Created | Done::WouldCreate);
        Self {
            topic: &line.topic,
            done,
            created: done == Done::Created,
            partitions: line.should_have_partitions,
            settings: is_new.then(|| plan.settings(&line.topic).collect()),
            differences: &line.differences,
            advice: line.advice.as_deref().filter(|_| !is_new),
        }
    }

    fn sentence(&self) -> String {
        let partitions = format!("with {} partitions", self.partitions);
        let settings = self.settings.iter().flatten();
        let settings: String = settings
            .map(|(key, value)| format!(", {key}={value}"))
            .collect();
        let differences: Vec<String> = self.differences.iter().map(tell).collect();
        let differences = differences.join(", ");
        let advice = self.advice.unwrap_or_default();
        let what = match self.done {
            Done::Created => format!("created, {partitions}{settings}"),
            Done::WouldCreate => format!("would be created, {partitions}{settings}"),
            Done::Nothing => format!("was there, {partitions}"),
            Done::Altered => format!("was there, {partitions}; altered: {differences}"),
            Done::WouldAlter => format!("was there, {partitions}; would be altered: {differences}"),
            Done::Differs | Done::UnderReplicated | Done::Unknown => {
                format!("was there, {partitions}, but {advice}")
            }
        };
        format!("{}: {what}", self.topic)
    }
}
