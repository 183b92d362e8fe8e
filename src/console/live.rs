//! What arrives, as it arrives: server-sent events that the overview's script puts into the page.
//!
//! Each event is JSON: rows as they stand in the table, by their id, and the parts of the page that changed. Whatever is
//! in it was escaped here. A page that is not looked at fast enough gets the latest, not everything.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::desk::{Desk, Trouble};
use super::rows::{self, Standing};
use super::{App, overview, page};

pub(super) async fn live(State(shared): State<App>) -> Response {
    let Ok(place) = Arc::clone(&shared.viewers).try_acquire_owned() else {
        let busy = "too many live pages are open";
        return page::said(StatusCode::SERVICE_UNAVAILABLE, "Busy", busy);
    };
    let viewer = Viewer {
        news: shared.standing.news(),
        stopped: shared.stopped.clone(),
        shared,
        shown: Known::default(),
        _place: place,
    };
    let events = stream::unfold(viewer, async |mut viewer| {
        let event = viewer.next().await?;
        Some((Ok::<_, Infallible>(event), viewer))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// One open page.
struct Viewer {
    shared: App,
    news: watch::Receiver<u64>,
    stopped: watch::Receiver<()>,
    shown: Known,
    _place: OwnedSemaphorePermit,
}

/// What a page shows already.
#[derive(Debug, Clone, Default)]
struct Known {
    rows: BTreeMap<u64, &'static str>,
    standing: String,
    chart: String,
}

/// What is new to a page.
#[derive(Debug, Default, Serialize)]
struct News {
    /// The oldest first: each is put above those before it.
    rows: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chart: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    html: String,
}

impl Viewer {
    /// The next event; `None` when it is time to stop.
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                // A state changes without anything arriving.
                _ = tokio::time::timeout(LOOK_EVERY, self.news.changed()) => {}
                _ = self.stopped.changed() => return None,
            }
            let (shared, known) = (Arc::clone(&self.shared), self.shown.clone());
            let looked = self.shared.beside(move || look(&shared, known)).await;
            match looked {
                Ok((known, news)) => {
                    self.shown = known;
                    if let Some(event) = news.and_then(event) {
                        return Some(event);
                    }
                }
                Err(trouble) => {
                    tracing::debug!(
                        error = &trouble as &dyn std::error::Error,
                        "a live page waits"
                    );
                }
            }
            // Bursts are shown in steps.
            tokio::time::sleep(BETWEEN_EVENTS).await;
        }
    }
}

/// JSON is one line, whatever is in it.
fn event(news: News) -> Option<Event> {
    let json = serde_json::to_string(&news).ok()?;
    Some(Event::default().data(json))
}

fn look(shared: &App, mut known: Known) -> Result<(Known, Option<News>), Trouble> {
    let desk = Desk::open(shared)?;
    let mut news = News::default();
    let mut rows = BTreeMap::new();
    for shown in overview::latest(&desk)?.iter().rev() {
        let (seq, word) = (shown.found.seq, word(shown.standing()));
        if known.rows.get(&seq) != Some(&word) {
            let (id, html) = (rows::row_id(seq), rows::row(shown, &desk).0);
            news.rows.push(Row { id, html });
        }
        rows.insert(seq, word);
    }
    known.rows = rows;
    news.standing = changed(&mut known.standing, overview::standing(&desk).0);
    news.chart = changed(&mut known.chart, overview::hour(&desk)?.0);
    let nothing = news.rows.is_empty() && news.standing.is_none() && news.chart.is_none();
    Ok((known, (!nothing).then_some(news)))
}

fn changed(known: &mut String, now: String) -> Option<String> {
    let differs = *known != now;
    differs.then(|| {
        known.clone_from(&now);
        now
    })
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Pending => "pending",
        Standing::Published => "published",
        Standing::DeadLetter => "dead letter",
        Standing::Dead => "dead",
        Standing::Gone => "gone",
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);
