//! What a page reads with: connections of its own, opened for it and closed behind it.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use maud::Markup;

use super::page::{self, Frame};
use super::watch::Seen;
use super::{App, Shared};
use crate::config::Config;
use crate::journal::ReadError;
use crate::journal::ledger::LedgerError;
use crate::journal::quarantine::QuarantineError;
use crate::journal::read::Viewer;
use crate::journal::search::{Query, Search, SearchError};
use crate::time::Timestamp;

/// What a page reads with.
pub(super) struct Desk {
    pub(super) shared: App,
    pub(super) viewer: Viewer,
    /// `None` before the index has been begun.
    pub(super) search: Option<Search>,
    pub(super) seen: Arc<Seen>,
    pub(super) now: Timestamp,
}

/// A page without its frame.
pub(super) struct Content {
    pub(super) title: String,
    pub(super) body: Markup,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0}")]
    NotFound(&'static str),
    #[error("{0}")]
    NotUnderstood(&'static str),
    #[error("too many pages are read at once; try again in a moment")]
    Busy,
    #[error("{0}")]
    NotDone(String),
    #[error(transparent)]
    Journal(#[from] ReadError),
    #[error(transparent)]
    Search(#[from] SearchError),
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Desk {
    pub(super) fn open(shared: &App) -> Result<Self, Trouble> {
        let path = &shared.config.journal.path;
        Ok(Self {
            viewer: Viewer::open(path)?,
            search: Search::open(path)?,
            seen: shared.standing.seen(),
            now: Timestamp::now(),
            shared: Arc::clone(shared),
        })
    }

    pub(super) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// What stands around each page.
    pub(super) fn frame(&self) -> Result<Frame, Trouble> {
        Ok(Frame {
            readiness: (self.shared.probe)(),
            letters: self.fresh_letters()?,
            can_log_out: self.shared.guard.asks_for_token(),
        })
    }

    /// Dead letters of the last day, as many as are worth counting.
    fn fresh_letters(&self) -> Result<usize, Trouble> {
        let Some(search) = &self.search else {
            return Ok(0);
        };
        let query = Query {
            faulty: true,
            since: Some(Timestamp::from_unix_ms(self.now.unix_ms() - DAY_MS)),
            ..Query::default()
        };
        Ok(search
            .find(&query, None, MOST_COUNTED, |_| true)?
            .found
            .len())
    }
}

impl Shared {
    /// Has something done beside the runtime's own threads, when it is its turn.
    pub(super) async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let Ok(place) = self.readers.acquire().await else {
            return Err(Trouble::Busy);
        };
        let done = tokio::task::spawn_blocking(work).await;
        drop(place);
        done.unwrap_or_else(|_| Err(Trouble::NotDone(PANICKED.to_owned())))
    }
}

/// A page, read at a desk of its own.
pub(super) async fn page(
    shared: App,
    content: impl FnOnce(&Desk) -> Result<Content, Trouble> + Send + 'static,
) -> Response {
    let at = Arc::clone(&shared);
    let made = shared.beside(move || {
        let desk = Desk::open(&at)?;
        let frame = desk.frame()?;
        Ok((frame, content(&desk)?))
    });
    match made.await {
        Ok((frame, content)) => page::whole(&frame, &content).into_response(),
        Err(trouble) => page::trouble(&trouble),
    }
}

/// How large a body may become when its `Content-Encoding` is undone: as for the publisher.
pub(super) fn decoded_limit_bytes(config: &Config) -> usize {
    let max_body_bytes = usize::try_from(config.listen.max_body_bytes).unwrap_or(usize::MAX);
    max_body_bytes.saturating_mul(DECODED_TIMES)
}

const DECODED_TIMES: usize = 4;
const DAY_MS: i64 = 24 * 3600 * 1000;
const MOST_COUNTED: usize = 100;
const PANICKED: &str = "this page could not be made; the log says why";
