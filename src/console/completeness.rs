//! How complete calls are: of those that ended in the last hour and day, how many have which events, and which lack some
//! and why.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::desk::{self, Content, Desk};
use super::page::{Mood, moment, number, state};
use super::{App, rows};
use crate::event::Stage;
use crate::journal::ledger::{Completeness, Incomplete, Ledger};
use crate::reconcile::{Figures, Standing};
use crate::time::Timestamp;

pub(super) async fn completeness(State(shared): State<App>) -> Response {
    desk::page(shared, |desk| {
        let standing = standing(desk);
        let ledger = Ledger::open_to_read(&desk.config().journal.path)?;
        let incomplete = match &ledger {
            Some(ledger) => ledger.incomplete(yesterday(desk), MOST_SHOWN)?,
            None => Vec::new(),
        };
        let body = html! {
            h1 { "Completeness" }
            p { (line(standing.as_ref())) }
            @if let Some(figures) = standing.as_ref().and_then(|standing| standing.figures.as_ref()) {
                (figures_of(figures, desk))
                h2 { "Calls that lack something" }
                (calls(&incomplete, desk))
            }
        };
        Ok(Content {
            title: "Completeness".to_owned(),
            body,
        })
    })
    .await
}

/// `None` without an API key.
fn standing(desk: &Desk) -> Option<Standing> {
    let reconcile = desk.shared.reconcile.as_ref();
    reconcile.map(crate::reconcile::Reconcile::standing)
}

/// In a line, for the overview.
pub(super) fn in_short(desk: &Desk) -> Markup {
    let standing = standing(desk);
    let figures = standing
        .as_ref()
        .and_then(|standing| standing.figures.as_ref());
    html! {
        (line(standing.as_ref()))
        @if let Some(figures) = figures {
            span {
                "of " (number(figures.day.ended)) " that ended in a day " (number(figures.day.complete))
                " are complete" (reconciled(&figures.day)) "; "
                a href="/completeness" { "more" }
            }
        }
    }
}

fn reconciled(told: &Completeness) -> String {
    let events: u64 = told.stages.iter().map(|of| of.reconciled).sum();
    match events {
        0 => String::new(),
        events => format!(", {} events of them reconciled", number(events)),
    }
}

/// Whether what is missed is fetched, and what keeps it from that.
fn line(standing: Option<&Standing>) -> Markup {
    let Some(standing) = standing else {
        return html! { span.muted { "not compared: there is no API key" } };
    };
    if let Some(trouble) = &standing.trouble {
        return html! { (state(Mood::Ill, "not compared")) span.reason { (trouble) } };
    }
    if !standing.is_task {
        return html! { span.muted { "compared only when a command asks" } };
    }
    if !standing.is_elected {
        return html! { span.muted { "another bridge on these topics compares them" } };
    }
    let Some(figures) = &standing.figures else {
        return state(Mood::Waits, "being compared");
    };
    let lost = figures
        .day
        .missing
        .iter()
        .filter(|(_, why, _)| why.is_final());
    match lost.map(|(_, _, count)| count).sum() {
        0 => state(Mood::Well, "compared with Atoms"),
        1 => state(Mood::Waits, "1 event is missing for good"),
        count => state(
            Mood::Waits,
            &format!("{} events are missing for good", number(count)),
        ),
    }
}

fn figures_of(figures: &Figures, desk: &Desk) -> Markup {
    let windows = [("Last hour", &figures.hour), ("Last day", &figures.day)];
    html! {
        p.muted { "As of " (moment(figures.at, desk.now)) "." }
        table.list {
            thead {
                tr {
                    th scope="col" { "" }
                    th scope="col" { "Event" }
                    th.number scope="col" { "Expected" }
                    th.number scope="col" { "By webhook" }
                    th.number scope="col" { "Reconciled" }
                    th.number scope="col" { "Missing" }
                    th scope="col" { "Why" }
                }
            }
            tbody {
                @for (name, told) in windows {
                    tr {
                        th scope="row" { (name) }
                        td colspan="6" { (number(told.ended)) " calls ended, " (number(told.complete)) " are complete" }
                    }
                    @for (stage, of) in Stage::ALL.into_iter().zip(&told.stages) {
                        tr {
                            td {}
                            td { (stage.name()) }
                            td.number { (number(of.expected)) }
                            td.number { (number(of.webhook)) }
                            td.number { (number(of.reconciled)) }
                            td.number { (number(of.expected.saturating_sub(of.webhook + of.reconciled))) }
                            td { (reasons(told, stage)) }
                        }
                    }
                }
            }
        }
    }
}

fn reasons(told: &Completeness, stage: Stage) -> Markup {
    let of_stage = told.missing.iter().filter(|(of, _, _)| *of == stage);
    html! {
        @for (_, why, count) in of_stage {
            @let mood = if why.is_final() { Mood::Ill } else { Mood::Waits };
            div { (state(mood, &number(*count))) " " (why.told()) }
        }
    }
}

fn calls(incomplete: &[Incomplete], desk: &Desk) -> Markup {
    if incomplete.is_empty() {
        return html! { p { (state(Mood::Well, "none")) } };
    }
    html! {
        table.list {
            thead {
                tr {
                    th scope="col" { "Call" }
                    th scope="col" { "Ended" }
                    th scope="col" { "Missing" }
                    th scope="col" { "Why" }
                    th scope="col" { "Looked at again" }
                }
            }
            tbody {
                @for call in incomplete {
                    tr {
                        td { (rows::call_link(Some(&call.call_id))) }
                        td { (moment(call.ended_at, desk.now)) }
                        td { @for stage in call.missing.iter() { div { (stage.name()) } } }
                        td { (call.why.told()) }
                        td { @if let Some(at) = call.next_at { (moment(at, desk.now)) } @else { "never" } }
                    }
                }
            }
        }
        @if incomplete.len() == MOST_SHOWN { p.muted { "There may be more." } }
    }
}

fn yesterday(desk: &Desk) -> Timestamp {
    let day_ms = i64::try_from(DAY.as_millis()).unwrap_or_default();
    Timestamp::from_unix_ms(desk.now.unix_ms() - day_ms)
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const MOST_SHOWN: usize = 100;
