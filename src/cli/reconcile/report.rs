//! What a run says: a line for each call that lacks something, and a sum.

use std::io::Write;

use serde::Serialize;

use super::Args;
use crate::cli::Ended;
use crate::cli::output::{Output, OutputError, printable};
use crate::reconcile::{self, Outcome, Progress, What};
use crate::time::Timestamp;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutcomeLine<'a> {
    call_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    created_at: Timestamp,
    events: &'a [String],
    what: What,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sum<'a> {
    dry_run: bool,
    ended: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    pages: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_at_page: Option<u64>,
    calls: u64,
    complete: u64,
    going_on: u64,
    not_ours: u64,
    beyond_reach: u64,
    incomplete: u64,
    fetched: u64,
    waiting: u64,
    given_up: u64,
    requests: u64,
}

pub(super) fn outcome(
    output: &mut Output<impl Write>,
    outcome: &Outcome,
    json: bool,
) -> Result<(), OutputError> {
    let created_at = Timestamp::from_unix_ms(outcome.created_ms);
    let next_at = outcome.next_ms.map(Timestamp::from_unix_ms);
    if json {
        return output.json(&OutcomeLine {
            call_id: &outcome.call_id,
            agent_id: outcome.agent_id.as_deref(),
            created_at,
            events: &outcome.events,
            what: outcome.what,
            next_at,
        });
    }
    let (call, events) = (printable(&outcome.call_id), outcome.events.join(", "));
    let next = next_at.map(|at| format!(", looked at again at {at}"));
    let (what, next) = (word(outcome.what), next.unwrap_or_default());
    output.line(&format!("{created_at}  {call}  {what:<12}  {events}{next}"))
}

fn word(what: What) -> &'static str {
    match what {
        What::WouldFetch => "would fetch",
        What::Fetched => "fetched",
        What::Settling => "settling",
        What::NoAnalyticsYet => "not yet",
        What::NoAnalytics => "GIVEN UP: Atoms has no evaluation",
        What::UnknownToApi => "GIVEN UP: Atoms does not know the call",
        What::ApiRefuses => "REFUSED by Atoms",
        What::Postponed => "postponed",
    }
}

/// The sum, and what it means for the exit code.
pub(super) fn end(
    output: &mut Output<impl Write>,
    progress: &Progress,
    ended: &reconcile::Ended,
    args: &Args,
    publishes: bool,
) -> Result<Ended, OutputError> {
    let reason = match ended {
        reconcile::Ended::Done => None,
        reconcile::Ended::Failed(reason) => Some(reason.as_str()),
    };
    if args.json {
        output.json(&sum(progress, args, reason))?;
    } else {
        lines(output, progress, args)?;
        if progress.fetched > 0 && !args.dry_run && !publishes {
            output
                .line("note       they are in the journal; `serve` publishes them when it runs")?;
        }
        if let Some(reason) = reason {
            output.line(&format!("FAILED     {}", printable(reason)))?;
            if progress.pages > 0 && !args.dry_run {
                output.line("do         run the same again: it goes on where it was")?;
            }
        }
    }
    let is_well = reason.is_none() && progress.given_up == 0;
    Ok(if is_well { Ended::Done } else { Ended::Finding })
}

fn sum<'a>(progress: &Progress, args: &Args, reason: Option<&'a str>) -> Sum<'a> {
    let Progress {
        pages,
        resumed_at_page,
        calls,
        complete,
        going_on,
        not_ours,
        beyond_reach,
        incomplete,
        fetched,
        waiting,
        given_up,
        requests,
        reached_ms: _,
    } = *progress;
    Sum {
        dry_run: args.dry_run,
        ended: if reason.is_none() { "done" } else { "failed" },
        reason,
        pages,
        resumed_at_page: Some(resumed_at_page).filter(|page| *page > 0),
        calls,
        complete,
        going_on,
        not_ours,
        beyond_reach,
        incomplete,
        fetched,
        waiting,
        given_up,
        requests,
    }
}

fn lines(
    output: &mut Output<impl Write>,
    progress: &Progress,
    args: &Args,
) -> Result<(), OutputError> {
    if progress.resumed_at_page > 0 {
        let page = progress.resumed_at_page;
        output.line(&format!("resumed    at page {page} of the list"))?;
    }
    let Progress {
        calls,
        complete,
        going_on,
        not_ours,
        beyond_reach,
        incomplete,
        ..
    } = progress;
    let mut of_these =
        format!("{complete} complete, {incomplete} lack something, {going_on} go on");
    if *not_ours > 0 {
        of_these.push_str(&format!(
            ", {not_ours} of agents that subscribe to nothing here"
        ));
    }
    if *beyond_reach > 0 {
        of_these.push_str(&format!(", {beyond_reach} older than is known"));
    }
    output.line(&format!("calls      {calls}: {of_these}"))?;
    let would = if args.dry_run {
        " would be fetched"
    } else {
        " fetched"
    };
    output.line(&format!("events     {}{would}", progress.fetched))?;
    if progress.waiting > 0 {
        output.line(&format!(
            "waiting    {} calls: for the settling time or their evaluation; `serve` looks at them again",
            progress.waiting
        ))?;
    }
    if progress.given_up > 0 {
        output.line(&format!("GIVEN UP   {} calls", progress.given_up))?;
    }
    output.line(&format!("requests   {}", progress.requests))
}
