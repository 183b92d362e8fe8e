//! A call: its events on one timeline with what is missing, what is known of it, and what was said.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::desk::{self, Content, Desk, Trouble};
use super::login::fields;
use super::page::{Mood, moment, state};
use super::rows::{self, Shown};
use super::{App, dialogue, event};
use crate::cli::output::span_for_people;
use crate::event::{Event, Origin, Stage};
use crate::journal::search::Query;
use crate::time::Timestamp;

pub(super) async fn call(State(shared): State<App>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    desk::page(shared, move |desk| {
        let fields = fields(query.as_bytes());
        let id = fields.get("id").and_then(|ids| ids.first());
        let id = id.ok_or(Trouble::NotUnderstood("a call is asked for by its id"))?;
        let moments = moments(desk, id)?;
        if moments.is_empty() {
            return Err(Trouble::NotFound(
                "no delivery of that call is in the index; retention may have taken it, or it has just come",
            ));
        }
        let body = html! {
            h1 { "Call " bdi.id { (id) } }
            h2 { "Events" }
            (timeline(&moments, desk))
            (known(&moments))
            @for moment in moments.iter().rev() { @if let Some(said) = &moment.said { (said) } }
        };
        Ok(Content {
            title: format!("Call {id}"),
            body,
        })
    })
    .await
}

/// An event of the call.
struct Moment {
    shown: Shown,
    at: Timestamp,
    stage: Option<Stage>,
    facts: Vec<(&'static str, String)>,
    said: Option<Markup>,
}

fn moments(desk: &Desk, id: &str) -> Result<Vec<Moment>, Trouble> {
    let Some(search) = &desk.search else {
        return Ok(Vec::new());
    };
    let query = Query {
        call: Some(id.to_owned()),
        ..Query::default()
    };
    let page = search.find(&query, None, MOST_EVENTS, |_| true)?;
    let mut moments = Vec::with_capacity(page.found.len());
    for found in page.found {
        moments.push(read(desk, Shown::of(desk, found)?)?);
    }
    moments.sort_by_key(|moment| (moment.at, moment.shown.found.seq));
    Ok(moments)
}

fn read(desk: &Desk, shown: Shown) -> Result<Moment, Trouble> {
    let named = shown.found.event_type.as_deref();
    let mut moment = Moment {
        at: shown.found.received_at,
        stage: Stage::ALL
            .into_iter()
            .find(|stage| Some(stage.name()) == named),
        facts: Vec::new(),
        said: None,
        shown,
    };
    let bytes = moment
        .shown
        .entry
        .as_ref()
        .and_then(|entry| entry.body_bytes);
    if bytes.is_none_or(|bytes| bytes > LARGEST_BODY) {
        return Ok(moment);
    }
    let Some(stored) = desk.viewer.show(moment.shown.found.seq)? else {
        return Ok(moment);
    };
    let body = event::decoded(&stored, desk::decoded_limit_bytes(desk.config()));
    let told = body.and_then(|body| {
        event::read(&body, &event::arrival(&stored), |event| {
            (event.occurred_at, facts(event), dialogue::of(event))
        })
    });
    if let Ok((at, facts, said)) = told {
        (moment.at, moment.facts, moment.said) = (at, facts, said);
    }
    Ok(moment)
}

impl Moment {
    fn origin(&self) -> Origin {
        let entry = self.shown.entry.as_ref();
        entry.map_or(Origin::Webhook, |entry| entry.origin)
    }
}

/// What is known of the call, in words.
fn facts(event: &Event<'_>) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut add =
        |name, value: Option<&str>| facts.extend(value.map(|value| (name, value.to_owned())));
    add("Agent", event.agent_name.as_deref());
    add("Agent's id", event.agent_id.as_deref());
    if let Some(call) = &event.call {
        add("Status", call.status.as_deref());
        add("Disposition", call.disposition.as_deref());
        add("Direction", call.direction);
        add("Channel", call.channel.as_deref());
        add("From", call.from_number.as_deref());
        add("To", call.to_number.as_deref());
        let seconds = call
            .duration_seconds
            .as_ref()
            .map(|raw| format!("{} s", raw.json()));
        add("Duration", seconds.as_deref());
        for (name, at) in [
            ("Created", call.created_at),
            ("Answered", call.answered_at),
            ("Ended", call.ended_at),
        ] {
            add(name, at.map(|at| at.to_string()).as_deref());
        }
        add("End reason", call.end_reason.as_deref());
        add("Failure", call.failure_reason.as_deref());
        // Shown, never fetched, and nothing to click on: it is what somebody sent.
        add("Recording", call.recording_url.as_deref());
    }
    facts
}

/// Of each fact what the latest event says.
fn known(moments: &[Moment]) -> Markup {
    let mut known: Vec<(&str, &str)> = Vec::new();
    for (name, value) in moments.iter().flat_map(|moment| &moment.facts) {
        match known.iter_mut().find(|(other, _)| other == name) {
            Some(fact) => fact.1 = value,
            None => known.push((name, value)),
        }
    }
    html! {
        @if !known.is_empty() {
            h2 { "What is known" }
            dl.facts { @for (name, value) in known { dt { (name) } dd dir="auto" { (value) } } }
        }
    }
}

fn timeline(moments: &[Moment], desk: &Desk) -> Markup {
    let began = moments.first().map_or(desk.now, |moment| moment.at);
    let missing = |stage: &Stage| !moments.iter().any(|moment| moment.stage == Some(*stage));
    html! {
        ol.timeline {
            @for moment in moments { (arrived(moment, began, desk)) }
            @for stage in Stage::ALL.iter().filter(|stage| missing(stage)) {
                (absent(*stage, moments, desk))
            }
        }
    }
}

fn arrived(event: &Moment, began: Timestamp, desk: &Desk) -> Markup {
    let (found, since) = (&event.shown.found, event.at.unix_ms() - began.unix_ms());
    let late_ms = found.received_at.unix_ms() - event.at.unix_ms();
    let span = |ms: i64| span_for_people(ms.max(0).unsigned_abs());
    html! {
        li {
            span.when {
                (moment(event.at, desk.now))
                @if since > 0 { span.muted { " +" (span(since)) } }
            }
            span.what { (found.event_type.as_deref().unwrap_or("not an event")) }
            (event.shown.standing().shown())
            span.muted {
                "received " (moment(found.received_at, desk.now))
                @if late_ms >= 1000 { ", " (span(late_ms)) " later" }
                @if let Origin::Reconcile(_) = event.origin() { " from Atoms' API, in place of webhook " } @else { " by " }
                (found.webhook) ", delivery "
            }
            (rows::delivery_link(found.seq))
        }
    }
}

/// What has not come: late, or lost.
fn absent(stage: Stage, moments: &[Moment], desk: &Desk) -> Markup {
    let last = moments
        .iter()
        .map(|moment| moment.shown.found.received_at)
        .max();
    let quiet_ms = last.map_or(0, |last| desk.now.unix_ms() - last.unix_ms());
    let overtaken = moments.iter().any(|moment| {
        moment
            .stage
            .is_some_and(|other| other.number() > stage.number())
    });
    let lost = overtaken || quiet_ms > LATE_MS;
    let told = if lost { "missing" } else { "not yet" };
    let mood = if lost { Mood::Ill } else { Mood::Waits };
    html! {
        li.absent {
            span.when { "—" }
            span.what { (stage.name()) }
            (state(mood, told))
            span.muted {
                @if overtaken { "a later event has come" }
                @else { "nothing came for " (span_for_people(quiet_ms.max(0).unsigned_abs())) }
            }
        }
    }
}

const MOST_EVENTS: usize = 40;
/// Larger ones are looked at on a page of their own.
const LARGEST_BODY: u64 = 256 << 10;
/// A call may last long; its evaluation is there within minutes.
const LATE_MS: i64 = 60 * 60 * 1000;
