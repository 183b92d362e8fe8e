//! The publisher's thread: one producer's life after another.
//!
//! Whatever ends a session with Kafka, the next one begins with fencing, the mark and what is pending behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::arrived::LookUpError;
use super::batch::{Made, Maker};
use super::client::producer_properties;
use super::poison;
use super::producer::{Identity, Producer, Refused};
use super::recover::{Mark, Marks};
use super::replaced::Replaced;
use super::topics::{Plan, Topics, TopicsError};
use super::torn::Partition;
use super::{Routes, State, Stop, Timing};
use crate::config::Config;
use crate::failpoint;
use crate::journal::{AppendError, Journal, ReadError};
use crate::metrics::Metrics;
use crate::registry::framing::Framing;
use crate::registry::ids::{Framed, Ids};
use crate::route::{DEAD_LETTER, Record};
use crate::traces::Traces;

/// What the publisher's thread has.
pub(super) struct Worker {
    pub(super) journal: Journal,
    pub(super) replaced: Replaced,
    pub(super) kafka: BTreeMap<String, String>,
    pub(super) plan: Plan,
    pub(super) maker: Maker,
    pub(super) mark_topic: String,
    pub(super) metrics: Metrics,
    pub(super) timing: Timing,
    pub(super) schema_ids: Ids,
    pub(super) routes: Routes,
    pub(super) stop: Stop,
    pub(super) state: State,
}

/// What ends a session with Kafka.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the topics are not as they should be: {0}")]
    Topics(#[from] TopicsError),
    #[error("{error}; {}", error.rdkafka_error_code().map(poison::advice).unwrap_or("the batch is sent again"))]
    Kafka { error: KafkaError },
    #[error("Kafka refuses records for {topic} with {code}; {advice}", advice = poison::advice(*.code))]
    Surroundings {
        topic: String,
        code: RDKafkaErrorCode,
    },
    #[error(transparent)]
    Refused(Refused),
    #[error("cannot look up what has arrived, since Kafka's mark does not tell it: {0}")]
    LookUp(#[from] LookUpError),
    #[error("cannot read the journal: {0}")]
    Read(#[from] ReadError),
    #[error("cannot write the journal: {0}")]
    Append(#[from] AppendError),
    #[error(
        "the publisher panicked, which is an error of the bridge; it begins anew, and if that comes again and again, report the lines of the log before this one, and try without what is unusual under [kafka]"
    )]
    Panicked,
    #[error(
        "Kafka has left a transaction open that it has answered as committed; that is mended now"
    )]
    Torn,
    #[error(
        "partition {1} of topic {0} has a leader again, and is looked at before anything is sent there"
    )]
    Returned(String, u32),
    #[error("webhooks have other topics now")]
    Rerouted,
    #[error("stopped")]
    Stopped,
}

impl From<KafkaError> for Ended {
    fn from(error: KafkaError) -> Self {
        Self::Kafka { error }
    }
}

impl From<Refused> for Ended {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Producer(error) | Refused::Fallen(error) => Self::Kafka { error },
            Refused::Stopped => Self::Stopped,
            Refused::Records(_)
            | Refused::Obstacle(_)
            | Refused::TimedOut(_)
            | Refused::Full(_)
            | Refused::Silent(_)
            | Refused::Thread(_) => Self::Refused(refused),
        }
    }
}

/// What a session is at.
struct Session {
    producer: Producer,
    partitions: u32,
    mark: Mark,
    marked_at: Instant,
    looked_at: Instant,
    /// What hangs until the next commit there.
    left_open: BTreeSet<Partition>,
    /// What could not be looked at.
    unseen: BTreeSet<Partition>,
    /// Below, everything else can be read.
    readable_until: u64,
}

impl Session {
    /// Whether everything was looked at where these records go; a new session does.
    fn see_all(&self, batch: &[Made]) -> Result<(), Ended> {
        let mut records = batch.iter().flat_map(|made| &made.records);
        let is_unseen = |record: &Record| {
            let at = i32::try_from(record.partition).map(|at| (record.topic.clone(), at));
            at.is_ok_and(|at| self.unseen.contains(&at))
        };
        match records.find(|record| is_unseen(record)) {
            Some(record) => Err(Ended::Returned(record.topic.clone(), record.partition)),
            None => Ok(()),
        }
    }
}

impl Worker {
    pub(super) fn new(
        config: &Config,
        (journal, replaced): (Journal, Replaced),
        (metrics, traces): (Metrics, Traces),
        timing: Timing,
        (stop, state): (Stop, State),
    ) -> Self {
        Self {
            plan: Plan::of(config),
            maker: Maker::new(config, journal.uuid(), traces),
            kafka: config.kafka.clone(),
            mark_topic: format!("{}{DEAD_LETTER}", config.topics.prefix),
            schema_ids: Ids::of(config),
            routes: Routes::new(config),
            timing,
            metrics,
            journal,
            replaced,
            stop,
            state,
        }
    }

    pub(super) fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        self.replaced.load();
        loop {
            if let Some(config) = self.routes.take_change() {
                self.reroute(&config);
            }
            let ended = self.outlived(&mut pause);
            if let Ended::Stopped = ended {
                return;
            }
            if let Ended::Rerouted = ended {
                continue;
            }
            self.state.hinder(&without_times(&ended.to_string()));
            if self.stop.wait(pause) {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn reroute(&mut self, config: &Config) {
        self.plan = Plan::of(config);
        let traces = self.maker.traces.clone();
        self.maker = Maker::new(config, self.journal.uuid(), traces);
        self.schema_ids.follow(config);
    }

    /// A session whose panic ends nothing but itself: without this thread deliveries would be taken and never published,
    /// and nobody told.
    fn outlived(&self, pause: &mut Duration) -> Ended {
        // What a session leaves behind in the journal and in Kafka, the next one looks up; the rest went with it.
        let session = AssertUnwindSafe(|| self.session(pause));
        catch_unwind(session).unwrap_or(Ended::Panicked)
    }

    /// One producer's life.
    fn session(&self, pause: &mut Duration) -> Ended {
        let lived = self.begin().and_then(|session| self.live(session, pause));
        match lived {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    /// Fences the predecessor, settles what it committed, and commits the mark anew: it ages while nothing is published,
    /// and what would keep the bridge from publishing is met before the first event waits for it.
    fn begin(&self) -> Result<Session, Ended> {
        let never_published = self.journal.partitions().is_none();
        let partitions = self.look_at_topics()?;
        let group = format!("atoms-bridge-{}", self.journal.uuid());
        let marks = Marks::connect(&self.kafka, &group, &self.mark_topic)?;
        let identity = Identity {
            id: group,
            mark_topic: self.mark_topic.clone(),
            group: marks.group()?,
            leave_call_after: self.timing.leave_call,
            patience: self.timing.patience,
            metrics: self.metrics.kafka(),
        };
        let producer = Producer::start(
            producer_properties(&self.kafka, self.plan.max_message_bytes),
            identity,
            (self.stop.clone(), self.state.clone()),
        )?;
        let mended = self.mend(&marks, &producer)?;
        let mark = self.resume(&mended, never_published)?;
        producer.commit_mark(&mark)?;
        Ok(Session {
            producer,
            partitions,
            marked_at: Instant::now(),
            looked_at: Instant::now(),
            left_open: mended.left_open,
            readable_until: if mended.unseen.is_empty() {
                mark.next
            } else {
                0
            },
            unseen: mended.unseen,
            mark,
        })
    }

    fn live(&self, mut session: Session, pause: &mut Duration) -> Result<Infallible, Ended> {
        let mut pending = self.journal.pending()?;
        let mut first = true;
        loop {
            if self.stop.is_set() {
                return Err(Ended::Stopped);
            }
            let end = self.journal.wait_above(0, Duration::ZERO);
            let rows = pending.next(session.mark.next, MOST_ROWS, MOST_BYTES)?;
            if self.routes.is_changed() {
                return Err(Ended::Rerouted);
            }
            let Some(row) = rows.last() else {
                // Rows behind what was taken back may be published, or set aside.
                session.mark.next = session.mark.next.max(end);
                self.journal.settle(session.mark.next);
                self.idle(&mut session)?;
                continue;
            };
            let Some(framing) = self.framing() else {
                self.rest(&mut session)?;
                continue;
            };
            failpoint::hit("publish.rows-read");
            let mark = Mark::behind(row);
            let gathers = (MANY_ROWS..MOST_ROWS).contains(&rows.len());
            let mut batch = self.intact(rows, session.partitions)?;
            if std::mem::take(&mut first) || !session.unseen.is_empty() {
                for made in &mut batch {
                    self.make(made, &framing);
                }
                session.producer.look_ahead(&batch)?;
                session.see_all(&batch)?;
            }
            self.transact(&session.producer, batch, &framing, &mark)?;
            session.mark = mark;
            session.marked_at = Instant::now();
            *pause = FIRST_PAUSE;
            self.keep_an_eye(&mut session)?;
            if gathers {
                self.stop.wait(GATHERING);
            }
        }
    }

    /// Nothing is pending: waits for something, and keeps the mark young.
    fn idle(&self, session: &mut Session) -> Result<(), Ended> {
        self.state.well();
        if self.journal.wait_above(session.mark.next, IDLE) <= session.mark.next {
            self.see_it_readable(session)?;
        }
        self.rest(session)
    }

    /// Looks, after something was published, whether consumers can read it all; a new session mends what they cannot.
    fn see_it_readable(&self, session: &mut Session) -> Result<(), Ended> {
        if session.readable_until < session.mark.next
            && session.looked_at.elapsed() >= self.timing.look_at_topics
        {
            let torn = self.torn()?;
            let held_up = torn.held_up();
            if !held_up.is_subset(&session.left_open) {
                return Err(Ended::Torn);
            }
            session.left_open = held_up;
            // What lies behind others' is looked at again.
            if torn.is_empty() && torn.unseen.is_empty() {
                session.readable_until = session.mark.next;
            }
            session.unseen = torn.unseen;
        }
        Ok(())
    }

    /// What records say of their schemas; `None` after a moment when they cannot be made yet, and the journal keeps them.
    fn framing(&self) -> Option<Arc<Framing>> {
        match self.schema_ids.framed() {
            Framed::With(framing) => return Some(framing),
            Framed::Soon => {}
            Framed::Waits(why) => self.state.hinder(&why),
        }
        self.stop.wait(HELD);
        None
    }

    /// What is to be done now and then while nothing is published.
    fn rest(&self, session: &mut Session) -> Result<(), Ended> {
        if session.marked_at.elapsed() >= self.timing.refresh_mark {
            session.producer.commit_mark(&session.mark)?;
            session.marked_at = Instant::now();
        }
        self.keep_an_eye(session)
    }

    /// Looks at the topics now and then: somebody may have deleted one, or given it more partitions.
    fn keep_an_eye(&self, session: &mut Session) -> Result<(), Ended> {
        if session.looked_at.elapsed() >= self.timing.look_at_topics {
            self.look_at_topics()?;
            session.looked_at = Instant::now();
        }
        Ok(())
    }

    /// Creates what is missing, and freezes the partition count with the first topics that this journal sees.
    fn look_at_topics(&self) -> Result<u32, Ended> {
        let frozen = self.journal.partitions();
        let topics = Topics::connect(&self.kafka)?.until(self.stop.clone());
        let ensured = topics.ensure(&self.plan, frozen)?;
        if frozen.is_none() {
            self.journal.freeze_partitions(ensured.partitions)?;
        }
        self.state.find(ensured.finding);
        Ok(ensured.partitions)
    }
}

/// librdkafka's `(after 7 ms)` would make the same trouble look like another one at each attempt.
fn without_times(text: &str) -> String {
    match text.split_once(" (after ") {
        Some((before, after)) => {
            let behind = after.split_once(')').map_or("", |(_, behind)| behind);
            format!("{before}{behind}")
        }
        None => text.to_owned(),
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long an idle publisher sleeps before it looks whether it is to stop.
const IDLE: Duration = Duration::from_millis(200);
/// How long records that cannot be made yet wait until they are looked at again.
const HELD: Duration = Duration::from_millis(20);
/// A transaction costs about the same whatever it holds; much more than this only delays its first event.
const MOST_ROWS: usize = 1000;
/// A batch of so many says that more come all the time: the next one is gathered for a moment, while a lone event waits for
/// nothing.
const MANY_ROWS: usize = 100;
const GATHERING: Duration = Duration::from_millis(20);
/// So much of bodies is in memory at a time, or one body.
const MOST_BYTES: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #[test]
    fn the_same_trouble_reads_the_same_at_each_attempt() {
        let text = "Failed to add offsets: refused (after 1ms); give a right";
        assert_eq!(
            super::without_times(text),
            "Failed to add offsets: refused; give a right"
        );
        assert_eq!(super::without_times("plain"), "plain");
    }
}
