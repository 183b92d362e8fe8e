//! What was said in a call, and what its evaluation found: all of it as text.

use maud::{Markup, html};

use crate::event::{Analytics, Event, Metric, Turn};

/// The parts of an event that people read; `None` when it has none.
pub(super) fn of(event: &Event<'_>) -> Option<Markup> {
    let transcript = event
        .transcript
        .as_deref()
        .filter(|turns| !turns.is_empty());
    let analytics = event.analytics.as_ref();
    (transcript.is_some() || analytics.is_some()).then(|| {
        html! {
            @if let Some(analytics) = analytics { (evaluation(analytics)) }
            @if let Some(turns) = transcript { (said(turns)) }
        }
    })
}

fn evaluation(analytics: &Analytics<'_>) -> Markup {
    let metrics = analytics.metrics.as_deref().unwrap_or_default();
    html! {
        h2 { "Evaluation" }
        @if let Some(summary) = &analytics.summary { p.prose dir="auto" { (summary) } }
        @if !metrics.is_empty() {
            table {
                thead { tr {
                    th scope="col" { "Metric" }
                    th scope="col" { "Value" }
                    th.wide scope="col" { "Category" }
                    th.wide.number scope="col" { "Confidence" }
                    th.wide scope="col" { "Why" }
                } }
                tbody { @for metric in metrics.iter().take(MOST_METRICS) { (measured(metric)) } }
            }
        }
    }
}

fn measured(metric: &Metric<'_>) -> Markup {
    html! {
        tr {
            td { bdi { (metric.identifier.as_deref().unwrap_or_default()) } }
            td { bdi { (metric.value_text.as_deref().unwrap_or_default()) } }
            td.wide { (metric.category.unwrap_or_default()) }
            td.wide.number { @if let Some(raw) = &metric.confidence { (raw.json()) } }
            td.wide dir="auto" { (metric.reasoning.as_deref().unwrap_or_default()) }
        }
    }
}

fn said(turns: &[Turn<'_>]) -> Markup {
    html! {
        h2 { "Transcript" }
        ol.transcript {
            @for turn in turns.iter().take(MOST_TURNS) {
                li.agent[turn.role.as_deref() == Some("agent")] {
                    span.role { bdi { (turn.role.as_deref().unwrap_or("somebody")) } }
                    @if let Some(at) = turn.timestamp {
                        time datetime=(at) title=(at) { (at.to_string().get(11..19).unwrap_or_default()) }
                    }
                    p dir="auto" { (turn.content.as_deref().unwrap_or_default()) }
                }
            }
        }
        @if turns.len() > MOST_TURNS {
            p.muted { (turns.len() - MOST_TURNS) " more turns are in the delivery." }
        }
    }
}

const MOST_TURNS: usize = 500;
const MOST_METRICS: usize = 200;
