//! Holds what the topics are against what they should be.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde::Serialize;

use crate::cli::output::{Mood, Output, OutputError, Shown};
use crate::publish::topics::settings::Difference;
use crate::publish::topics::{Found, Plan, Topics};

/// What of each topic's settings differs, or why that cannot be told.
pub(in crate::cli) struct Settings(BTreeMap<String, Result<Vec<Difference>, String>>);

impl Settings {
    /// Asks for the settings of the topics that were found.
    pub(in crate::cli) fn read(
        topics: &Topics,
        plan: &Plan,
        found: &BTreeMap<String, Found>,
    ) -> Self {
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        let told = topics.differences(&names, plan).into_iter();
        let told = told.map(|(topic, told)| (topic, told.map_err(|error| error.to_string())));
        Self(told.collect())
    }
}

/// A topic that should be, and what it is.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Line {
    pub(in crate::cli) topic: String,
    pub(in crate::cli) should_have_partitions: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) partitions: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) replication: Option<u32>,
    pub(in crate::cli) state: State,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::cli) differences: Vec<Difference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum State {
    Ok,
    Missing,
    Unequal,
    UnderReplicated,
    /// A setting is not as it should be.
    Differs,
    /// Kafka does not tell the settings.
    Unknown,
}

/// All topics must have one count. Kafka can only raise a count, so the highest one is what they should have.
pub(in crate::cli) fn compare(
    plan: &Plan,
    found: &BTreeMap<String, Found>,
    settings: &Settings,
) -> Vec<Line> {
    let counts: BTreeSet<u32> = found.values().map(|found| found.partitions).collect();
    let should = counts.last().copied().unwrap_or(plan.partitions);
    let line = |topic: &String| {
        let found = found.get(topic);
        let settings = settings.0.get(topic);
        let differences = settings.and_then(|differences| differences.as_ref().ok());
        let unknown = settings.and_then(|differences| differences.as_ref().err());
        let differences = differences.cloned().unwrap_or_default();
        let (state, advice) = judge(plan, topic, found, should)
            .or_else(|| judge_settings(&differences, unknown))
            .map_or((State::Ok, None), |(state, advice)| (state, Some(advice)));
        Line {
            topic: topic.clone(),
            should_have_partitions: should,
            partitions: found.map(|found| found.partitions),
            replication: found.map(|found| found.replication),
            state,
            differences,
            advice,
        }
    };
    plan.names.iter().map(line).collect()
}

fn judge(plan: &Plan, topic: &str, found: Option<&Found>, should: u32) -> Option<(State, String)> {
    let Some(found) = found else {
        let advice = "run `topics ensure`; `serve` creates it too, when it may".to_owned();
        return Some((State::Missing, advice));
    };
    if found.partitions != should {
        let advice =
            format!("raise it: kafka-topics.sh --alter --topic {topic} --partitions {should}");
        return Some((State::Unequal, advice));
    }
    let wanted = plan.replication.map(u32::from);
    let wanted = wanted.filter(|wanted| found.replication < *wanted)?;
    let advice = format!(
        "topics.replication is {wanted}: give it more replicas with kafka-reassign-partitions.sh"
    );
    Some((State::UnderReplicated, advice))
}

fn judge_settings(differences: &[Difference], unknown: Option<&String>) -> Option<(State, String)> {
    if let Some(unknown) = unknown {
        return Some((State::Unknown, unknown.clone()));
    }
    let told: Vec<String> = differences.iter().map(tell).collect();
    let advice = format!("{}: run `topics ensure --alter`", told.join(", "));
    (!told.is_empty()).then_some((State::Differs, advice))
}

/// A difference as a clause.
pub(in crate::cli) fn tell(difference: &Difference) -> String {
    format!(
        "{} is {} and should be {}",
        difference.setting, difference.is, difference.should
    )
}

pub(super) fn write(output: &mut Output<impl Write>, lines: &[Line]) -> Result<(), OutputError> {
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
            Self::Differs => ("differs", Mood::Ill),
            Self::Unknown => ("unknown", Mood::Waits),
        };
        Shown::Word(word.to_owned(), mood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(replication: Option<u16>) -> Plan {
        Plan {
            names: ["a", "b", "c"].map(str::to_owned).into(),
            partitions: 12,
            replication,
            max_message_bytes: 1,
            settings: BTreeMap::new(),
        }
    }

    fn states(
        found: &[(&str, u32, u32)],
        replication: Option<u16>,
        settings: Settings,
    ) -> Vec<(u32, State)> {
        let found = found.iter().map(|(name, partitions, replication)| {
            let found = Found {
                partitions: *partitions,
                replication: *replication,
            };
            ((*name).to_owned(), found)
        });
        let lines = compare(&plan(replication), &found.collect(), &settings);
        lines
            .iter()
            .map(|line| (line.should_have_partitions, line.state))
            .collect()
    }

    #[test]
    fn what_is_missing_unequal_or_thin_is_told() {
        use State::{Missing, Ok, UnderReplicated, Unequal};
        let none = || Settings(BTreeMap::new());
        assert_eq!(states(&[], None, none()), [(12, Missing); 3]);
        let six = [("a", 6, 1), ("b", 6, 1)];
        assert_eq!(states(&six, None, none()), [(6, Ok), (6, Ok), (6, Missing)]);
        let mixed = [("a", 6, 3), ("b", 8, 3), ("c", 8, 1)];
        assert_eq!(
            states(&mixed, Some(3), none()),
            [(8, Unequal), (8, Ok), (8, UnderReplicated)]
        );
    }

    #[test]
    fn settings_that_differ_or_cannot_be_read_are_told() {
        use State::{Differs, Ok, Unknown};
        let shorter = Difference {
            setting: "retention.ms",
            is: "1".to_owned(),
            should: "2".to_owned(),
        };
        let settings = Settings(BTreeMap::from([
            ("a".to_owned(), Result::Ok(vec![shorter])),
            ("b".to_owned(), Err("refused".to_owned())),
            ("c".to_owned(), Result::Ok(Vec::new())),
        ]));
        let found = [("a", 6, 3), ("b", 6, 3), ("c", 6, 3)];
        assert_eq!(
            states(&found, None, settings),
            [(6, Differs), (6, Unknown), (6, Ok)]
        );
    }
}
