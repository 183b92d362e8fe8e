//! What can be asked for, done: the same in a running `serve` as in a command that took the lock.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::{BATCH, Request, Response, Retried};
use crate::config::Config;
use crate::journal::quarantine::{self, QuarantineError, Store};
use crate::journal::{AppendError, AppendedKind, Journal, Replayed};
use crate::metrics::Metrics;
use crate::reconcile::{self, Job, Reconcile};
use crate::time::Timestamp;
use crate::verify::VerifiedDelivery;
use crate::verify::verifiers::Verifiers;

/// Whoever has this may change the journal and the quarantine.
pub struct Actions {
    journal: Journal,
    quarantine: PathBuf,
    verifiers: Verifiers,
    reconcile: Reconciler,
}

/// Who fetches what calls lack.
enum Reconciler {
    /// The running bridge's thread; `None`: it has no key.
    Running(Option<Reconcile>),
    /// A thread that is started when it is asked for.
    Own(Box<Config>, Mutex<Option<Reconcile>>),
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
enum Undone {
    #[error("a request names {BATCH} rows at most")]
    TooMany,
    #[error(transparent)]
    Journal(#[from] AppendError),
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    #[error(
        "`serve` runs without an API key: set atoms.api_key (or ATOMS_API_KEY) for it too, and restart it"
    )]
    NoReconciliation,
    #[error(transparent)]
    Reconcile(#[from] reconcile::StartError),
    #[error("{0}")]
    Run(String),
}

impl Actions {
    /// Acts on this open journal and the quarantine beside it, with the configuration's secrets.
    pub fn new(config: &Config, journal: Journal) -> Self {
        Self {
            verifiers: Verifiers::new(&config.webhooks),
            reconcile: Reconciler::Own(Box::new(config.clone()), Mutex::default()),
            quarantine: quarantine::path_beside(&config.journal.path),
            journal,
        }
    }

    /// [`Actions::new`] for a running bridge, with secrets that are replaced under way and the thread that reconciles.
    pub fn following(
        config: &Config,
        journal: Journal,
        verifiers: Verifiers,
        reconcile: Option<Reconcile>,
    ) -> Self {
        Self {
            journal,
            quarantine: quarantine::path_beside(&config.journal.path),
            verifiers,
            reconcile: Reconciler::Running(reconcile),
        }
    }

    /// Does what is asked for and blocks until it is on disk; never from within a runtime's own threads.
    pub fn act(&self, request: Request) -> Response {
        let done = match request {
            Request::Replay { seqs } => self.replay(seqs),
            Request::Retry { ids } => self.retry(&ids),
            Request::Drop { ids } => self.drop(&ids),
            Request::Reconcile(job) => self.reconcile(job),
            Request::ReconcileNext => self.reconcile_next(),
        };
        done.unwrap_or_else(|undone| Response::Failed {
            message: undone.to_string(),
        })
    }

    fn replay(&self, seqs: Vec<u64>) -> Result<Response, Undone> {
        bounded(&seqs)?;
        let Replayed {
            queued,
            pending,
            gone,
        } = self.journal.replay(seqs, Timestamp::now())?;
        tracing::info!(queued, "replay: deliveries are pending again");
        Ok(Response::Replayed {
            queued,
            pending,
            gone,
        })
    }

    fn retry(&self, ids: &[u64]) -> Result<Response, Undone> {
        bounded(ids)?;
        let Some(store) = self.open_quarantine()? else {
            return Ok(Response::Retried(Retried {
                gone: ids.len() as u64,
                ..Retried::default()
            }));
        };
        let mut retry = Retry {
            actions: self,
            store,
            told: Retried::default(),
            ids: Vec::new(),
            deliveries: Vec::new(),
            bytes: 0,
        };
        for id in ids {
            retry.verify(*id)?;
        }
        retry.append()?;
        let told = retry.told;
        tracing::info!(
            stored = told.stored,
            duplicates = told.duplicates,
            refused = told.refused,
            "quarantine: deliveries were verified again"
        );
        Ok(Response::Retried(told))
    }

    fn drop(&self, ids: &[u64]) -> Result<Response, Undone> {
        bounded(ids)?;
        let count = match self.open_quarantine()? {
            Some(mut store) => store.delete(ids)?,
            None => 0,
        };
        tracing::info!(count, "quarantine: deliveries were dropped");
        Ok(Response::Dropped { count })
    }

    fn reconcile(&self, job: Job) -> Result<Response, Undone> {
        self.reconciler()?.begin(job).map_err(Undone::Run)?;
        Ok(Response::Reconciling)
    }

    fn reconcile_next(&self) -> Result<Response, Undone> {
        let report = self.reconciler()?.next().map_err(Undone::Run)?;
        Ok(Response::Reconciled(report))
    }

    fn reconciler(&self) -> Result<Reconcile, Undone> {
        match &self.reconcile {
            Reconciler::Running(running) => running.clone().ok_or(Undone::NoReconciliation),
            Reconciler::Own(config, own) => {
                let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(own) = &*own {
                    return Ok(own.clone());
                }
                let started = Reconcile::for_runs(config, self.journal.clone(), &Metrics::new())?;
                Ok(own.insert(started).clone())
            }
        }
    }

    /// `None` when there is none; then there is nothing to do either.
    fn open_quarantine(&self) -> Result<Option<Store>, QuarantineError> {
        let exists = self.quarantine.exists();
        exists
            .then(|| Store::open_or_create(&self.quarantine))
            .transpose()
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        if let Reconciler::Own(_, own) = &self.reconcile
            && let Some(own) = own.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            own.stop();
        }
    }
}

/// A retry under way: what verifies is appended before more than so much of it is in memory.
struct Retry<'a> {
    actions: &'a Actions,
    store: Store,
    told: Retried,
    ids: Vec<u64>,
    deliveries: Vec<VerifiedDelivery>,
    bytes: usize,
}

impl Retry<'_> {
    fn verify(&mut self, id: u64) -> Result<(), Undone> {
        let Some(kept) = self.store.load(id)? else {
            self.told.gone += 1;
            return Ok(());
        };
        let bytes = kept.body_bytes();
        let verifier = self.actions.verifiers.of(kept.webhook());
        let Some(Ok(delivery)) = verifier.map(|verifier| kept.verify(&verifier)) else {
            self.told.refused += 1;
            return Ok(());
        };
        self.ids.push(id);
        self.deliveries.push(delivery);
        self.bytes += bytes;
        if self.bytes > MOST_BYTES {
            self.append()?;
        }
        Ok(())
    }

    /// In the order in which they came. What is in the journal leaves the quarantine only afterwards: whatever is killed
    /// between is a duplicate for the next retry.
    fn append(&mut self) -> Result<(), Undone> {
        let deliveries = std::mem::take(&mut self.deliveries);
        self.bytes = 0;
        let appended = self
            .actions
            .journal
            .append_late(&deliveries, Timestamp::now());
        let (mut kept, mut error) = (Vec::new(), None);
        for (id, appended) in self.ids.drain(..).zip(appended) {
            match appended.map(|appended| appended.kind) {
                Ok(AppendedKind::Stored) => self.told.stored += 1,
                Ok(AppendedKind::Duplicate) => self.told.duplicates += 1,
                Err(refused) => {
                    error = Some(refused);
                    continue;
                }
            }
            kept.push(id);
        }
        self.store.delete(&kept)?;
        error.map_or(Ok(()), |error| Err(error.into()))
    }
}

fn bounded(rows: &[u64]) -> Result<(), Undone> {
    if rows.len() > BATCH {
        return Err(Undone::TooMany);
    }
    Ok(())
}

const MOST_BYTES: usize = 16 << 20;
