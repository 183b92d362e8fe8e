//! What reconciliation works with, and what it knows at a time.
//!
//! Knowledge is taken in this order: what waits in the journal, then what the topics have. So an event that is published
//! meanwhile is seen by one or the other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::ours::Ours;
use crate::atoms::{AtomsError, Client};
use crate::config::{Atoms, Config, Webhook};
use crate::dialect::{self, encoding};
use crate::event::{Stage, Stages};
use crate::journal::ledger::{Ledger, LedgerError, Reach};
use crate::journal::{AppendError, Journal, ReadError, Reader};
use crate::metrics::ReconcileMetrics;
use crate::publish::elect::Election;
use crate::publish::held::{self, HeldError};
use crate::publish::{Reconciled, Stop};
use crate::receive::delivery::WebhookName;
use crate::time::Timestamp;

/// What it works with.
pub(super) struct Engine {
    pub(super) setup: Setup,
    pub(super) client: Client,
    pub(super) ledger: Ledger,
    /// `None` where nothing is to be changed.
    pub(super) journal: Option<Journal>,
    /// `None` where nothing is to be changed.
    pub(super) election: Option<Election>,
    pub(super) metrics: ReconcileMetrics,
    /// To be told of what is reconciled before a webhook brings it.
    pub(super) reconciled: Reconciled,
    pub(super) stop: Stop,
    knowledge: Option<Knowledge>,
    ours: Option<(Instant, Ours)>,
    /// How often the tries of a call could not be had; those that can never be had hold up nothing.
    pub(super) tries_failed: HashMap<String, u32>,
}

/// What of the configuration counts.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) kafka: BTreeMap<String, String>,
    pub(super) prefix: String,
    pub(super) webhooks: BTreeMap<WebhookName, Webhook>,
    pub(super) atoms: Atoms,
    pub(super) journal_path: PathBuf,
    decoded_limit_bytes: usize,
}

/// What is known at a time.
struct Knowledge {
    at: Timestamp,
    reach: Reach,
    /// Events in the journal that were not published then.
    pending: HashSet<(String, Stage)>,
    /// `None` where there is no journal yet.
    reader: Option<Reader>,
}

/// What keeps it from going on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Api(#[from] AtomsError),
    #[error(transparent)]
    Held(#[from] HeldError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("{0} deliveries wait for Kafka; it is compared when they are fewer")]
    Backlog(u64),
    #[error(
        "none of the webhooks at Atoms delivers to a webhook that is configured here, so no event is expected: run `atoms connect`, or compare with `atoms webhooks`"
    )]
    NothingOurs,
    #[error("another bridge of these topics reconciles: run it there, or end that one")]
    NotElected,
    #[error("stopped")]
    Stopped,
}

impl Trouble {
    /// Whether it may be over by itself in a while.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Api(error) => error.may_pass(),
            Self::Held(_) | Self::Append(_) | Self::Backlog(_) => true,
            Self::Ledger(_)
            | Self::Read(_)
            | Self::NothingOurs
            | Self::NotElected
            | Self::Stopped => false,
        }
    }
}

impl Setup {
    pub(super) fn of(config: &Config) -> Self {
        let max_body_bytes = usize::try_from(config.listen.max_body_bytes).unwrap_or(usize::MAX);
        Self {
            kafka: config.kafka.clone(),
            prefix: config.topics.prefix.clone(),
            webhooks: config.webhooks.clone(),
            atoms: config.atoms.clone(),
            journal_path: config.journal.path.clone(),
            decoded_limit_bytes: max_body_bytes.saturating_mul(DECODED_TIMES),
        }
    }

    /// The topics on which events may be.
    pub(super) fn topics(&self) -> Vec<(String, Stage)> {
        let own = self.webhooks.values();
        let own = own.filter_map(|webhook| webhook.topic_prefix.as_deref());
        held::topics(own.chain([self.prefix.as_str()]))
    }
}

impl Engine {
    pub(super) fn new(
        setup: Setup,
        client: Client,
        ledger: Ledger,
        (metrics, stop): (ReconcileMetrics, Stop),
    ) -> Self {
        Self {
            setup,
            client,
            ledger,
            journal: None,
            election: None,
            metrics,
            reconciled: Reconciled::default(),
            stop,
            knowledge: None,
            ours: None,
            tries_failed: HashMap::new(),
        }
    }

    /// Goes on with other webhooks and topics.
    pub(super) fn follow(&mut self, setup: Setup) {
        self.setup = setup;
        self.ours = None;
        self.knowledge = None;
    }

    /// Takes the journal's and the topics' present state.
    pub(super) fn catch_up(&mut self) -> Result<(), Trouble> {
        let at = Timestamp::now();
        self.knowledge = None;
        let mut reader = match &self.journal {
            Some(journal) => Some(journal.reader()?),
            None => match Reader::open_without_trace(&self.setup.journal_path) {
                Err(ReadError::Missing(_)) => None,
                opened => Some(opened?),
            },
        };
        let pending = match &mut reader {
            Some(reader) => self.pending(reader)?,
            None => HashSet::new(),
        };
        let topics = self.setup.topics();
        let caught = self.read_topics(&topics);
        let count = match caught {
            Err(HeldError::Stopped) => return Err(Trouble::Stopped),
            other => other?,
        };
        let names: Vec<String> = topics.into_iter().map(|(topic, _)| topic).collect();
        let reach = self.ledger.reach(&names, at)?;
        tracing::debug!(
            count,
            ?reach,
            pending = pending.len(),
            "reconciliation: compared with what the topics have"
        );
        self.knowledge = Some(Knowledge {
            at,
            reach,
            pending,
            reader,
        });
        Ok(())
    }

    /// On a thread of its own, where it may block: this one drives requests.
    fn read_topics(&mut self, topics: &[(String, Stage)]) -> Result<u64, HeldError> {
        let (kafka, stop) = (&self.setup.kafka, &self.stop);
        let into = (&mut self.ledger, &self.reconciled);
        let read = std::thread::scope(|scope| {
            let reading = scope.spawn(|| held::catch_up(kafka, topics, into, stop));
            reading.join()
        });
        // A panic there was reported by its hook.
        read.unwrap_or(Err(HeldError::Stopped))
    }

    /// Makes sure that what is known is younger than this, and not older than a moment that matters.
    pub(super) fn be_up_to_date(&mut self, matters: Option<Timestamp>) -> Result<(), Trouble> {
        let oldest = Timestamp::now().unix_ms() - FRESH_MS;
        let fits = |known: &Knowledge| {
            known.at.unix_ms() >= oldest && matters.is_none_or(|matters| known.at >= matters)
        };
        match &self.knowledge {
            Some(known) if fits(known) => Ok(()),
            Some(_) | None => self.catch_up(),
        }
    }

    /// From when on it is known what the topics have had.
    pub(super) fn reach(&self) -> Reach {
        let known = self.knowledge.as_ref();
        known.map_or_else(|| Reach::Since(Timestamp::now()), |known| known.reach)
    }

    /// Which events of a call are there: on a topic, or on their way to it.
    pub(super) fn have(&self, call_id: &str) -> Result<Stages, Trouble> {
        let mut have = self.ledger.held(call_id)?.all();
        let Some(known) = &self.knowledge else {
            return Ok(have);
        };
        for stage in Stages::ALL.but(have).iter() {
            let is_pending = known.pending.contains(&(call_id.to_owned(), stage));
            let is_filled = || match &known.reader {
                Some(reader) => reader.reconciled(&dialect::api::id(call_id, stage)),
                None => Ok(None),
            };
            if is_pending || is_filled()?.is_some() {
                have = have.with(stage);
            }
        }
        Ok(have)
    }

    /// Which agents' events are expected; asked for now and then.
    pub(super) async fn learn_ours(&mut self) -> Result<(), Trouble> {
        let is_fresh = |(at, _): &(Instant, Ours)| at.elapsed() < OURS_FOR;
        if self.ours.as_ref().is_some_and(is_fresh) {
            return Ok(());
        }
        let webhooks = self.answered(self.client.webhooks()).await?;
        let ours = Ours::of(&webhooks, &self.setup.webhooks);
        if ours.is_none() {
            self.ours = None;
            return Err(Trouble::NothingOurs);
        }
        tracing::debug!(
            agents = ours.agents(),
            "reconciliation: agents whose events are expected"
        );
        self.ours = Some((Instant::now(), ours));
        Ok(())
    }

    /// Asks for it anew at the next occasion.
    pub(super) fn forget_ours(&mut self) {
        self.ours = None;
    }

    /// Which events of an agent's calls are expected.
    pub(super) fn expected(&self, agent_id: &str) -> Stages {
        let ours = self.ours.as_ref();
        ours.map_or(Stages::NONE, |(_, ours)| ours.expected(agent_id))
    }

    /// The webhook by which an agent's events of a stage should have come.
    pub(super) fn webhook(&self, agent_id: &str, stage: Stage) -> Option<WebhookName> {
        let (_, ours) = self.ours.as_ref()?;
        ours.webhook(agent_id, stage).cloned()
    }

    /// Complains when another bridge has the place.
    pub(super) fn still_elected(&self) -> Result<(), Trouble> {
        match &self.election {
            Some(election) if !election.is_elected() => Err(Trouble::NotElected),
            Some(_) | None => Ok(()),
        }
    }

    /// An answer of the API's, unless the process is to stop before.
    pub(super) async fn answered<T>(
        &self,
        asking: impl Future<Output = Result<T, AtomsError>>,
    ) -> Result<T, Trouble> {
        tokio::select! {
            answer = asking => Ok(answer?),
            () = stopped(&self.stop) => Err(Trouble::Stopped),
        }
    }

    fn pending(&self, reader: &mut Reader) -> Result<HashSet<(String, Stage)>, Trouble> {
        let (mut pending, mut next, mut count) = (HashSet::new(), 0, 0);
        loop {
            if self.stop.is_set() {
                return Err(Trouble::Stopped);
            }
            let rows = reader.pending(next, PAGE_ROWS, PAGE_BYTES)?;
            let Some(last) = rows.last() else {
                return Ok(pending);
            };
            next = last.out_seq + 1;
            count += rows.len() as u64;
            if count > MOST_PENDING {
                return Err(Trouble::Backlog(count));
            }
            for row in rows.iter().filter(|row| row.intact) {
                let encodings = row.headers.content_encoding.as_deref();
                let headline =
                    encoding::decode(&row.body, encodings, self.setup.decoded_limit_bytes)
                        .and_then(|body| dialect::headline(&body, row.origin));
                let Ok(headline) = headline else { continue };
                let named = |stage: &Stage| stage.name() == headline.event_type;
                let stage = Stage::ALL.into_iter().find(named);
                pending.extend(stage.map(|stage| (headline.call_id, stage)));
            }
        }
    }
}

/// Resolves once the process is to stop.
pub(super) async fn stopped(stop: &Stop) {
    while !stop.is_set() {
        tokio::time::sleep(LOOK_FOR_STOP).await;
    }
}

/// A body may grow so many times over `listen.max_body` when its `Content-Encoding` is undone.
const DECODED_TIMES: usize = 4;
/// For how long what is known is good enough.
const FRESH_MS: i64 = 60_000;
/// For how long subscriptions are taken to be what they were.
const OURS_FOR: Duration = Duration::from_secs(300);
const PAGE_ROWS: usize = 500;
const PAGE_BYTES: usize = 8 << 20;
/// More are not looked through: it would take long, and it will be fewer soon.
const MOST_PENDING: u64 = 500_000;
const LOOK_FOR_STOP: Duration = Duration::from_millis(100);
