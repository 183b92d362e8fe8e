//! The calls of a transaction that wait for Kafka, made by a thread that can be left behind.
//!
//! Each is told how long it may take, and `send_offsets_to_transaction` does not keep to it: while the group's coordinator
//! is away it waits for it, and for ever when that broker was missing from the cluster's metadata for a moment
//! (librdkafka#5456 and #5511, seen with one broker that was restarted). So nobody who has something else to do makes
//! these calls. A call that never comes back keeps its thread and its producer; the next producer fences that one.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer as _, ThreadedProducer};

use super::client::Reports;

/// A step of a transaction.
#[derive(Debug, Clone)]
pub(super) enum Call {
    /// `init_transactions`: fences a predecessor and ends its transaction.
    Fence,
    /// `send_offsets_to_transaction`, with these.
    Mark(TopicPartitionList),
    /// `commit_transaction`.
    Commit,
    /// `abort_transaction`.
    Abort,
}

/// One producer's calls, one at a time.
pub(super) struct Calls {
    // Both are taken by `drop` alone.
    asks: Option<Sender<Call>>,
    thread: Option<JoinHandle<()>>,
    left: Cell<bool>,
    answers: Receiver<Result<(), KafkaError>>,
}

impl Calls {
    /// Starts the thread, which keeps the producer as long as a call is under way.
    pub(super) fn start(
        producer: Arc<ThreadedProducer<Reports>>,
        group: ConsumerGroupMetadata,
    ) -> std::io::Result<Self> {
        let (asks, asked) = mpsc::channel();
        let (answered, answers) = mpsc::channel();
        let run = move || {
            while let Ok(call) = asked.recv() {
                if answered.send(make(&producer, &group, &call)).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("transaction".to_owned())
            .spawn(run)?;
        Ok(Self {
            asks: Some(asks),
            thread: Some(thread),
            left: Cell::new(false),
            answers,
        })
    }

    /// Begins a call; the one before has been answered.
    pub(super) fn begin(&self, call: Call) {
        if let Some(asks) = &self.asks {
            // A thread that panicked is found out by whoever waits for its answer.
            let _ = asks.send(call);
        }
    }

    /// What came of the call under way; nothing while it goes on.
    pub(super) fn answer(&self, within: Duration) -> Option<Result<(), KafkaError>> {
        match self.answers.recv_timeout(within) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(KafkaError::Canceled)),
        }
    }

    /// Gives the thread up, which ends once its call comes back.
    pub(super) fn leave(&self) {
        self.left.set(true);
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take().filter(|_| !self.left.get()) {
            // A panic there was reported by its hook, and has ended the producer.
            let _ = thread.join();
        }
    }
}

fn make(
    producer: &ThreadedProducer<Reports>,
    group: &ConsumerGroupMetadata,
    call: &Call,
) -> Result<(), KafkaError> {
    match call {
        Call::Fence => producer.init_transactions(STEP),
        Call::Mark(offsets) => producer.send_offsets_to_transaction(offsets, group, STEP),
        Call::Commit => producer.commit_transaction(STEP),
        Call::Abort => producer.abort_transaction(STEP),
    }
}

/// How long a call may take by what it is told.
pub(super) const STEP: Duration = Duration::from_secs(1);
