//! Publishes what is pending in the journal, in order, in Kafka transactions; the only user of librdkafka, and so also
//! the home of `dev`'s embedded cluster and of the reader behind `tail`.
//!
//! Each transaction holds the records of consecutive rows and the mark, the `out_seq` behind the last of them. A new producer
//! (at start, and after an error that the old one cannot survive) first fences its predecessor and ends its
//! transaction, then reads the mark, settles everything below it and goes on from there. So each row is committed exactly once,
//! whatever was under way when something failed.
//!
//! ```text
//! worker    the thread: one session after another      producer  a transaction, committed or aborted
//! transact  rows → one transaction, or one by one      poison    what a refusal means, and what to do
//! recover   the mark, and where to go on               arrived   what is on the topics, by its headers
//! topics    what they should be; creates them          obstacle  what stands in a batch's way
//! calls     what waits for Kafka, and may be left behind
//! properties  what librdkafka says to the configured ones
//! reach     whether Kafka answers at all                 rights    what the bridge's principal may do
//! held      which events of which calls the topics have   elect     one of several bridges, for reconciliation both
//! routes    which webhooks have topics of their own, while that changes
//! torn      what is open on the topics              mend      what hangs of a transaction, aborted and sent again
//! replaced  what a webhook's late event stands in the place of
//! ```

mod arrived;
mod batch;
mod calls;
pub mod client;
pub mod elect;
pub mod embedded;
pub mod follow;
pub mod held;
mod mend;
mod obstacle;
mod poison;
pub mod preview;
mod producer;
pub mod properties;
pub mod reach;
mod recover;
mod replaced;
pub mod rights;
mod routes;
mod state;
#[cfg(test)]
mod tests;
pub mod topics;
mod torn;
mod transact;
mod worker;

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use self::replaced::Reconciled;
use self::replaced::Replaced;
pub use self::routes::Routes;
pub use self::state::State;
use self::topics::{Topics, TopicsError};
use self::worker::Worker;
use crate::config::Config;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::nice::stand_back;
use crate::registry::ids::Ids;
use crate::traces::Traces;

/// The publisher's thread.
pub struct Publisher {
    thread: JoinHandle<()>,
    stop: Stop,
    state: State,
    schema_ids: Ids,
    routes: Routes,
    reconciled: Reconciled,
}

impl Publisher {
    /// Starts to publish what is pending and what comes.
    ///
    /// # Errors
    ///
    /// When librdkafka refuses a property, or no thread can be had.
    pub fn start(
        config: &Config,
        journal: Journal,
        telemetry: (Metrics, Traces),
    ) -> Result<Self, StartError> {
        Self::start_with(config, journal, telemetry, Timing::default())
    }

    /// [`Publisher::start`] with other times than everybody has.
    ///
    /// # Errors
    ///
    /// As [`Publisher::start`].
    pub fn start_with(
        config: &Config,
        journal: Journal,
        telemetry: (Metrics, Traces),
        timing: Timing,
    ) -> Result<Self, StartError> {
        Topics::connect(&config.kafka)?;
        let (stop, state) = (Stop::default(), State::default());
        let reconciled = Reconciled::default();
        let replaced = Replaced::new(
            journal.clone(),
            config.journal.path.clone(),
            reconciled.clone(),
        );
        let worker = Worker::new(
            config,
            (journal, replaced),
            telemetry,
            timing,
            (stop.clone(), state.clone()),
        );
        let schema_ids = worker.schema_ids.clone();
        let routes = worker.routes.clone();
        let thread = std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || {
                stand_back(NICER);
                worker.run();
            })?;
        Ok(Self {
            thread,
            stop,
            state,
            schema_ids,
            routes,
            reconciled,
        })
    }

    /// Where events go; to be changed under way.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// The schema ids that records carry; somebody must ask for them ([`Ids::keep`]).
    pub fn schema_ids(&self) -> Ids {
        self.schema_ids.clone()
    }

    /// Which events were reconciled, to be told of more.
    pub fn reconciled(&self) -> Reconciled {
        self.reconciled.clone()
    }

    /// How publishing goes.
    pub fn state(&self) -> State {
        self.state.clone()
    }

    /// Stops after the transaction under way, or at once when Kafka does not answer.
    pub fn stop(self) {
        self.stop.set();
        if !self.ends_within(STOPPING) {
            tracing::warn!(
                "Kafka does not answer and is not waited for; what is pending is published after the next start"
            );
        } else if self.thread.join().is_err() {
            tracing::error!(
                "the publisher panicked; what is pending is published after the next start"
            );
        }
    }
}

impl Publisher {
    fn ends_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(LOOK_FOR_END);
        }
        self.thread.is_finished()
    }
}

/// Why the publisher could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// librdkafka refuses the configuration.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// The system gives no thread.
    #[error("cannot start the publisher's thread")]
    Thread(#[from] std::io::Error),
}

/// How often an idle publisher does what keeps it well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How old the mark may become before it is committed anew; brokers forget it after `offsets.retention.minutes`, 7 days
    /// by default. Default 24 h.
    pub refresh_mark: Duration,
    /// How often the topics are looked at. Default 20 s.
    pub look_at_topics: Duration,
    /// How long a call into librdkafka may go on before its producer is given up. Default 15 s: a coordinator that is
    /// restarted is back by then.
    pub leave_call: Duration,
    /// How long Kafka may take nothing of a batch before a new producer is tried. Default 45 s: brokers end a transaction
    /// that is left alone for 60 s.
    pub patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            refresh_mark: Duration::from_secs(24 * 3600),
            look_at_topics: Duration::from_secs(20),
            leave_call: Duration::from_secs(15),
            patience: Duration::from_secs(45),
        }
    }
}

/// A flag that threads can wait for.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Sets it, for good.
    pub fn set(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was set within `timeout`.
    pub fn wait(&self, timeout: Duration) -> bool {
        let flag = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(flag, timeout, |set| !*set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Kafka can wait, whoever waits for an answer cannot.
const NICER: i32 = 5;
/// How long a publisher may take to stop: together with the last answers less than the 10 s that orchestrators give.
const STOPPING: Duration = Duration::from_millis(1500);
const LOOK_FOR_END: Duration = Duration::from_millis(5);
