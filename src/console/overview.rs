//! The first page: whether calls arrive and get on, the last hour, and what comes in just now.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::desk::{self, Content, Desk, Trouble};
use super::page::{Mood, number, state};
use super::rows::{self, Shown};
use super::{App, chart, completeness};
use crate::cli::output::{bytes_for_people, span_for_people};
use crate::journal::search::{Minute, Query};
use crate::metrics::Observed;
use crate::receive::health::Health;

pub(super) async fn overview(State(shared): State<App>) -> Response {
    desk::page(shared, |desk| {
        let body = html! {
            h1 { "Overview" }
            section #standing aria-label="How things stand" { (standing(desk)) }
            section aria-labelledby="hour" {
                h2 #hour { "The last hour" }
                div #chart { (hour(desk)?) }
            }
            section aria-labelledby="arriving" {
                div.beside {
                    h2 #arriving { "What arrives" }
                    button #pause .quiet type="button" hidden aria-pressed="false" { "Pause" }
                    span #live .muted role="status" {}
                }
                table.list #arrivals data-live="/live" data-rows=(LATEST) {
                    (rows::head())
                    tbody { @for shown in &latest(desk)? { (rows::row(shown, desk)) } }
                }
                p.muted #nothing { "Nothing has arrived yet." }
            }
        };
        Ok(Content {
            title: "Overview".to_owned(),
            body,
        })
    })
    .await
}

/// The newest deliveries.
pub(super) fn latest(desk: &Desk) -> Result<Vec<Shown>, Trouble> {
    let Some(search) = &desk.search else {
        return Ok(Vec::new());
    };
    let page = search.find(&Query::default(), None, LATEST, |_| true)?;
    let shown = page.found.into_iter().map(|found| Shown::of(desk, found));
    shown.collect()
}

/// Line by line what works, what does not, and what to do.
pub(super) fn standing(desk: &Desk) -> Markup {
    let readiness = (desk.shared.probe)();
    let unknown = Observed::default();
    let observed = desk.seen.observed.as_ref().unwrap_or(&unknown);
    let brokers = desk.config().kafka.get("bootstrap.servers");
    html! {
        dl.standing {
            dt { "Deliveries" }
            dd { (health(&readiness.journal, "accepted", "refused")) }
            dt { "Kafka" }
            dd {
                (health(&readiness.kafka, "publishing", if observed.publishing { "wants attention" } else { "not publishing" }))
                @if let Some(brokers) = brokers { span.muted.wide { (brokers) } }
            }
            dt { "Backlog" }
            dd { (backlog(observed)) }
            dt { "Registry" }
            dd {
                @match &readiness.registry {
                    Some(registry) => (health(registry, "ids known", "an id is missing")),
                    None => span.muted { "none is asked for ids" },
                }
            }
            dt { "Calls" }
            dd { (completeness::in_short(desk)) }
            dt { "Disk" }
            dd { (disk(observed)) }
            @if let Some(line) = index(desk) {
                dt { "Search" }
                dd { (line) }
            }
        }
    }
}

fn health(health: &Health, well: &str, ill: &str) -> Markup {
    match health {
        Health::Ok => state(Mood::Well, well),
        Health::Failing { reason } => html! { (state(Mood::Ill, ill)) span.reason { (reason) } },
    }
}

fn backlog(observed: &Observed) -> Markup {
    if observed.pending_rows == 0 {
        return state(Mood::Well, "nothing waits");
    }
    let waited = std::time::Duration::try_from_secs_f64(observed.pending_seconds);
    let waited_ms = waited.map_or(0, |waited| {
        u64::try_from(waited.as_millis()).unwrap_or(u64::MAX)
    });
    let bytes = bytes_for_people(observed.pending_bytes);
    html! {
        (state(Mood::Waits, &format!("{} wait", number(observed.pending_rows))))
        span { (bytes) ", the first for " (span_for_people(waited_ms)) }
    }
}

fn disk(observed: &Observed) -> Markup {
    let (free, limit) = (observed.free_bytes, observed.journal_max_bytes);
    let mood = if free < LITTLE_FREE_BYTES {
        Mood::Ill
    } else {
        Mood::Well
    };
    html! {
        (state(mood, &format!("{} free", bytes_for_people(free))))
        span {
            "journal " (bytes_for_people(observed.journal_bytes)) " of " (bytes_for_people(limit))
            ", quarantine " (bytes_for_people(observed.quarantine_bytes))
        }
    }
}

/// `None` when there is nothing to say.
fn index(desk: &Desk) -> Option<Markup> {
    if let Some(trouble) = &desk.seen.trouble {
        return Some(html! { (state(Mood::Ill, "not kept up")) span.reason { (trouble) } });
    }
    (desk.seen.behind > FAR_BEHIND).then(|| {
        html! {
            (state(Mood::Waits, "catching up"))
            span { (number(desk.seen.behind)) " deliveries cannot be found yet" }
        }
    })
}

/// The chart of the last hour.
pub(super) fn hour(desk: &Desk) -> Result<Markup, Trouble> {
    let last = Minute::of(desk.now);
    let minutes = match &desk.search {
        Some(search) => search.minutes(last - chart::MINUTES + 1)?,
        None => Vec::new(),
    };
    Ok(chart::hour(&minutes, last))
}

const LATEST: usize = 25;
/// The journal refuses deliveries at 64 MiB.
const LITTLE_FREE_BYTES: u64 = 512 << 20;
const FAR_BEHIND: u64 = 2000;
