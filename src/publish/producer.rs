//! A transactional producer: a batch of records and the mark, committed together or not at all.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "librdkafka's errors grow; what nobody knows ends the producer"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedMessage;
use rdkafka::producer::{Producer as _, ThreadedProducer};

use super::batch::Made;
use super::calls::{Call, Calls, STEP};
use super::client::{Failed, Reports, copy, message};
use super::obstacle::{self, Obstacle};
use super::recover::Mark;
use super::{State, Stop, poison};
use crate::failpoint;
use crate::metrics::KafkaMetrics;
use crate::route::Record;

/// A producer that has fenced whoever had its `transactional.id` before.
pub(super) struct Producer {
    calls: Calls,
    inner: Arc<ThreadedProducer<Reports>>,
    reports: Reports,
    mark_topic: String,
    leave_call_after: Duration,
    patience: Duration,
    stop: Stop,
    state: State,
}

/// Why a transaction was not committed. It was aborted, or ends with the producer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Kafka refused records, and the transaction was aborted; the producer goes on.
    #[error("Kafka refused {} of the batch, first with {}", .0.len(), first_code(.0))]
    Records(Vec<Failed>),
    /// The whole batch fell for a reason of the transaction's, which was aborted; the producer goes on.
    #[error("{0}")]
    Fallen(#[source] KafkaError),
    /// Something else: the batch is sent again by a new producer.
    #[error(transparent)]
    Producer(#[from] KafkaError),
    /// Something that Kafka itself tells of stands in the way, and the transaction was aborted.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// Kafka did not answer in time.
    #[error("Kafka did not take a batch within {} s; check that the brokers run and can be reached from here", .0.as_secs())]
    TimedOut(Duration),
    /// The producer's queue had no room.
    #[error("{FULL}; nothing left it within {} s", .0.as_secs())]
    Full(Duration),
    /// A call into librdkafka does not come back, and the producer was left behind.
    #[error("Kafka's coordinator did not answer within {} s; another producer takes over", .0.as_secs())]
    Silent(Duration),
    /// The system gives no thread.
    #[error("cannot start a thread for the transactions: {0}")]
    Thread(std::io::Error),
    /// The process is to stop.
    #[error("stopped")]
    Stopped,
}

fn first_code(failed: &[Failed]) -> String {
    failed
        .first()
        .map(|failed| failed.code.to_string())
        .unwrap_or_default()
}

/// What a producer needs to be made.
pub(super) struct Identity {
    /// `transactional.id`, and the group that the mark is kept for.
    pub(super) id: String,
    /// Partition 0 of this topic bears the mark.
    pub(super) mark_topic: String,
    /// What `send_offsets_to_transaction` wants of that group.
    pub(super) group: ConsumerGroupMetadata,
    /// A call that goes on for longer is left behind, and the producer with it.
    pub(super) leave_call_after: Duration,
    /// After so long without an answer a new producer is tried.
    pub(super) patience: Duration,
    /// Gets what librdkafka tells of the producer.
    pub(super) metrics: KafkaMetrics,
}

impl Producer {
    /// Connects, fences a predecessor and ends its transaction.
    pub(super) fn start(
        mut config: ClientConfig,
        identity: Identity,
        (stop, state): (Stop, State),
    ) -> Result<Self, Refused> {
        config.set("transactional.id", &identity.id);
        identity.metrics.producer_started();
        let reports = Reports::new(identity.metrics);
        let inner: Arc<ThreadedProducer<Reports>> =
            Arc::new(config.create_with_context(reports.clone())?);
        let calls = Calls::start(Arc::clone(&inner), identity.group).map_err(Refused::Thread)?;
        let producer = Self {
            calls,
            inner,
            reports,
            mark_topic: identity.mark_topic,
            leave_call_after: identity.leave_call_after,
            patience: identity.patience,
            stop,
            state,
        };
        failpoint::hit("recover.before-fencing");
        producer.again(&Call::Fence)?;
        failpoint::hit("recover.after-fencing");
        Ok(producer)
    }

    /// Tells what stands in a batch's way before a transaction is begun for it.
    pub(super) fn look_ahead(&self, batch: &[Made]) -> Result<(), Refused> {
        obstacle::find(self.inner.client(), records(batch))
            .map_or(Ok(()), |found| Err(found.into()))
    }

    /// Commits a mark alone.
    pub(super) fn commit_mark(&self, mark: &Mark) -> Result<(), Refused> {
        self.commit(&mut [], |_| {}, mark)
    }

    /// Sends the records of a batch as `make` makes them, and commits them with the mark.
    pub(super) fn commit(
        &self,
        batch: &mut [Made],
        make: impl Fn(&mut Made),
        mark: &Mark,
    ) -> Result<(), Refused> {
        let mut attempt = 1;
        loop {
            match self.transact(batch, &make, mark) {
                // The transaction behind one with a refused record falls too: librdkafka finds a gap in its sequence
                // numbers, which the abort mends.
                Err(Refused::Fallen(_)) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn transact(
        &self,
        batch: &mut [Made],
        make: &impl Fn(&mut Made),
        mark: &Mark,
    ) -> Result<(), Refused> {
        self.inner.begin_transaction()?;
        failpoint::hit("publish.transaction-begun");
        for (row, made) in batch.iter_mut().enumerate() {
            make(made);
            for record in &made.records {
                self.send(row, record)?;
                failpoint::hit("publish.record-sent");
            }
            made.sent();
        }
        failpoint::hit("publish.records-sent");
        self.wait(batch)?;
        let failed = self.reports.take_failed();
        if !failed.is_empty() {
            return Err(self.abort_for(failed));
        }
        failpoint::hit("publish.before-mark");
        let offsets = mark.offsets(&self.mark_topic)?;
        self.again(&Call::Mark(offsets))?;
        failpoint::hit("publish.before-commit");
        self.again(&Call::Commit)?;
        failpoint::hit("publish.after-commit");
        Ok(())
    }

    /// Aborts what an earlier transaction of this producer's has left open where these records lie, and the mark that it has
    /// left open: they are sent again in a transaction that is aborted.
    pub(super) fn abort_over<'m>(
        &self,
        records: impl Iterator<Item = &'m OwnedMessage>,
        mark: &Mark,
    ) -> Result<(), Refused> {
        self.inner.begin_transaction()?;
        failpoint::hit("publish.transaction-begun");
        for record in records {
            self.reports.expect();
            if let Err((error, _)) = self.inner.send(copy(record)) {
                self.reports.forget();
                return Err(error.into());
            }
        }
        self.wait(&[])?;
        let failed = self.reports.take_failed();
        if !failed.is_empty() {
            return Err(self.abort_for(failed));
        }
        self.again(&Call::Mark(mark.offsets(&self.mark_topic)?))?;
        self.abort()
    }

    fn send(&self, row: usize, record: &Record) -> Result<(), Refused> {
        let began = Instant::now();
        let mut look_after = SLOW;
        loop {
            self.reports.expect();
            match self.inner.send(message(row, record)) {
                Ok(()) => return Ok(()),
                Err((error, _)) => {
                    let fatal = self.reports.forget_and(error).err();
                    fatal.map_or(Ok(()), |error| Err(self.refuse(row, error)))?;
                }
            }
            // The queue is full: nothing of the batch may overtake, so wait here until there is room.
            if self.stop.wait(QUEUE_PAUSE) {
                return Err(Refused::Stopped);
            }
            if began.elapsed() > self.patience {
                return Err(Refused::Full(self.patience));
            }
            if began.elapsed() > look_after {
                self.look_around(std::iter::once(record), FULL)?;
                look_after = began.elapsed() + STEP;
            }
        }
    }

    /// What an error while sending means: a refused record, or a producer that is of no more use.
    fn refuse(&self, row: usize, error: KafkaError) -> Refused {
        match error {
            KafkaError::MessageProduction(code) if poison::is_about_the_record(code) => {
                self.abort_after(Some(Failed { row, code }), error)
            }
            // Nothing more is taken on once Kafka has refused a record that went before: that one is the cause.
            other => self.abort_after(None, other),
        }
    }

    /// Ends the transaction and tells which records were refused, or `error` when none was.
    fn abort_after(&self, refused: Option<Failed>, error: KafkaError) -> Refused {
        if let Err(refused) = self.wait(&[]) {
            return refused;
        }
        let mut failed = self.reports.take_failed();
        failed.extend(refused);
        if failed.is_empty() {
            return Refused::Producer(error);
        }
        self.abort_for(failed)
    }

    /// Ends the transaction because of these.
    fn abort_for(&self, failed: Vec<Failed>) -> Refused {
        // Records that were only purged do not say why.
        let purged = failed.iter().find(|failed| poison::is_purge(failed.code));
        let cause = match purged.map(|failed| self.cause(failed.code)).transpose() {
            Ok(cause) => cause,
            Err(refused) => return refused,
        };
        match (self.abort(), cause) {
            (Ok(()), None) => Refused::Records(failed),
            (Ok(()), Some(cause)) => Refused::Fallen(cause),
            // A producer that may not even abort is of no more use, but the operator must know what came first.
            (Err(Refused::Producer(_)), Some(cause)) => Refused::Producer(cause),
            (Err(Refused::Producer(_)), None) if !poison::are_about_records(&failed) => {
                Refused::Records(failed)
            }
            (Err(refused), _) => refused,
        }
    }

    /// Why the transaction can only be aborted: what librdkafka answers when it is asked to go on.
    fn cause(&self, code: RDKafkaErrorCode) -> Result<KafkaError, Refused> {
        let mark = Mark {
            next: 0,
            last: None,
        };
        let going_on = mark
            .offsets(&self.mark_topic)
            .map_err(Refused::Producer)
            .and_then(|offsets| self.ask(&Call::Mark(offsets)));
        match going_on {
            Ok(Err(error)) | Err(Refused::Producer(error)) => Ok(error),
            Ok(Ok(())) => Ok(KafkaError::MessageProduction(code)),
            Err(refused) => Err(refused),
        }
    }

    /// Waits for the delivery reports: the commit would look for them in steps of 100 ms.
    fn wait(&self, batch: &[Made]) -> Result<(), Refused> {
        let began = Instant::now();
        while !self.reports.wait(STEP) {
            if self.stop.is_set() {
                return Err(Refused::Stopped);
            }
            if began.elapsed() > self.patience {
                return Err(Refused::TimedOut(self.patience));
            }
            if began.elapsed() > SLOW {
                self.look_around(records(batch), WAITING)?;
            }
        }
        // The last report is freed some microseconds after its callback.
        while self.inner.in_flight_count() > 0 && began.elapsed() < self.patience {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Tells the operator what is waited for, and gives the batch up when Kafka says why.
    fn look_around<'r>(
        &self,
        records: impl Iterator<Item = &'r Record>,
        waiting: &str,
    ) -> Result<(), Refused> {
        if let Some(found) = obstacle::find(self.inner.client(), records) {
            self.abort()?;
            self.reports.take_failed();
            return Err(found.into());
        }
        self.state.hinder(waiting);
        Ok(())
    }

    fn tell_slow(&self, began: Instant) {
        if began.elapsed() > SLOW {
            self.state.hinder(WAITING);
        }
    }

    fn abort(&self) -> Result<(), Refused> {
        failpoint::hit("publish.before-abort");
        self.again(&Call::Abort)?;
        failpoint::hit("publish.after-abort");
        self.reports.wait(STEP);
        Ok(())
    }

    /// Makes a call again as long as that may help and nobody wants to stop.
    fn again(&self, call: &Call) -> Result<(), Refused> {
        let began = Instant::now();
        loop {
            match self.ask(call)? {
                Ok(()) => return Ok(()),
                Err(error) if !may_pass(&error) => return Err(Refused::Producer(error)),
                Err(error) if began.elapsed() > self.patience => {
                    return Err(Refused::Producer(error));
                }
                Err(_) if self.stop.wait(RETRY_PAUSE) => return Err(Refused::Stopped),
                Err(_) => self.tell_slow(began),
            }
        }
    }

    /// Makes a call, and goes away from one that does not come back.
    fn ask(&self, call: &Call) -> Result<Result<(), KafkaError>, Refused> {
        let began = Instant::now();
        self.calls.begin(call.clone());
        loop {
            if let Some(answer) = self.calls.answer(STEP) {
                return Ok(answer);
            }
            if self.stop.is_set() {
                self.calls.leave();
                return Err(Refused::Stopped);
            }
            if began.elapsed() > self.leave_call_after {
                self.calls.leave();
                return Err(Refused::Silent(self.leave_call_after));
            }
            self.tell_slow(began);
        }
    }
}

fn records(batch: &[Made]) -> impl Iterator<Item = &Record> {
    batch.iter().flat_map(|made| &made.records)
}

impl Reports {
    /// Takes back what was expected; an error other than a full queue stays one.
    fn forget_and(&self, error: KafkaError) -> Result<(), KafkaError> {
        self.forget();
        match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => Ok(()),
            other => Err(other),
        }
    }
}

fn may_pass(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(inner) => {
            inner.is_retriable() && !inner.is_fatal() && !inner.txn_requires_abort()
        }
        KafkaError::Flush(code) => *code == RDKafkaErrorCode::OperationTimedOut,
        _ => false,
    }
}

/// After so long the operator is told.
const SLOW: Duration = Duration::from_secs(3);
const WAITING: &str =
    "waiting for Kafka's answer; check that the brokers run and can be reached from here";
const FULL: &str = "waiting for room in the producer's queue: Kafka takes nothing, or queue.buffering.max.kbytes or queue.buffering.max.messages under [kafka] is too small";
/// How often a batch is sent by one producer when it falls for no reason of its own.
const ATTEMPTS: usize = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const QUEUE_PAUSE: Duration = Duration::from_millis(1);
