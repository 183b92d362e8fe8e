//! `reconcile --status`: how complete the calls of the last hour and day are, and which lack something and why.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::Args;
use crate::cli::Ended;
use crate::cli::output::{Mood, Output, OutputError, Shown};
use crate::config::Config;
use crate::event::Stage;
use crate::journal::ledger::{Completeness, Incomplete, Ledger, OfStage};
use crate::time::Timestamp;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    scanned_at: Option<Timestamp>,
    hour: Window,
    day: Window,
    incomplete: Vec<Line>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Window {
    ended: u64,
    complete: u64,
    events: Vec<OfType>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfType {
    #[serde(rename = "type")]
    event_type: &'static str,
    expected: u64,
    webhook: u64,
    reconciled: u64,
    missing: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    call_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    ended_at: Timestamp,
    missing: Vec<&'static str>,
    why: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<Timestamp>,
}

pub(super) fn run(
    output: &mut Output<impl Write>,
    config: &Config,
    args: &Args,
) -> anyhow::Result<Ended> {
    let ledger = Ledger::open_to_read(&config.journal.path)?.context(
        "nothing is known of calls yet: `serve` learns it when it has an API key (atoms.api_key)",
    )?;
    let now = Timestamp::now();
    let since = |hours: u64| {
        let back = Duration::from_secs(hours * 3600).as_millis();
        Timestamp::from_unix_ms(now.unix_ms() - i64::try_from(back).unwrap_or_default())
    };
    let (hour, day) = (
        ledger.completeness(since(1))?,
        ledger.completeness(since(24))?,
    );
    let incomplete = ledger.incomplete(since(24), MOST_SHOWN)?;
    let scanned_at = ledger.scans()?.completed_at;
    let is_well = incomplete.iter().all(|call| call.next_at.is_some());
    if args.json {
        output.json(&Told {
            scanned_at,
            hour: Window::of(&hour),
            day: Window::of(&day),
            incomplete: incomplete.into_iter().map(Line::of).collect(),
        })?;
    } else {
        write(output, scanned_at, [&hour, &day])?;
        write_incomplete(output, &incomplete)?;
    }
    Ok(if is_well { Ended::Done } else { Ended::Finding })
}

impl Window {
    fn of(told: &Completeness) -> Self {
        Self {
            ended: told.ended,
            complete: told.complete,
            events: of_types(told).collect(),
        }
    }
}

fn of_types(told: &Completeness) -> impl Iterator<Item = OfType> {
    let stages = Stage::ALL.into_iter().zip(told.stages);
    stages.map(|(stage, of)| {
        let OfStage {
            expected,
            webhook,
            reconciled,
        } = of;
        OfType {
            event_type: stage.name(),
            expected,
            webhook,
            reconciled,
            missing: expected.saturating_sub(webhook + reconciled),
        }
    })
}

impl Line {
    fn of(call: Incomplete) -> Self {
        Self {
            missing: call.missing.iter().map(Stage::name).collect(),
            call_id: call.call_id,
            agent_id: call.agent_id,
            ended_at: call.ended_at,
            why: call.why.word(),
            next_at: call.next_at,
        }
    }
}

fn write(
    output: &mut Output<impl Write>,
    scanned_at: Option<Timestamp>,
    windows: [&Completeness; 2],
) -> Result<(), OutputError> {
    match scanned_at {
        Some(at) => output.line(&format!("compared with Atoms' list of calls at {at}"))?,
        None => output.line("never compared with Atoms' list of calls here; where several bridges run, one of them does it")?,
    }
    let row = |name: &str, count: &dyn Fn(&Completeness) -> u64| {
        let [hour, day] = windows.map(|window| Shown::number(count(window)));
        vec![Shown::text(name), hour, day]
    };
    let mut rows = vec![
        row("calls that ended", &|window| window.ended),
        row("  complete", &|window| window.complete),
    ];
    for (place, stage) in Stage::ALL.into_iter().enumerate() {
        let of = move |window: &Completeness| of_types(window).nth(place);
        let name = stage.name();
        rows.push(row(&format!("{name} by webhook"), &move |window| {
            of(window).map_or(0, |of| of.webhook)
        }));
        rows.push(row(&format!("{name} reconciled"), &move |window| {
            of(window).map_or(0, |of| of.reconciled)
        }));
        rows.push(row(&format!("{name} missing"), &move |window| {
            of(window).map_or(0, |of| of.missing)
        }));
    }
    output.table(&["", "LAST HOUR", "LAST DAY"], rows)
}

fn write_incomplete(
    output: &mut Output<impl Write>,
    incomplete: &[Incomplete],
) -> Result<(), OutputError> {
    if incomplete.is_empty() {
        return Ok(());
    }
    let rows = incomplete.iter().map(|call| {
        let missing: Vec<&str> = call.missing.iter().map(Stage::name).collect();
        let (mood, next) = match call.next_at {
            Some(at) => (Mood::Waits, at.to_string()),
            None => (Mood::Ill, "never".to_owned()),
        };
        vec![
            Shown::text(&call.call_id),
            Shown::text(call.ended_at.to_string()),
            Shown::text(missing.join(", ")),
            Shown::Word(call.why.told().to_owned(), mood),
            Shown::text(next),
        ]
    });
    output.line("")?;
    output.table(
        &["CALL", "ENDED", "MISSING", "WHY", "LOOKED AT AGAIN"],
        rows,
    )
}

const MOST_SHOWN: usize = 50;
