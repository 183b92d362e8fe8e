//! Looks up on the topics which rows of a journal have arrived, by the headers that every record carries.
//!
//! Only what is committed counts, and all of it: a record behind another bridge's open transaction is waited for. Reading
//! begins where records are as old as the oldest pending row, which bounds it by that row's age, not by the topics' size.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use uuid::Uuid;

use super::Stop;
use super::client::{Quiet, properties};
use super::follow::{FollowError, Followed, Follower, From, Next, Until};
use super::obstacle::{Obstacle, without_leader};
use super::torn::Partition;
use crate::time::Timestamp;

/// What to look for, and where.
pub(super) struct LookUp<'a> {
    pub(super) kafka: &'a BTreeMap<String, String>,
    pub(super) topics: &'a BTreeSet<String>,
    pub(super) journal: Uuid,
    /// Below, everything is known to have arrived.
    pub(super) from_out_seq: u64,
    /// When the oldest row in question was received; its record has this timestamp or a later one.
    pub(super) since: Timestamp,
    /// What is open there is not waited for.
    pub(super) passing_over: &'a BTreeSet<Partition>,
}

/// Why it is not known what has arrived.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookUpError {
    #[error("{}", with_source(.0))]
    Follow(#[from] FollowError),
    #[error(
        "cannot ask where the topics end: {0}; check that the brokers run and can be reached from here"
    )]
    Ends(#[from] KafkaError),
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    #[error(
        "a transaction of somebody else stays open on {topic}; it ends by itself or with `kafka-transactions.sh abort`"
    )]
    Open { topic: String },
    #[error("stopped")]
    Stopped,
}

fn with_source(error: &FollowError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl LookUp<'_> {
    /// The rows that have arrived, by `out_seq` with their events' ids.
    pub(super) fn run(&self, stop: &Stop) -> Result<BTreeMap<u64, String>, LookUpError> {
        self.await_others(stop)?;
        let mut follower = self.follow()?;
        let mut arrived = BTreeMap::new();
        loop {
            if stop.is_set() {
                return Err(LookUpError::Stopped);
            }
            match follower.next(STEP)? {
                Next::Record(record) => arrived.extend(self.row(&record)),
                Next::Nothing => {}
                Next::End => return Ok(arrived),
            }
        }
    }

    fn follow(&self) -> Result<Follower, LookUpError> {
        let topics: Vec<String> = self.topics.iter().cloned().collect();
        let since = Timestamp::from_unix_ms(self.since.unix_ms() - MARGIN_MS);
        let follow = |from| Follower::connect(self.kafka, &topics, from, Until::End);
        match follow(From::Since(since)) {
            // Not every cluster can tell which record was the first since then.
            Err(FollowError::Kafka { .. }) => Ok(follow(From::Beginning)?),
            other => Ok(other?),
        }
    }

    fn row(&self, record: &Followed) -> Option<(u64, String)> {
        let journal = record.header("bridge.journal")?;
        let out_seq: u64 = record.header("bridge.seq")?.parse().ok()?;
        let ours = journal == self.journal.to_string() && out_seq >= self.from_out_seq;
        ours.then(|| Some((out_seq, record.header("ce_id")?.to_owned())))?
    }

    /// Waits until everything that lies on the topics now is committed or aborted: reading ends before what is open, and
    /// our own records may lie behind it.
    fn await_others(&self, stop: &Stop) -> Result<(), LookUpError> {
        let consumer = |isolation: &str| -> Result<BaseConsumer<Quiet>, KafkaError> {
            let mut config = properties(self.kafka);
            config.set("isolation.level", isolation);
            config.create_with_context(Quiet)
        };
        let (all, committed) = (consumer("read_uncommitted")?, consumer("read_committed")?);
        for topic in self.topics {
            let metadata = all.fetch_metadata(Some(topic), TIMEOUT)?;
            let mut found = metadata.topics().iter();
            if let Some(obstacle) = found.find_map(|topic| without_leader(topic, |_| true)) {
                return Err(obstacle.into());
            }
            for partition in metadata
                .topics()
                .iter()
                .flat_map(|topic| topic.partitions())
            {
                if self.passing_over.contains(&(topic.clone(), partition.id())) {
                    continue;
                }
                let (_, end) = all.fetch_watermarks(topic, partition.id(), TIMEOUT)?;
                let deadline = Instant::now() + PATIENCE;
                while committed
                    .fetch_watermarks(topic, partition.id(), TIMEOUT)?
                    .1
                    < end
                {
                    if stop.wait(STEP) {
                        return Err(LookUpError::Stopped);
                    }
                    if Instant::now() > deadline {
                        return Err(LookUpError::Open {
                            topic: topic.clone(),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

const STEP: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the 60 s after which brokers end a transaction that was left alone.
const PATIENCE: Duration = Duration::from_secs(90);
/// For topics that keep the broker's time instead of the record's, when its clock is behind.
const MARGIN_MS: i64 = 3_600_000;
