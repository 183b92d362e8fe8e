//! `topics list · ensure`: what the topics should be and are; creates what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::output::{Mood, Output, OutputError, Shown};
use super::{Common, Ended};
use crate::journal::Journal;
use crate::journal::read::Viewer;
use crate::publish::topics::{Ensured, Found, Plan, Topics};

/// What to do with the topics.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Compare the topics with what they should be; exit code 1 when something is wrong
    List(Args),
    /// Create the topics that are missing
    Ensure(EnsureArgs),
}

/// Arguments of `topics ensure`.
#[derive(Debug, clap::Args)]
pub struct EnsureArgs {
    /// What `topics list` takes too.
    #[command(flatten)]
    pub args: Args,
    /// Place calls by the topics' present partition count from now on; `serve` must be stopped and nothing pending
    #[arg(long)]
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
        Command::List(args) => list(&mut output, &plan, &topics, args),
        Command::Ensure(args) => {
            let ensured = topics.ensure(&plan, None)?;
            if args.adopt_partitions {
                adopt(&config.journal.path, ensured.partitions)?;
            }
            tell(&mut output, &plan, &ensured, &args.args)
        }
    }
}

fn list(
    output: &mut Output<impl Write>,
    plan: &Plan,
    topics: &Topics,
    args: &Args,
) -> anyhow::Result<Ended> {
    let found = topics
        .describe(&plan.names)
        .context("cannot list the topics")?;
    let lines = compare(plan, &found);
    if args.json {
        lines.iter().try_for_each(|line| output.json(line))?;
    } else {
        write(output, &lines)?;
    }
    let well = lines.iter().all(|line| line.state == State::Ok);
    Ok(if well { Ended::Done } else { Ended::Finding })
}

/// Freezes another partition count in the journal. What is pending was to follow earlier events of its calls by the old
/// one, so there must be none.
fn adopt(journal: &Path, partitions: u32) -> anyhow::Result<()> {
    let open = Journal::open(journal)
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

fn tell(
    output: &mut Output<impl Write>,
    plan: &Plan,
    ensured: &Ensured,
    args: &Args,
) -> anyhow::Result<Ended> {
    let partitions = ensured.partitions;
    for topic in &plan.names {
        let created = ensured.created.contains(topic);
        if args.json {
            output.json(&EnsuredLine {
                topic,
                created,
                partitions,
            })?;
        } else {
            let done = if created {
                "created, with"
            } else {
                "was there, with"
            };
            output.line(&format!("{topic}: {done} {partitions} partitions"))?;
        }
    }
    Ok(Ended::Done)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EnsuredLine<'a> {
    topic: &'a str,
    created: bool,
    partitions: u32,
}

/// A topic that should be, and what it is.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    topic: String,
    should_have_partitions: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replication: Option<u32>,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Ok,
    Missing,
    Unequal,
    UnderReplicated,
}

/// All topics must have one count. Kafka can only raise a count, so the highest one is what they should have.
fn compare(plan: &Plan, found: &BTreeMap<String, Found>) -> Vec<Line> {
    let counts: BTreeSet<u32> = found.values().map(|found| found.partitions).collect();
    let should = counts.last().copied().unwrap_or(plan.partitions);
    let line = |topic: &String| {
        let found = found.get(topic);
        let (state, advice) = judge(plan, topic, found, should);
        Line {
            topic: topic.clone(),
            should_have_partitions: should,
            partitions: found.map(|found| found.partitions),
            replication: found.map(|found| found.replication),
            state,
            advice,
        }
    };
    plan.names.iter().map(line).collect()
}

fn judge(plan: &Plan, topic: &str, found: Option<&Found>, should: u32) -> (State, Option<String>) {
    let Some(found) = found else {
        let advice = "run `topics ensure`; `serve` creates it too, when it may".to_owned();
        return (State::Missing, Some(advice));
    };
    if found.partitions != should {
        let advice =
            format!("raise it: kafka-topics.sh --alter --topic {topic} --partitions {should}");
        return (State::Unequal, Some(advice));
    }
    match plan.replication.map(u32::from) {
        Some(wanted) if found.replication < wanted => {
            let advice = format!(
                "topics.replication is {wanted}: give it more replicas with kafka-reassign-partitions.sh"
            );
            (State::UnderReplicated, Some(advice))
        }
        Some(_) | None => (State::Ok, None),
    }
}

fn write(output: &mut Output<impl Write>, lines: &[Line]) -> Result<(), OutputError> {
    let number =
        |number: Option<u32>| Shown::number(number.map_or("-".to_owned(), |n| n.to_string()));
    let rows = lines.iter().map(|line| {
        vec![
            Shown::text(&line.topic),
            Shown::number(line.should_have_partitions),
            number(line.partitions),
            number(line.replication),
            line.state.word(),
            Shown::text(line.advice.as_deref().unwrap_or_default()),
        ]
    });
    let header = [
        "TOPIC",
        "SHOULD HAVE",
        "PARTITIONS",
        "REPLICATION",
        "STATE",
        "WHAT TO DO",
    ];
    output.table(&header, rows)
}

impl State {
    fn word(self) -> Shown {
        let (word, mood) = match self {
            Self::Ok => ("ok", Mood::Well),
            Self::Missing => ("missing", Mood::Ill),
            Self::Unequal => ("unequal", Mood::Ill),
            Self::UnderReplicated => ("under-replicated", Mood::Waits),
        };
        Shown::Word(word.to_owned(), mood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(found: &[(&str, u32, u32)], replication: Option<u16>) -> Vec<(u32, State)> {
        let plan = Plan {
            names: ["a", "b", "c"].map(str::to_owned).into(),
            partitions: 12,
            replication,
            max_message_bytes: 1,
        };
        let found = found.iter().map(|(name, partitions, replication)| {
            let found = Found {
                partitions: *partitions,
                replication: *replication,
            };
            ((*name).to_owned(), found)
        });
        let lines = compare(&plan, &found.collect());
        lines
            .iter()
            .map(|line| (line.should_have_partitions, line.state))
            .collect()
    }

    #[test]
    fn what_is_missing_unequal_or_thin_is_told() {
        use State::{Missing, Ok, UnderReplicated, Unequal};
        assert_eq!(states(&[], None), [(12, Missing); 3]);
        let six = [("a", 6, 1), ("b", 6, 1)];
        assert_eq!(states(&six, None), [(6, Ok), (6, Ok), (6, Missing)]);
        let mixed = [("a", 6, 3), ("b", 8, 3), ("c", 8, 1)];
        assert_eq!(
            states(&mixed, Some(3)),
            [(8, Unequal), (8, Ok), (8, UnderReplicated)]
        );
    }
}
