//! Dead letters: what could not be read, what Kafka refused, what the disk damaged; each can be published again.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::App;
use super::desk::{self, Content, Desk, Trouble};
use super::login::{Fields, fields, first, posted};
use super::page::{self, moment, notice, number};
use super::rows::{self, Shown, Standing};
use crate::control::{BATCH, Request, Response as Done};
use crate::journal::search::{Place, Query};
use crate::time::Timestamp;

pub(super) async fn letters(State(shared): State<App>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    desk::page(shared, move |desk| {
        let fields = fields(query.as_bytes());
        let body = html! {
            h1 { "Dead letters" }
            p.muted {
                "Deliveries that are no event: they are on the dead-letter topic, or on none and kept. Mend what is wrong, "
                "such as the size that a topic takes, and publish them again."
            }
            @if let Some(told) = told(&fields) { (notice(&told)) }
            (list(desk, behind(&fields))?)
        };
        Ok(Content {
            title: "Dead letters".to_owned(),
            body,
        })
    })
    .await
}

fn list(desk: &Desk, behind: Option<Place>) -> Result<Markup, Trouble> {
    let Some(search) = &desk.search else {
        return Ok(notice("The index is being begun; try again in a moment."));
    };
    let query = Query {
        faulty: true,
        ..Query::default()
    };
    let page = search.find(&query, behind, PAGE, |_| true)?;
    let shown = page.found.into_iter().map(|found| Shown::of(desk, found));
    let mut shown = shown.collect::<Result<Vec<_>, _>>()?;
    shown.retain(|one| one.fault().is_some());
    Ok(html! {
        @if shown.is_empty() { p.muted { "There are none." } } @else { (table(desk, &shown)) }
        @if let Some(next) = page.next {
            p { a href=(format!("/dead-letters?behind={}.{}", next.received_at.unix_ms(), next.seq)) rel="next" { "Older" } }
        }
    })
}

fn table(desk: &Desk, shown: &[Shown]) -> Markup {
    html! {
        form method="post" action="/dead-letters/retry" {
            table.list {
                thead { tr {
                    th.pick scope="col" { input type="checkbox" data-all="seq" aria-label="Select all" hidden; }
                    th scope="col" { "Received" }
                    th scope="col" { "State" }
                    th scope="col" { "Reason" }
                    th scope="col" { "Call" }
                    th.wide scope="col" { "Webhook" }
                    th.wide.number scope="col" { "Bytes" }
                    th.number scope="col" { "Delivery" }
                } }
                tbody { @for one in shown { (line(desk, one)) } }
            }
            p.actions { button { "Publish the selected again" } }
        }
    }
}

fn line(desk: &Desk, shown: &Shown) -> Markup {
    let (found, standing) = (&shown.found, shown.standing());
    let bytes = shown.entry.as_ref().and_then(|entry| entry.body_bytes);
    let can = bytes.is_some() && standing != Standing::Pending;
    html! {
        tr id=(rows::row_id(found.seq)) {
            td.pick {
                @if can {
                    input type="checkbox" name="seq" value=(found.seq) aria-label=(format!("Select delivery {}", found.seq));
                }
            }
            td.when { (moment(found.received_at, desk.now)) }
            td.standing { (standing.shown()) }
            td { (shown.fault().unwrap_or_default()) }
            td.call { (rows::call_link(found.call_id.as_deref())) }
            td.wide { (found.webhook) }
            td.wide.number { @match bytes { Some(bytes) => (number(bytes)), None => span.muted { "no body" } } }
            td.number { (rows::delivery_link(found.seq)) }
        }
    }
}

/// A button for one of them.
pub(super) fn retry_form(seq: u64) -> Markup {
    html! {
        form.inline method="post" action="/dead-letters/retry" {
            input type="hidden" name="seq" value=(seq);
            button { "Publish again" }
        }
    }
}

pub(super) async fn retry(State(shared): State<App>, body: Body) -> Response {
    let Some(fields) = posted(body).await else {
        return page::trouble(&Trouble::NotUnderstood("the form did not arrive whole"));
    };
    let seqs = numbers(&fields, "seq");
    if seqs.is_empty() || seqs.len() > BATCH {
        return Redirect::to("/dead-letters?none=1").into_response();
    }
    let actions = std::sync::Arc::clone(&shared.actions);
    let done = shared.beside(move || match actions.act(Request::Replay { seqs }) {
        Done::Replayed {
            queued,
            pending,
            gone,
        } => Ok((queued, pending, gone)),
        Done::Failed { message } => Err(Trouble::NotDone(message)),
        Done::Retried(_) | Done::Dropped { .. } | Done::Reconciling | Done::Reconciled(_) => {
            Ok((0, 0, 0))
        }
    });
    match done.await {
        Ok((queued, pending, gone)) => Redirect::to(&format!(
            "/dead-letters?queued={queued}&pending={pending}&gone={gone}"
        ))
        .into_response(),
        Err(trouble) => page::trouble(&trouble),
    }
}

/// What the last retry came to, by the numbers in the address.
fn told(fields: &Fields) -> Option<String> {
    if fields.contains_key("none") {
        return Some("Nothing was selected.".to_owned());
    }
    let count = |name| first(fields, name).and_then(|text| text.parse::<u64>().ok());
    let (queued, pending, gone) = (count("queued")?, count("pending")?, count("gone")?);
    let mut told = format!("{queued} on their way to Kafka again");
    if pending > 0 {
        told += &format!(", {pending} were anyway");
    }
    if gone > 0 {
        told += &format!(", {gone} have no body any more");
    }
    Some(told + ".")
}

fn behind(fields: &Fields) -> Option<Place> {
    let (ms, seq) = first(fields, "behind")?.split_once('.')?;
    Some(Place {
        received_at: Timestamp::from_unix_ms(ms.parse().ok()?),
        seq: seq.parse().ok()?,
    })
}

/// Numbers that were selected, in order, each once.
pub(super) fn numbers(fields: &Fields, name: &str) -> Vec<u64> {
    let selected = fields.get(name).into_iter().flatten();
    let mut numbers: Vec<u64> = selected.filter_map(|text| text.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

const PAGE: usize = 50;
