//! The console's thread: reads what came into the journal, fills the index with it, and looks now and then how things
//! stand.
//!
//! It is behind everybody else: it asks the system for less of the processor than others get, rests longer than it works,
//! and catches up when a burst is over. Whatever fails here costs search and chart, never a delivery.

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::watch::Standing;
use super::{Parts, desk};
use crate::config::Config;
use crate::dialect::{self, encoding};
use crate::journal::ReadError;
use crate::journal::read::{Filter, State, Viewer};
use crate::journal::scan::{self, Selection};
use crate::journal::search::{Entry, Fault, Index, Minute, Refused, SearchError, Told};
use crate::metrics::{Metrics, Totals, Watched};
use crate::nice::stand_back;
use crate::publish::State as Publishing;
use crate::time::Timestamp;

/// The running thread; dropping it ends it.
pub(super) struct Indexer {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Indexer {
    /// Starts to fill the index of this journal.
    pub(super) fn start(config: &Config, parts: &Parts, standing: Standing) -> Self {
        let (stop, stopped) = mpsc::channel();
        let work = Work {
            path: config.journal.path.clone(),
            uuid: parts.journal.uuid(),
            decoded_limit_bytes: desk::decoded_limit_bytes(config),
            metrics: parts.metrics.clone(),
            publishing: parts.publishing.clone(),
            counted: Totals::default(),
            look_at: Instant::now(),
            forget_at: Instant::now(),
            refused: Vec::new(),
            standing,
        };
        let observe = std::sync::Arc::clone(&parts.observe);
        let thread = std::thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || work.run(&observe, &stopped));
        let thread = thread
            .inspect_err(|error| tracing::error!(%error, "the console has no thread: nothing can be searched"))
            .ok();
        Self {
            stop: Some(stop),
            thread,
        }
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its hook.
            let _ = thread.join();
        }
    }
}

struct Work {
    path: PathBuf,
    uuid: Uuid,
    decoded_limit_bytes: usize,
    metrics: Metrics,
    publishing: Publishing,
    /// The counters when they were last looked at.
    counted: Totals,
    look_at: Instant,
    forget_at: Instant,
    /// What was set aside and is not in the index yet.
    refused: Vec<Refused>,
    standing: Standing,
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Journal(#[from] ReadError),
    #[error(transparent)]
    Index(#[from] SearchError),
}

impl Work {
    fn run(mut self, observe: &Watched, stopped: &mpsc::Receiver<()>) {
        stand_back(NICER);
        loop {
            let pause = match self.session(observe, stopped) {
                Ok(()) => return,
                Err(failed) => {
                    tracing::warn!(
                        error = &failed as &dyn std::error::Error,
                        "the console's search index cannot be filled; trying again"
                    );
                    let trouble = failed.to_string();
                    self.standing.see(|seen| seen.trouble = Some(trouble));
                    AFTER_ERROR
                }
            };
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Fills the index until it is told to stop.
    fn session(&mut self, observe: &Watched, stopped: &mpsc::Receiver<()>) -> Result<(), Failed> {
        let viewer = Viewer::open(&self.path)?;
        let mut index = Index::open(&self.path, self.uuid)?;
        if !self.fits(&viewer, &index)? {
            index = index.begin_anew(&self.path, self.uuid)?;
        }
        self.refused.extend(dead(&viewer)?);
        self.standing.see(|seen| seen.trouble = None);
        loop {
            let began = Instant::now();
            let done = self.round(&viewer, &mut index, observe);
            let more = match done {
                Err(Failed::Index(error)) if error.is_damage() => {
                    tracing::warn!("the console's search index is damaged and is filled anew");
                    drop(index.begin_anew(&self.path, self.uuid)?);
                    return Err(error.into());
                }
                other => other?,
            };
            let rest = began.elapsed() * RESTS_TIMES;
            let pause = if more { rest } else { rest.max(LOOK_EVERY) };
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return Ok(());
            }
        }
    }

    /// Whether the index is of this journal as it is: a restored backup knows less, or other deliveries.
    fn fits(&self, viewer: &Viewer, index: &Index) -> Result<bool, Failed> {
        let Some((seq, received_at)) = index.newest()? else {
            return Ok(true);
        };
        let entry = viewer.entry(seq)?;
        Ok(entry.is_some_and(|entry| entry.received_at == received_at))
    }

    /// One batch, and whatever else is due; whether there is more to do at once.
    fn round(
        &mut self,
        viewer: &Viewer,
        index: &mut Index,
        observe: &Watched,
    ) -> Result<bool, Failed> {
        let ends = viewer.ends()?;
        let next = index.next_seq();
        let behind = |next: u64| ends.map_or(0, |(_, last)| (last + 1).saturating_sub(next));
        let entries = if behind(next) > 0 {
            self.read(viewer, next)?
        } else {
            None
        };
        if let Some((entries, next)) = entries {
            index.add(&entries, next)?;
        }
        self.note_refused(index)?;
        let left = behind(index.next_seq());
        let now = Instant::now();
        if now >= self.forget_at {
            let more = match ends {
                Some((first, _)) => index.forget_below(first)?,
                None => false,
            };
            self.forget_at = if more { now } else { now + FORGET_EVERY };
            self.forgive(viewer, index)?;
        }
        if now >= self.look_at {
            self.look_at = now + OBSERVE_EVERY;
            self.look(index, observe, left)?;
        } else if next != index.next_seq() || self.standing.seen().behind != left {
            self.standing.see(|seen| seen.behind = left);
        }
        Ok(left > 0)
    }

    /// Some deliveries from `next` on, and where to go on.
    fn read(&self, viewer: &Viewer, next: u64) -> Result<Option<(Vec<Entry>, u64)>, ReadError> {
        match self.read_page(viewer, (next, u64::MAX)) {
            Ok(page) => Ok(page),
            Err(error) => {
                // A damaged page costs only what is on it.
                let alone: Vec<_> = (next..next + SINGLY)
                    .filter_map(|seq| self.read_page(viewer, (seq, seq)).ok().flatten())
                    .flat_map(|(entries, _)| entries)
                    .collect();
                if alone.is_empty() {
                    return Err(error);
                }
                Ok(Some((alone, next + SINGLY)))
            }
        }
    }

    fn read_page(
        &self,
        viewer: &Viewer,
        seqs: (u64, u64),
    ) -> Result<Option<(Vec<Entry>, u64)>, ReadError> {
        let mut walk = viewer.walk(Selection {
            seqs: vec![seqs],
            ..Selection::default()
        })?;
        let page = walk.page()?;
        let next = walk.next_seq();
        Ok(page.map(|page| (page.iter().map(|found| self.entry(found)).collect(), next)))
    }

    fn entry(&self, found: &scan::Found) -> Entry {
        let dead = (found.entry.state == State::Dead).then(|| Fault {
            reason: found.entry.reason.clone().unwrap_or_default(),
            out_seq: Some(found.entry.out_seq),
        });
        let (told, unreadable) = match found.body.as_deref().map(|body| self.told(found, body)) {
            Some(Ok(told)) => (Some(told), None),
            Some(Err(fault)) => (None, Some(fault)),
            // Retention took it before anybody looked.
            None => (None, None),
        };
        Entry {
            seq: found.entry.seq,
            received_at: found.entry.received_at,
            webhook: found.entry.webhook.clone(),
            told,
            fault: dead.or(unreadable),
        }
    }

    fn told(&self, found: &scan::Found, body: &[u8]) -> Result<Told, Fault> {
        let encodings = found.headers.content_encoding.as_deref();
        let headline = encoding::decode(body, encodings, self.decoded_limit_bytes)
            .and_then(|body| dialect::headline(&body, found.entry.origin));
        headline
            .map(|headline| Told {
                call_id: headline.call_id,
                agent_id: headline.agent_id,
                event_type: headline.event_type,
            })
            .map_err(|unreadable| Fault {
                reason: unreadable.reason().to_owned(),
                out_seq: None,
            })
    }

    /// What was set aside before its row was in the index waits until it is.
    fn note_refused(&mut self, index: &mut Index) -> Result<(), SearchError> {
        self.refused.extend(self.publishing.take_refused());
        let next = index.next_seq();
        let (known, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.refused)
            .into_iter()
            .partition(|refused| refused.seq < next);
        self.refused = waiting;
        if known.is_empty() {
            return Ok(());
        }
        index.refuse(&known)
    }

    /// What was refused and then replayed is no dead letter any more.
    fn forgive(&self, viewer: &Viewer, index: &mut Index) -> Result<(), Failed> {
        let mut replayed = Vec::new();
        for refused in index.refused()? {
            let entry = viewer.entry(refused.seq)?;
            if entry.is_some_and(|entry| entry.out_seq != refused.out_seq) {
                replayed.push(refused);
            }
        }
        Ok(index.forgive(&replayed)?)
    }

    fn look(
        &mut self,
        index: &mut Index,
        observe: &Watched,
        behind: u64,
    ) -> Result<(), SearchError> {
        let observed = observe();
        let totals = self.metrics.totals();
        let minute = Minute {
            at: Minute::of(Timestamp::now()),
            stored: totals.stored - self.counted.stored,
            duplicates: totals.duplicates - self.counted.duplicates,
            refused: totals.refused - self.counted.refused,
            published: totals.published - self.counted.published,
            dead_letters: totals.dead_letters - self.counted.dead_letters,
            pending: observed.pending_rows,
        };
        index.count(&minute)?;
        self.counted = totals;
        self.standing.see(|seen| {
            seen.observed = Some(observed);
            seen.behind = behind;
        });
        Ok(())
    }
}

/// What nothing took, by the journal: it may have been marked so behind the index's back.
fn dead(viewer: &Viewer) -> Result<Vec<Refused>, ReadError> {
    let dead = viewer.list(&Filter {
        state: Some(State::Dead),
        webhook: None,
        since: None,
        until: None,
        limit: MOST_DEAD,
    })?;
    let refused = |entry: crate::journal::read::Entry| Refused {
        seq: entry.seq,
        out_seq: entry.out_seq,
        reason: entry.reason.unwrap_or_default(),
    };
    Ok(dead.into_iter().map(refused).collect())
}

const NICER: i32 = 10;
/// A rest is so many times as long as the work before it.
const RESTS_TIMES: u32 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(200);
const OBSERVE_EVERY: Duration = Duration::from_secs(2);
const FORGET_EVERY: Duration = Duration::from_secs(5);
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How many rows are tried one by one after a page that could not be read.
const SINGLY: u64 = 64;
const MOST_DEAD: usize = 10_000;
