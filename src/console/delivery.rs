//! A delivery: what was sent beside the canonical event that is made of it, what was mapped where, and what is unmapped.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::desk::{self, Content, Desk, Trouble};
use super::json::{self, None_, Remarks};
use super::letters::retry_form;
use super::mapping::{self, Mapping};
use super::page::{moment, number};
use super::rows::{self, Shown, Standing};
use super::{App, event, page};
use crate::dialect::Unreadable;
use crate::event::Origin;
use crate::event::json::Document;
use crate::journal::read::Shown as Stored;
use crate::journal::search::Found;
use crate::publish::preview::Preview;

pub(super) async fn delivery(State(shared): State<App>, Path(seq): Path<String>) -> Response {
    desk::page(shared, move |desk| {
        let stored = stored(desk, &seq)?;
        let seq = stored.0.seq;
        let shown = Shown {
            found: found(desk, &stored)?,
            entry: Some(stored.0.clone()),
        };
        let body = html! {
            h1 { "Delivery " (seq) }
            (facts(desk, &shown, &stored))
            @match &stored.2 {
                Some(_) => (bodies(desk, &stored)),
                None => p.muted { "Its body is no longer kept." },
            }
        };
        Ok(Content {
            title: format!("Delivery {seq}"),
            body,
        })
    })
    .await
}

/// The body as it was sent, byte for byte, to be saved: a browser never shows it as anything.
pub(super) async fn body(State(shared): State<App>, Path(seq): Path<String>) -> Response {
    let at = App::clone(&shared);
    let read = shared.beside(move || {
        let (entry, _, body, _) = stored(&Desk::open(&at)?, &seq)?;
        let body = body.ok_or(Trouble::NotFound("its body is no longer kept"))?;
        Ok((entry.seq, body))
    });
    match read.await {
        Ok((seq, body)) => {
            let headers = [
                (CONTENT_TYPE, "application/octet-stream".to_owned()),
                (
                    CONTENT_DISPOSITION,
                    format!("attachment; filename=\"delivery-{seq}.body\""),
                ),
                (CACHE_CONTROL, "no-store".to_owned()),
            ];
            (headers, body).into_response()
        }
        Err(trouble) => page::trouble(&trouble),
    }
}

fn stored(desk: &Desk, seq: &str) -> Result<Stored, Trouble> {
    let none = Trouble::NotFound("no such delivery is in the journal");
    let Ok(seq) = seq.parse::<u64>() else {
        return Err(none);
    };
    // SQLite's numbers end earlier.
    if i64::try_from(seq).is_err() {
        return Err(none);
    }
    desk.viewer.show(seq)?.ok_or(none)
}

/// What the index knows, or the journal where that has not come so far.
fn found(desk: &Desk, (entry, ..): &Stored) -> Result<Found, Trouble> {
    let indexed = match &desk.search {
        Some(search) => search.one(entry.seq)?,
        None => None,
    };
    Ok(indexed.unwrap_or_else(|| Found {
        seq: entry.seq,
        received_at: entry.received_at,
        webhook: entry.webhook.clone(),
        event_type: None,
        agent_id: None,
        call_id: None,
        fault: None,
    }))
}

fn facts(desk: &Desk, shown: &Shown, (entry, headers, body, intact): &Stored) -> Markup {
    let standing = shown.standing();
    let fault = shown.fault().or(entry.reason.as_deref());
    let sent = [
        ("Content-Type", &headers.content_type),
        ("Content-Encoding", &headers.content_encoding),
        ("User-Agent", &headers.user_agent),
        ("traceparent", &headers.traceparent),
    ];
    html! {
        dl.facts {
            dt { "State" }
            dd {
                (standing.shown())
                @if let Some(fault) = fault { span { (fault) } }
                @if [Standing::DeadLetter, Standing::Dead].contains(&standing) && body.is_some() {
                    (retry_form(entry.seq))
                }
            }
            dt { "Call" } dd { (rows::call_link(shown.found.call_id.as_deref())) }
            dt { "Received" } dd {
                (moment(entry.received_at, desk.now))
                @if let Origin::Reconcile(_) = entry.origin { " from Atoms' API, in place of webhook " } @else { " by webhook " }
                (entry.webhook)
            }
            dt { "Event's id" } dd { bdi { (entry.id) } }
            dt { "Place" } dd { "number " (entry.out_seq) " in the order of publishing" }
            @for (name, value) in sent {
                @if let Some(value) = value { dt { (name) } dd { (value) } }
            }
            @if let Some(bytes) = entry.body_bytes {
                dt { "Body" }
                dd {
                    (number(bytes)) " bytes, "
                    a href=(format!("/deliveries/{}/body", entry.seq)) download { "save as it was sent" }
                    @if !intact { " " (page::state(page::Mood::Ill, "damaged: its checksum is wrong")) }
                }
            }
        }
    }
}

fn bodies(desk: &Desk, stored: &Stored) -> Markup {
    let decoded = match event::decoded(stored, desk::decoded_limit_bytes(desk.config())) {
        Ok(decoded) => decoded,
        Err(unreadable) => return html! { (no_event(&unreadable)) },
    };
    let arrival = event::arrival(stored);
    let event = event::read(&decoded, &arrival, |event| {
        let unmapped = event.unmapped.keys().cloned().collect::<BTreeSet<_>>();
        (event::written(event), unmapped)
    });
    let (event, unmapped) = match event {
        Ok((event, unmapped)) => (Ok(event), unmapped),
        Err(unreadable) => (Err(unreadable), BTreeSet::new()),
    };
    let told = Told {
        mapping: mapping::of(&decoded, &arrival),
        unmapped,
    };
    html! {
        (left_over(&told.unmapped, event.is_ok()))
        div.sides {
            section aria-labelledby="sent" {
                h2 #sent { "As it was sent" }
                p.muted { "Behind each line: the canonical field that it gives." }
                (sent(&decoded, &told))
            }
            section aria-labelledby="event" {
                h2 #event { "Canonical event" }
                @match &event {
                    Ok(event) => { (destination(desk, stored)) (written(event)) }
                    Err(unreadable) => (no_event(unreadable)),
                }
            }
        }
    }
}

/// What the canonical event has no field for.
fn left_over(unmapped: &BTreeSet<String>, is_event: bool) -> Markup {
    html! {
        @if !unmapped.is_empty() {
            p.unmapped {
                (page::state(page::Mood::Waits, &format!("{} unmapped", unmapped.len())))
                @for pointer in unmapped.iter().take(MOST_POINTERS) { " " code { bdi { (pointer) } } }
                @if unmapped.len() > MOST_POINTERS { " …" }
            }
        } @else if is_event {
            p { (page::state(page::Mood::Well, "every field is mapped")) }
        }
    }
}

fn sent(decoded: &[u8], told: &Told) -> Markup {
    match Document::parse(decoded) {
        Ok(document) => json::lines(&document, told),
        Err(_) => {
            let text = String::from_utf8_lossy(decoded.get(..MOST_RAW).unwrap_or(decoded));
            html! { pre.json { code { (text) } } @if decoded.len() > MOST_RAW { p.muted { "There is more." } } }
        }
    }
}

fn written(event: &str) -> Markup {
    match Document::parse(event.as_bytes()) {
        Ok(document) => json::lines(&document, &None_),
        Err(_) => html! {},
    }
}

fn destination(desk: &Desk, stored: &Stored) -> Markup {
    let (entry, headers, body, intact) = stored;
    let row = crate::journal::Row {
        out_seq: entry.out_seq,
        seq: entry.seq,
        webhook: entry.webhook.clone(),
        received_at: entry.received_at,
        record_at: entry.received_at,
        id: entry.id.clone(),
        origin: entry.origin,
        headers: headers.clone(),
        body: body.clone().unwrap_or_default().into(),
        scanned: None,
        intact: *intact,
    };
    let destination = Preview::new(desk.config()).of(&row);
    html! { p.muted { "On " code { (destination.topics.join(", ")) } } }
}

fn no_event(unreadable: &Unreadable) -> Markup {
    html! { p { "Not an event: " (unreadable.to_string()) "." } }
}

/// What stands behind the lines of a body.
struct Told {
    mapping: Mapping,
    unmapped: BTreeSet<String>,
}

impl Remarks for Told {
    fn of(&self, pointer: &str) -> Option<(&'static str, String)> {
        if self.unmapped.contains(pointer) {
            return Some(("left", "unmapped".to_owned()));
        }
        let gives = self.mapping.get(pointer)?;
        if !gives.is_empty() {
            return Some(("", format!("→ {}", gives.join(", "))));
        }
        let inside = format!("{pointer}/");
        let partly = self.unmapped.range(inside.clone()..).next();
        let partly = partly.is_some_and(|other| other.starts_with(&inside));
        (!partly).then(|| ("", "said elsewhere too".to_owned()))
    }
}

const MOST_POINTERS: usize = 20;
const MOST_RAW: usize = 64 << 10;
