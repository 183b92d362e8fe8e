//! Publishes what is pending in the journal, in order, in Kafka transactions; the only user of librdkafka, and so also
//! the home of `dev`'s embedded cluster and of the reader behind `tail`.
//!
//! Each transaction holds the records of consecutive rows and the mark, the `out_seq` behind the last of them. A new producer
//! (at start, and after an error that the old one cannot survive) first fences its predecessor and ends its
//! transaction, then reads the mark, settles everything below it and goes on from there. So each row is committed exactly once,
//! whatever was under way when something failed.

mod batch;
pub mod client;
pub mod embedded;
pub mod follow;
mod poison;
pub mod preview;
mod producer;
mod recover;
pub mod topics;

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use self::batch::{Made, Maker};
use self::client::{Failed, properties};
use self::producer::{Identity, Producer, Refused};
use self::recover::Marks;
use self::topics::{Plan, Topics, TopicsError};
use crate::config::Config;
use crate::failpoint;
use crate::journal::{AppendError, Journal, ReadError, Row};
use crate::route::{DEAD_LETTER, Fault};
use crate::time::Timestamp;

/// The publisher's thread.
pub struct Publisher {
    thread: JoinHandle<()>,
    stop: Stop,
    state: State,
}

impl Publisher {
    /// Starts to publish what is pending and what comes.
    ///
    /// # Errors
    ///
    /// When librdkafka refuses a property, or no thread can be had.
    pub fn start(config: &Config, journal: Journal) -> Result<Self, StartError> {
        Topics::connect(&config.kafka)?;
        let (stop, state) = (Stop::default(), State::default());
        let worker = Worker {
            plan: Plan::of(config),
            maker: Maker::new(config, journal.uuid()),
            kafka: config.kafka.clone(),
            mark_topic: format!("{}{DEAD_LETTER}", config.topics.prefix),
            journal,
            stop: stop.clone(),
            state: state.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            thread,
            stop,
            state,
        })
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

/// How publishing goes, for health and for people.
#[derive(Debug, Clone)]
pub struct State(Arc<Mutex<Option<String>>>);

impl Default for State {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(
            "not connected to Kafka yet".to_owned(),
        ))))
    }
}

impl State {
    /// What keeps the publisher from publishing; `None` when nothing does.
    pub fn alarm(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, alarm: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = alarm;
    }
}

/// A flag that threads can wait for.
#[derive(Debug, Clone, Default)]
struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    fn set(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was set within `timeout`.
    fn wait(&self, timeout: Duration) -> bool {
        let flag = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(flag, timeout, |set| !*set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What the publisher's thread has.
struct Worker {
    journal: Journal,
    kafka: std::collections::BTreeMap<String, String>,
    plan: Plan,
    maker: Maker,
    mark_topic: String,
    stop: Stop,
    state: State,
}

/// What ends a session with Kafka.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the topics are not as they should be: {0}")]
    Topics(#[from] TopicsError),
    #[error("{error}; {}", error.rdkafka_error_code().map(poison::advice).unwrap_or("the batch is sent again"))]
    Kafka { error: KafkaError },
    #[error("Kafka refuses records with {0}; {advice}", advice = poison::advice(*.0))]
    Surroundings(RDKafkaErrorCode),
    #[error("{0}; check that the brokers run and can be reached from here")]
    TimedOut(String),
    #[error("cannot read the journal: {0}")]
    Read(#[from] ReadError),
    #[error("cannot write the journal: {0}")]
    Append(#[from] AppendError),
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
            Refused::Records(failed) => Self::Surroundings(surroundings(&failed)),
            Refused::Producer(error) => Self::Kafka { error },
            Refused::TimedOut(_) => Self::TimedOut(refused.to_string()),
            Refused::Stopped => Self::Stopped,
        }
    }
}

/// The refusal that is not about a record.
fn surroundings(failed: &[Failed]) -> RDKafkaErrorCode {
    let other = failed
        .iter()
        .find(|failed| !poison::is_about_the_record(failed.code));
    other.map_or_else(|| first_code(failed), |failed| failed.code)
}

impl Worker {
    fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let ended = self.session(&mut pause);
            if let Ended::Stopped = ended {
                return;
            }
            self.alarm(&ended);
            if self.stop.wait(pause) {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Tells the operator once what keeps the bridge from publishing, not at every attempt.
    fn alarm(&self, ended: &Ended) {
        let text = ended.to_string();
        if self.state.alarm().as_deref() != Some(&text) {
            tracing::error!("not publishing, deliveries are kept in the journal: {text}");
            self.state.set(Some(text));
        }
    }

    /// Nothing keeps the bridge from publishing.
    fn well(&self) {
        if self.state.alarm().is_some() {
            tracing::info!("publishing to Kafka");
            self.state.set(None);
        }
    }

    /// One producer's life.
    fn session(&self, pause: &mut Duration) -> Ended {
        match self.publish(pause) {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    fn publish(&self, pause: &mut Duration) -> Result<std::convert::Infallible, Ended> {
        let partitions = self.topics()?;
        let group = format!("atoms-bridge-{}", self.journal.uuid());
        let marks = Marks::connect(&self.kafka, &group, &self.mark_topic)?;
        let identity = Identity {
            id: group,
            mark_topic: self.mark_topic.clone(),
            group: marks.group()?,
        };
        let mut config = properties(&self.kafka);
        set_unless_configured(&mut config, "linger.ms", "0");
        config.set("message.max.bytes", self.plan.max_message_bytes.to_string());
        let producer = Producer::start(config, identity, self.stop.clone())?;
        let mut next = self.resume(&marks)?;
        drop(marks);
        let mut reader = self.journal.reader()?;
        loop {
            let rows = reader.pending(next, MOST_ROWS, MOST_BYTES)?;
            if rows.is_empty() {
                self.well();
                self.journal.wait_above(next, IDLE);
                if self.stop.is_set() {
                    return Err(Ended::Stopped);
                }
                continue;
            }
            failpoint::hit("publish.rows-read");
            let behind = rows.last().map_or(next, |row| row.out_seq + 1);
            let batch = self.make(rows, partitions)?;
            self.transact(&producer, batch, behind)?;
            next = behind;
            *pause = FIRST_PAUSE;
            if self.stop.is_set() {
                return Err(Ended::Stopped);
            }
        }
    }
}

impl Worker {
    /// Creates what is missing, and freezes the partition count with the first topics that this journal sees.
    fn topics(&self) -> Result<u32, Ended> {
        let frozen = self.journal.partitions();
        let (count, _) = self.connect_topics()?.ensure(&self.plan, frozen)?;
        if frozen.is_none() {
            self.journal.freeze_partitions(count)?;
        }
        Ok(count)
    }

    fn connect_topics(&self) -> Result<Topics, TopicsError> {
        Ok(Topics::connect(&self.kafka)?.until(self.stop.clone()))
    }

    /// Where to go on: at the mark, or where the journal was settled when Kafka remembers no mark.
    fn resume(&self, marks: &Marks) -> Result<u64, Ended> {
        let mark = marks.read(&self.stop)?;
        failpoint::hit("recover.mark-read");
        if let Some(mark) = mark {
            if mark > self.journal.wait_above(0, Duration::ZERO) {
                tracing::error!(
                    mark,
                    "the journal is older than what Kafka has of it (a restored backup?); going on above"
                );
                self.journal.raise_out_seq(mark)?;
            }
            self.journal.settle(mark);
            failpoint::hit("recover.mark-settled");
        }
        Ok(self.journal.settled())
    }

    /// Sets rows aside whose bodies are no longer what was stored; the rest becomes records.
    fn make(&self, rows: Vec<Row>, partitions: u32) -> Result<Vec<Made>, Ended> {
        let mut batch = Vec::with_capacity(rows.len());
        for row in rows {
            if row.intact {
                batch.push(self.maker.make(row, partitions));
            } else {
                tracing::error!(
                    seq = row.seq,
                    id = row.id,
                    "the disk has damaged a stored body; it stays in the journal"
                );
                self.journal.mark_dead(row.out_seq, "checksum-mismatch")?;
            }
        }
        Ok(batch)
    }

    /// Commits a batch whose last row is the one before `next`.
    fn transact(&self, producer: &Producer, batch: Vec<Made>, next: u64) -> Result<(), Ended> {
        if batch.is_empty() {
            self.journal.settle(next);
            return Ok(());
        }
        let records = batch
            .iter()
            .enumerate()
            .flat_map(|(at, made)| made.records.iter().map(move |r| (at, r)));
        match producer.commit(records, next) {
            Ok(()) => self.committed(&batch, next),
            Err(Refused::Records(failed)) if about_records(&failed) => {
                for made in batch {
                    if self.stop.is_set() {
                        return Err(Ended::Stopped);
                    }
                    self.alone(producer, made)?;
                }
                self.journal.settle(next);
            }
            Err(refused) => return Err(refused.into()),
        }
        Ok(())
    }

    /// Commits one row by itself, so that only what is refused alone counts as poison: first as it is, then with the
    /// present as its timestamp, then as a dead letter. What even that topic refuses stays in the journal.
    fn alone(&self, producer: &Producer, mut made: Made) -> Result<(), Ended> {
        let next = made.row.out_seq + 1;
        let (mut restamped, mut buried) = (false, false);
        loop {
            let records = made.records.iter().map(|record| (0, record));
            let code = match producer.commit(records, next) {
                Ok(()) => {
                    self.committed(std::slice::from_ref(&made), next);
                    return Ok(());
                }
                Err(Refused::Records(failed)) if about_records(&failed) => first_code(&failed),
                Err(refused) => return Err(refused.into()),
            };
            if poison::is_timestamp(code) && !restamped {
                restamped = true;
                made.restamp(Timestamp::now());
            } else if !buried {
                buried = true;
                self.bury(&mut made, code);
            } else {
                tracing::error!(
                    seq = made.row.seq, id = made.row.id, %code,
                    "even the dead-letter topic refuses this delivery; it stays in the journal"
                );
                self.journal
                    .mark_dead(made.row.out_seq, poison::reason(code))?;
                return Ok(());
            }
        }
    }

    fn bury(&self, made: &mut Made, code: RDKafkaErrorCode) {
        let fault = Fault {
            stage: "publish",
            reason: poison::reason(code),
            message: format!("Kafka refuses the event: {code}"),
        };
        tracing::warn!(
            webhook = made.row.webhook,
            seq = made.row.seq,
            id = made.row.id,
            reason = fault.reason,
            "dead letter: {}",
            fault.message
        );
        self.maker.bury(made, &fault);
    }

    fn committed(&self, batch: &[Made], next: u64) {
        self.journal.settle(next);
        failpoint::hit("publish.after-settle");
        self.well();
        for made in batch {
            tracing::debug!(
                id = made.row.id,
                call_id = made.call_id,
                out_seq = made.row.out_seq,
                "published"
            );
        }
    }
}

/// Whether nothing but the records themselves may be at fault.
fn about_records(failed: &[Failed]) -> bool {
    failed
        .iter()
        .all(|failed| poison::is_about_the_record(failed.code))
}

fn first_code(failed: &[Failed]) -> RDKafkaErrorCode {
    failed
        .first()
        .map_or(RDKafkaErrorCode::Unknown, |failed| failed.code)
}

fn set_unless_configured(config: &mut rdkafka::ClientConfig, name: &str, value: &str) {
    if config.get(name).is_none() {
        config.set(name, value);
    }
}

/// How long a publisher may take to stop: together with the last answers less than the 10 s that orchestrators give.
const STOPPING: Duration = Duration::from_millis(1500);
const LOOK_FOR_END: Duration = Duration::from_millis(5);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long an idle publisher sleeps before it looks whether it is to stop.
const IDLE: Duration = Duration::from_millis(200);
/// A transaction costs about the same whatever it holds; much more than this only delays its first event.
const MOST_ROWS: usize = 500;
/// So much of bodies is in memory at a time, or one body.
const MOST_BYTES: usize = 8 * 1024 * 1024;
