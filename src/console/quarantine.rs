//! The quarantine: what was refused because nothing showed that it is the sender's; it can be verified again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::App;
use super::desk::{self, Content, Desk, Trouble};
use super::letters::numbers;
use super::login::{Fields, fields, first, posted};
use super::page::{self, Mood, moment, notice, number, state};
use super::rows;
use crate::control::{Actions, BATCH, Request, Response as Done, Retried};
use crate::journal::quarantine::{Filter, Listed, Store, path_beside};

pub(super) async fn list(State(shared): State<App>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    desk::page(shared, move |desk| {
        let fields = fields(query.as_bytes());
        let before = first(&fields, "before").and_then(|text| text.parse().ok());
        let body = html! {
            h1 { "Quarantine" }
            p.muted {
                "Deliveries that were answered 401. Was it the configured secret that was wrong, mend it and verify them again: "
                "what verifies then is stored and published like any other. Nothing here is ever published unverified."
            }
            @if let Some(told) = told(&fields) { (notice(&told)) }
            (table(desk, before.unwrap_or(u64::MAX))?)
        };
        Ok(Content {
            title: "Quarantine".to_owned(),
            body,
        })
    })
    .await
}

fn table(desk: &Desk, before: u64) -> Result<Markup, Trouble> {
    let path = path_beside(&desk.config().journal.path);
    let listed = match Store::open_to_read(&path)? {
        Some(store) => store.newest(before, PAGE)?,
        None => Vec::new(),
    };
    let older = listed
        .last()
        .filter(|_| listed.len() == PAGE)
        .map(|one| one.id);
    Ok(html! {
        @if listed.is_empty() { p.muted { "It is empty." } } @else {
            form method="post" action="/quarantine/retry" {
                table.list {
                    thead { tr {
                        th.pick scope="col" { input type="checkbox" data-all="id" aria-label="Select all" hidden; }
                        th scope="col" { "Received" }
                        th scope="col" { "Refused for" }
                        th scope="col" { "Call, by its own word" }
                        th.wide scope="col" { "May be a call" }
                        th.wide scope="col" { "Webhook" }
                        th.wide.number scope="col" { "Bytes" }
                        th.number scope="col" { "Number" }
                    } }
                    tbody { @for one in &listed { (line(desk, one)) } }
                }
                p.actions {
                    button name="which" value="selected" { "Verify the selected again" }
                    button name="which" value="all" { "Verify all again" }
                }
            }
        }
        @if let Some(older) = older { p { a href=(format!("/quarantine?before={older}")) rel="next" { "Older" } } }
    })
}

fn line(desk: &Desk, listed: &Listed) -> Markup {
    html! {
        tr {
            td.pick { input type="checkbox" name="id" value=(listed.id) aria-label=(format!("Select number {}", listed.id)); }
            td.when { (moment(listed.received_at, desk.now)) }
            td { (listed.reason) }
            td.call { (rows::call_link(listed.call_id.as_deref())) }
            td.wide { @if listed.plausible { (state(Mood::Waits, "yes")) } @else { (state(Mood::Neither, "no")) } }
            td.wide { (listed.webhook) }
            td.wide.number { (number(listed.body_bytes)) }
            td.number { (listed.id) }
        }
    }
}

pub(super) async fn retry(State(shared): State<App>, body: Body) -> Response {
    let Some(fields) = posted(body).await else {
        return page::trouble(&Trouble::NotUnderstood("the form did not arrive whole"));
    };
    let all = first(&fields, "which") == Some("all");
    let ids = numbers(&fields, "id");
    if !all && (ids.is_empty() || ids.len() > BATCH) {
        return Redirect::to("/quarantine?none=1").into_response();
    }
    let at = Arc::clone(&shared);
    let done = shared.beside(move || {
        if !all {
            return verify(&at.actions, ids);
        }
        verify_all(&at)
    });
    match done.await {
        Ok(told) => Redirect::to(&format!(
            "/quarantine?stored={}&duplicates={}&refused={}",
            told.stored, told.duplicates, told.refused
        ))
        .into_response(),
        Err(trouble) => page::trouble(&trouble),
    }
}

fn verify(actions: &Actions, ids: Vec<u64>) -> Result<Retried, Trouble> {
    match actions.act(Request::Retry { ids }) {
        Done::Retried(retried) => Ok(retried),
        Done::Failed { message } => Err(Trouble::NotDone(message)),
        Done::Replayed { .. } | Done::Dropped { .. } | Done::Reconciling | Done::Reconciled(_) => {
            Ok(Retried::default())
        }
    }
}

/// What is there now, page by page, in the order in which it came.
fn verify_all(shared: &App) -> Result<Retried, Trouble> {
    let mut told = Retried::default();
    let path = path_beside(&shared.config.journal.path);
    let Some(store) = Store::open_to_read(&path)? else {
        return Ok(told);
    };
    let (last, mut above) = (store.last_id()?, 0);
    while above < last {
        let page = store.list(&Filter::default(), above, BATCH)?;
        let ids: Vec<u64> = page
            .iter()
            .map(|listed| listed.id)
            .filter(|id| *id <= last)
            .collect();
        let Some(behind) = ids.last().copied() else {
            break;
        };
        above = behind;
        let more = verify(&shared.actions, ids)?;
        told.stored += more.stored;
        told.duplicates += more.duplicates;
        told.refused += more.refused;
    }
    Ok(told)
}

fn told(fields: &Fields) -> Option<String> {
    if fields.contains_key("none") {
        return Some("Nothing was selected.".to_owned());
    }
    let count = |name| first(fields, name).and_then(|text| text.parse::<u64>().ok());
    let (stored, duplicates, refused) = (count("stored")?, count("duplicates")?, count("refused")?);
    Some(format!(
        "{stored} verified and stored, {duplicates} stored before, {refused} refused still."
    ))
}

const PAGE: usize = 50;
