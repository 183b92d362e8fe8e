//! The ids that records carry: those of the last time at first, then the registry's, asked in the background.
//!
//! An id once known is used until the registry names another; the registry being away changes nothing then. While one was
//! never known, a record goes without its header, since the value is readable all the same. A value that should begin
//! with the id is not: it would stand on the topic as a record that its consumers can never read. So with
//! `schema_id = "prefix"` publishing waits for the first answer, and the journal keeps what comes.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::cache::Cache;
use super::client::{Client, Patience, RegistryError};
use super::framing::Framing;
use super::{Subject, subjects};
use crate::config::{Config, Registry, SchemaId};

/// The ids of all topics. Clones share them.
#[derive(Debug, Clone)]
pub struct Ids(Option<Arc<Shared>>);

/// What a batch is to be made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framed {
    /// With this.
    With(Arc<Framing>),
    /// Not yet: the registry has just been asked.
    Soon,
    /// Not until somebody sees to this.
    Waits(String),
}

#[derive(Debug)]
struct Shared {
    registry: Registry,
    subjects: RwLock<Arc<Vec<Subject>>>,
    cache: Cache,
    framing: RwLock<Arc<Framing>>,
    /// Why an id is missing, and what to do; `None` when none is.
    trouble: Mutex<Option<String>>,
    /// Until the first answer, or this moment, publishing waits for ids that were never known.
    asking_until: Mutex<Instant>,
    /// Wakes whoever asks.
    news: Notify,
    asked: AtomicBool,
    /// Whether the registry did not answer the last time, which matters little while all ids are known.
    away: AtomicBool,
}

impl Ids {
    /// Those of the last time, for a configuration.
    pub fn of(config: &Config) -> Self {
        let registry = config.registry.clone();
        let registry = registry.filter(|registry| registry.schema_id != SchemaId::None);
        Self(registry.map(|registry| Arc::new(Shared::new(config, registry))))
    }

    /// What the next batch is to be made with.
    pub fn framed(&self) -> Framed {
        match &self.0 {
            Some(shared) => shared.framed(),
            None => Framed::With(Arc::new(Framing::none())),
        }
    }

    /// What keeps an id from being known, and what to do; `None` inside when all are, outside when none is asked for.
    pub fn health(&self) -> Option<Option<String>> {
        let shared = self.0.as_ref()?;
        Some(shared.trouble().clone())
    }

    /// Goes on with the topics of another configuration; the registry stays.
    pub fn follow(&self, config: &Config) {
        if let Some(shared) = &self.0 {
            shared.follow(config);
        }
    }

    /// Asks the registry, and asks again, until `stopped` resolves.
    pub async fn keep(self, stopped: impl Future<Output = ()>) {
        let Some(shared) = self.0 else {
            return stopped.await;
        };
        tokio::select! {
            () = stopped => {}
            () = shared.keep_asking() => {}
        }
    }
}

impl Shared {
    fn new(config: &Config, registry: Registry) -> Self {
        let subjects = subjects(config);
        let cache = Cache::beside(Path::new(&config.journal.path), &registry.url);
        let mut framing = Framing::new(registry.schema_id);
        for (subject, id) in subjects.iter().zip(cache.read(&subjects)) {
            if let Some(id) = id {
                framing.learn(&subject.topic, id);
            }
        }
        let known = subjects.iter().all(|subject| framing.knows(&subject.topic));
        let shared = Self {
            registry,
            subjects: RwLock::new(Arc::new(subjects)),
            cache,
            framing: RwLock::new(Arc::new(framing)),
            trouble: Mutex::new(None),
            asking_until: Mutex::new(Instant::now() + FIRST_ANSWER_WITHIN),
            news: Notify::new(),
            asked: AtomicBool::new(known),
            away: AtomicBool::new(false),
        };
        if !known {
            *shared.trouble() = Some("the registry has not answered yet".to_owned());
        }
        shared
    }

    /// New topics are asked for at once, and waited for as at the start.
    fn follow(&self, config: &Config) {
        let subjects = subjects(config);
        let framing = self.framing();
        let known = subjects.iter().all(|subject| framing.knows(&subject.topic));
        *self
            .subjects
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(subjects);
        if !known {
            *self.trouble() = Some("the registry has not answered yet".to_owned());
            *self.asking_until() = Instant::now() + FIRST_ANSWER_WITHIN;
            self.asked.store(false, Ordering::Release);
            self.news.notify_one();
        }
    }

    fn framed(&self) -> Framed {
        // A record that goes without its id is never given one, so the first answer is worth a moment.
        if !self.asked.load(Ordering::Acquire) && Instant::now() < *self.asking_until() {
            return Framed::Soon;
        }
        match self.registry.schema_id {
            SchemaId::Prefix => match self.trouble().clone() {
                Some(trouble) => Framed::Waits(format!(
                    "a value must begin with its schema's id, and {trouble}"
                )),
                None => Framed::With(self.framing()),
            },
            SchemaId::Header | SchemaId::None => Framed::With(self.framing()),
        }
    }

    async fn keep_asking(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let subjects = self.subjects();
            let answered = self.ask_all(&subjects).await;
            if !Arc::ptr_eq(&subjects, &self.subjects()) {
                continue;
            }
            self.judge(answered.as_ref().err());
            self.asked.store(true, Ordering::Release);
            let settled = answered.is_ok() && self.trouble().is_none();
            pause = if settled {
                REFRESH
            } else {
                (pause * 2).min(LONGEST_PAUSE)
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.news.notified() => pause = FIRST_PAUSE,
            }
        }
    }

    /// Learns what the registry knows; one that cannot be asked is not asked for the rest.
    async fn ask_all(&self, subjects: &[Subject]) -> Result<(), RegistryError> {
        let client = Client::new(&self.registry, Patience::Once)?;
        let mut framing = Framing::clone(&self.framing());
        let mut news = Vec::new();
        let mut failed = None;
        for subject in subjects {
            match client.look_up(&subject.name, &subject.schema).await {
                Ok(Some(found)) if framing.learn(&subject.topic, found.id) => {
                    tracing::info!(
                        subject = subject.name,
                        id = found.id,
                        version = found.version,
                        "schema id"
                    );
                    news.push((subject.clone(), found.id));
                }
                Ok(Some(_)) => {}
                Ok(None) if framing.knows(&subject.topic) => {
                    tracing::warn!(
                        subject = subject.name,
                        "the registry no longer has this schema, its id is used on; run `schemas register`"
                    );
                }
                Ok(None) => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if !news.is_empty() {
            // On disk first: what a record has carried, records carry after a restart too.
            self.save(news).await;
            *self.framing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(framing);
        }
        failed.map_or(Ok(()), Err)
    }

    async fn save(&self, news: Vec<(Subject, u32)>) {
        let cache = self.cache.clone();
        let saved = tokio::task::spawn_blocking(move || cache.write(&news)).await;
        if let Err(error) = saved.map_err(io::Error::other).and_then(|written| written) {
            tracing::warn!(%error, "cannot keep the schema ids beside the journal; the next start has to ask for them");
        }
    }

    /// Tells once what is missing, and once when nothing is any more.
    fn judge(&self, error: Option<&RegistryError>) {
        let (framing, subjects) = (self.framing(), self.subjects());
        let missing = subjects
            .iter()
            .filter(|subject| !framing.knows(&subject.topic));
        let missing: Vec<&str> = missing.map(|subject| subject.name.as_str()).collect();
        let now = match (missing.as_slice(), error) {
            ([], _) => None,
            (missing, Some(error)) => Some(format!(
                "the ids of {} schemas are not known: {error}",
                missing.len()
            )),
            (missing, None) => Some(format!(
                "the registry does not have the schema of {}; run `schemas register`",
                missing.join(", ")
            )),
        };
        let mut trouble = self.trouble();
        if *trouble != now || !self.asked.load(Ordering::Acquire) {
            match (&now, self.registry.schema_id) {
                (Some(why), SchemaId::Prefix) => tracing::error!("{why}"),
                (Some(why), _) => {
                    tracing::warn!("records go without the header of their schema's id: {why}")
                }
                (None, _) => tracing::info!("the schema ids of all topics are known"),
            }
            *trouble = now;
        }
        let was_away = self.away.swap(error.is_some(), Ordering::Relaxed);
        if let (None, Some(error), false) = (&*trouble, error, was_away) {
            tracing::warn!("the schema ids of the last time are used: {error}");
        }
    }

    fn framing(&self) -> Arc<Framing> {
        let framing = self.framing.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&framing)
    }

    fn subjects(&self) -> Arc<Vec<Subject>> {
        let subjects = self.subjects.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&subjects)
    }

    fn asking_until(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.asking_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        // Each text is whole even if its holder panicked.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the first answer is waited for with publishing, if an id was never known.
const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// So long at most until somebody's `schemas register` is seen.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A registry that was set up anew may have given other ids.
const REFRESH: Duration = Duration::from_secs(600);
