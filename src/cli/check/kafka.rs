//! Kafka: reached, its topics as they should be, and what the bridge may do there.

use std::time::Duration;

use super::finding::Finding;
use crate::cli::topics::judge::{Line, Settings, State, compare};
use crate::config::Config;
use crate::event::schema::UNRECOGNIZED;
use crate::publish::reach;
use crate::publish::rights::{Clock, Missing, Right, try_rights};
use crate::publish::topics::{Plan, Topics, TopicsError};
use crate::route::DEAD_LETTER;

/// Whether a broker answers.
pub(super) fn reached(config: &Config) -> Vec<Finding> {
    vec![match reach::reach(&config.kafka, REACHED_WITHIN) {
        Ok(cluster) => {
            let brokers = match cluster.brokers {
                1 => "1 broker".to_owned(),
                count => format!("{count} brokers"),
            };
            Finding::ok("kafka", format!("reached, {brokers}"))
        }
        // What librdkafka heard is in the text already.
        Err(error) => Finding::of_text("kafka", &error.to_string()),
    }]
}

/// What was found of the topics, and whether all are there with one partition count.
pub(super) struct FoundTopics {
    pub(super) findings: Vec<Finding>,
    pub(super) existing: Vec<String>,
    pub(super) are_complete: bool,
}

/// Holds the topics against what they should be.
pub(super) fn topics(config: &Config) -> FoundTopics {
    compared(config).unwrap_or_else(|error| FoundTopics {
        findings: vec![Finding::of_text("topics", &error.to_string())],
        existing: Vec::new(),
        are_complete: false,
    })
}

fn compared(config: &Config) -> Result<FoundTopics, TopicsError> {
    let plan = Plan::of(config);
    let topics = Topics::connect(&config.kafka)?;
    let found = topics.describe(&plan.names)?;
    let settings = Settings::read(&topics, &plan, &found);
    let lines = compare(&plan, &found, &settings);
    let stops = |line: &Line| [State::Missing, State::Unequal].contains(&line.state);
    Ok(FoundTopics {
        findings: of_lines(&lines),
        existing: found.into_keys().collect(),
        are_complete: !lines.iter().any(stops),
    })
}

fn of_lines(lines: &[Line]) -> Vec<Finding> {
    let well: Vec<&Line> = lines
        .iter()
        .filter(|line| line.state == State::Ok)
        .collect();
    let mut findings = Vec::new();
    if let Some(first) = well.first() {
        let all = if well.len() == lines.len() {
            "all "
        } else {
            ""
        };
        findings.push(Finding::ok(
            "topics",
            format!(
                "{all}{} as they should be, {} partitions each",
                well.len(),
                first.should_have_partitions
            ),
        ));
    }
    findings.extend(lines.iter().filter_map(of_line));
    findings
}

fn of_line(line: &Line) -> Option<Finding> {
    let topic = &line.topic;
    let advice = line.advice.clone().unwrap_or_default();
    Some(match line.state {
        State::Ok => return None,
        State::Missing => Finding::failure("topics", format!("{topic} is missing"), advice),
        State::Unequal => Finding::failure(
            "topics",
            format!(
                "{topic} has {} partitions, another has {}: events of one call would not meet",
                line.partitions.unwrap_or_default(),
                line.should_have_partitions
            ),
            advice,
        ),
        State::UnderReplicated => {
            Finding::warning("topics", format!("{topic} has too few replicas"), advice)
        }
        State::Differs => differs(line),
        State::Unknown => Finding::warning(
            "topics",
            format!("the settings of {topic} cannot be read"),
            advice,
        ),
    })
}

/// Too small a limit and compaction cost events; a retention is a matter of taste.
fn differs(line: &Line) -> Finding {
    let told: Vec<String> = line
        .differences
        .iter()
        .map(crate::cli::topics::judge::tell)
        .collect();
    let what = format!("{}: {}", line.topic, told.join(", "));
    let costs_events = line
        .differences
        .iter()
        .any(|difference| !difference.setting.starts_with("retention."));
    let todo = "run `topics ensure --alter`";
    if costs_events {
        Finding::failure("topics", what, todo)
    } else {
        Finding::warning("topics", what, todo)
    }
}

/// What was found of the principal's rights, and of the clock on the way.
pub(super) struct FoundRights {
    pub(super) findings: Vec<Finding>,
    pub(super) clock: Clock,
}

/// Tries what the bridge does on those topics that are there.
pub(super) fn rights(config: &Config, existing: &[String]) -> FoundRights {
    let mark_topic = format!("{}{DEAD_LETTER}", config.topics.prefix);
    let rights = match try_rights(&config.kafka, &mark_topic, existing) {
        Ok(rights) => rights,
        Err(error) => {
            return FoundRights {
                findings: vec![Finding::of_text("rights", &error.to_string())],
                clock: Clock::Unknown,
            };
        }
    };
    let mut findings: Vec<Finding> = rights.missing.iter().map(of_missing).collect();
    findings.extend(rights.leaderless.iter().map(|partition| {
        Finding::failure(
            "rights",
            format!("no leader for a partition ({partition})"),
            "bring back one of the brokers that hold it",
        )
    }));
    if findings.is_empty() {
        findings.push(Finding::ok("rights", granted(existing, &rights.untried)));
    }
    FoundRights {
        findings,
        clock: rights.clock,
    }
}

fn granted(existing: &[String], untried: &[String]) -> String {
    let tried = existing.len() - untried.len();
    let mut told = format!("transactions, mark, writing to {tried} topics");
    if !untried.is_empty() {
        told.push_str(&format!(
            " (not tried on {}: a record would stay there)",
            untried.join(", ")
        ));
    }
    told
}

fn of_missing(missing: &Missing) -> Finding {
    let what = match &missing.right {
        Right::Transactions => "cannot begin transactions".to_owned(),
        Right::Mark(topic) => format!("cannot keep the mark of what is published on {topic}"),
        Right::Write(topic) => format!("cannot write to {topic}"),
    };
    Finding::failure("rights", format!("{what}: {}", missing.why), missing.advice)
}

/// The topics on which what `check` sends arrives, each once.
pub(super) fn unrecognized(config: &Config) -> Vec<String> {
    let own = config
        .webhooks
        .values()
        .filter_map(|webhook| webhook.topic_prefix.as_deref());
    let mut topics: Vec<String> = own
        .chain([config.topics.prefix.as_str()])
        .map(|prefix| format!("{prefix}{UNRECOGNIZED}"))
        .collect();
    topics.sort();
    topics.dedup();
    topics
}

/// Less than the probe's own limit, so that what was heard is told.
const REACHED_WITHIN: Duration = Duration::from_secs(6);
