//! What a transaction of this journal's has left open although Kafka counts it as ended, and how that is mended.
//!
//! Kafka's coordinator ends a transaction with a marker on each partition. From a partition without a leader at that moment
//! Kafka 4.3.1 withholds it for good (KAFKA-20734): a lone broker that is killed between a commit and its markers does so
//! with all its partitions, since its controller finds out after the restart that they have no leader. Consumers then wait
//! before such records for ever, and the mark cannot be read. The next marker of the same producer decides about them
//! wherever it arrives, whatever it was meant for: an abort would lose what was committed, a commit would bring twice what
//! was sent again.
//!
//! So each session looks, once its fencing has ended every transaction of the journal's, whether something is open still:
//!
//! | what is open | it counts as | what is done |
//! | --- | --- | --- |
//! | every record | not published: nobody can have read any | it is aborted, and its rows are published again |
//! | some, while others or the mark tell of a commit | published | the next commit to those partitions brings them out |
//! | the mark alone | what it was before | it is committed anew |

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message, OwnedMessage};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::arrived::LookUp;
use super::client::{Quiet, in_steps, properties};
use super::producer::Producer;
use super::recover::{Mark, Marks, Remembered};
use super::worker::{Ended, Worker};
use crate::failpoint;
use crate::time::Timestamp;

/// A topic and one of its partitions.
pub(super) type Partition = (String, i32);

/// Records of this journal's that no marker has reached.
#[derive(Debug, Default)]
pub(super) struct Torn {
    /// Their rows: numbers and events' ids.
    rows: BTreeMap<u64, String>,
    /// The first of each partition.
    first: BTreeMap<Partition, OwnedMessage>,
}

/// Where transactions are open: from the first offset of the first, up to the end.
type Open = BTreeMap<Partition, (i64, i64)>;

impl Torn {
    pub(super) fn partitions(&self) -> BTreeSet<Partition> {
        self.first.keys().cloned().collect()
    }

    /// A moment before which none of them was received.
    fn since(&self) -> Option<Timestamp> {
        let of = |message: &OwnedMessage| message.timestamp().to_millis();
        let oldest = self.first.values().filter_map(of).min();
        oldest.map(Timestamp::from_unix_ms)
    }
}

impl Worker {
    /// The mark, and the partitions on which something is still open, to be committed by the next transaction there.
    pub(super) fn mend(
        &self,
        marks: &Marks,
        producer: &Producer,
    ) -> Result<(Option<Mark>, BTreeSet<Partition>), Ended> {
        let Remembered { mark, is_open } = marks.read(&self.stop)?;
        failpoint::hit("recover.mark-read");
        let torn = self.torn()?;
        let Some((&first, _)) = torn.rows.first_key_value() else {
            if !is_open {
                return Ok((mark, BTreeSet::new()));
            }
            let mark = mark.unwrap_or(Mark::below(self.journal.settled()));
            producer.commit_mark(&mark)?;
            tracing::warn!(
                mark = mark.next,
                "{LEFT_OPEN}: the mark, which is committed anew"
            );
            return Ok((Some(mark), BTreeSet::new()));
        };
        let there = self.there(&torn, first, mark.as_ref(), is_open)?;
        let (records, partitions) = (torn.rows.len(), names(&torn));
        // Pending again before they are aborted: no crash in between may lose them.
        if there.is_none() && self.journal.unsettle(torn.rows.clone())? {
            let mark = mark.unwrap_or(Mark::below(first));
            producer.abort_over(torn.first.values(), &mark)?;
            tracing::warn!(
                records,
                partitions,
                "{LEFT_OPEN}: nobody could read these records, and they are published again"
            );
            return Ok((Some(mark), BTreeSet::new()));
        }
        let last = torn.rows.last_key_value();
        let last = last.map(|(out_seq, id)| Mark::at(*out_seq, id));
        let mark = further(there, last).unwrap_or(Mark::below(first));
        producer.commit_mark(&mark)?;
        tracing::warn!(
            records,
            partitions,
            "{LEFT_OPEN}: these records can be read once the next event is on their partition"
        );
        Ok((Some(mark), torn.partitions()))
    }

    /// How far the journal is published if the transaction of these records counts; nothing if it does not.
    fn there(
        &self,
        torn: &Torn,
        first: u64,
        mark: Option<&Mark>,
        mark_is_open: bool,
    ) -> Result<Option<Mark>, Ended> {
        let settled = self.journal.settled();
        let told = mark.filter(|mark| mark.next > first).cloned();
        match mark {
            // A commit has either written the mark or left it open.
            Some(_) if !mark_is_open => return Ok(told),
            None if !mark_is_open => {
                return Ok((settled > first).then(|| Mark::below(settled)));
            }
            Some(_) | None => {}
        }
        // The transaction began where the mark was before it.
        let from = mark.map_or(first, |mark| mark.next);
        if from < settled && !torn.rows.contains_key(&from) {
            // Kafka has answered that it is committed, and its first record is not open.
            return Ok(further(told, Some(Mark::below(settled))));
        }
        let pending = self.journal.reader()?.oldest_pending()?;
        let Some(since) = [torn.since(), pending].into_iter().flatten().min() else {
            return Ok(told);
        };
        let look_up = LookUp {
            kafka: &self.kafka,
            topics: &self.plan.names,
            journal: self.journal.uuid(),
            from_out_seq: from,
            since,
            passing_over: &torn.partitions(),
        };
        let readable = look_up.run(&self.stop)?;
        let last = readable.last_key_value();
        Ok(further(
            told,
            last.map(|(out_seq, id)| Mark::at(*out_seq, id)),
        ))
    }

    /// Looks what is open on the topics, and stays so, and is this journal's.
    pub(super) fn torn(&self) -> Result<Torn, Ended> {
        let looker = Looker::connect(self)?;
        let mut open = looker.open()?;
        let deadline = Instant::now() + SETTLES_WITHIN;
        while !open.is_empty() && Instant::now() < deadline {
            if self.stop.wait(STEP) {
                return Err(Ended::Stopped);
            }
            let now = looker.open()?;
            open.retain(|partition, (first, _)| {
                now.get(partition).is_some_and(|(still, _)| still == first)
            });
        }
        looker.read(&open)
    }
}

/// Asks and reads as nobody else of the bridge does: what is not committed, too.
struct Looker<'w> {
    worker: &'w Worker,
    all: BaseConsumer<Quiet>,
    committed: BaseConsumer<Quiet>,
    partitions: TopicPartitionList,
}

impl<'w> Looker<'w> {
    fn connect(worker: &'w Worker) -> Result<Self, KafkaError> {
        let consumer = |isolation: &str| -> Result<BaseConsumer<Quiet>, KafkaError> {
            let mut config = properties(&worker.kafka);
            config.set("isolation.level", isolation);
            // librdkafka assigns only within a group; nothing is ever stored under it.
            config.set("group.id", "atoms-kafka-bridge-tail");
            config.set("enable.auto.commit", "false");
            config.set("enable.auto.offset.store", "false");
            config.set("enable.partition.eof", "true");
            config.set("auto.offset.reset", "earliest");
            config.create_with_context(Quiet)
        };
        let (all, committed) = (consumer("read_uncommitted")?, consumer("read_committed")?);
        let mut partitions = TopicPartitionList::new();
        for topic in &worker.plan.names {
            let metadata = in_steps(TIMEOUT, &worker.stop, |step| {
                all.fetch_metadata(Some(topic), step)
            })?;
            let found = metadata
                .topics()
                .iter()
                .flat_map(|topic| topic.partitions());
            // What has no leader cannot be asked, and nothing can be sent there either.
            for partition in found.filter(|partition| partition.leader() >= 0) {
                partitions.add_partition_offset(topic, partition.id(), Offset::End)?;
            }
        }
        Ok(Self {
            worker,
            all,
            committed,
            partitions,
        })
    }

    fn open(&self) -> Result<Open, KafkaError> {
        let ends =
            |consumer: &BaseConsumer<Quiet>| -> Result<BTreeMap<Partition, i64>, KafkaError> {
                let told = in_steps(TIMEOUT, &self.worker.stop, |step| {
                    consumer.offsets_for_times(self.partitions.clone(), step)
                })?;
                let mut ends = BTreeMap::new();
                for element in told.elements() {
                    element.error()?;
                    if let Offset::Offset(end) = element.offset() {
                        ends.insert((element.topic().to_owned(), element.partition()), end);
                    }
                }
                Ok(ends)
            };
        let (committed, all) = (ends(&self.committed)?, ends(&self.all)?);
        let open = committed.into_iter().filter_map(|(partition, first)| {
            let end = *all.get(&partition)?;
            (first < end).then_some((partition, (first, end)))
        });
        Ok(open.collect())
    }

    /// Reads what is open, one topic after another, and leaves what is somebody else's: the first record tells.
    fn read(&self, open: &Open) -> Result<Torn, Ended> {
        let mut torn = Torn::default();
        for topic in &self.worker.plan.names {
            let of_topic = open.iter().filter(|((of, _), _)| of == topic);
            let ends = of_topic.map(|((_, partition), offsets)| (*partition, *offsets));
            self.read_topic(topic, ends.collect(), &mut torn)?;
        }
        Ok(torn)
    }

    fn read_topic(
        &self,
        topic: &str,
        mut open: BTreeMap<i32, (i64, i64)>,
        torn: &mut Torn,
    ) -> Result<(), Ended> {
        let mut assigned = TopicPartitionList::new();
        for (partition, (first, _)) in &open {
            assigned.add_partition_offset(topic, *partition, Offset::Offset(*first))?;
        }
        self.all.assign(&assigned)?;
        let deadline = Instant::now() + TIMEOUT;
        while !open.is_empty() {
            if self.worker.stop.is_set() {
                return Err(Ended::Stopped);
            }
            if Instant::now() > deadline {
                return Err(
                    KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut).into(),
                );
            }
            let message = match self.all.poll(STEP) {
                Some(Ok(message)) if message.topic() == topic => message,
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                    continue;
                }
                Some(_) | None => continue,
            };
            let Some((_, end)) = open.get(&message.partition()).copied() else {
                continue;
            };
            let partition = (topic.to_owned(), message.partition());
            let row = self.row(&message);
            let is_ours = row.is_some() || torn.first.contains_key(&partition);
            if !is_ours || message.offset() + 1 >= end {
                open.remove(&message.partition());
            }
            if let Some((out_seq, id)) = row {
                torn.rows.insert(out_seq, id);
                torn.first
                    .entry(partition)
                    .or_insert_with(|| message.detach());
            }
        }
        Ok(())
    }

    fn row(&self, message: &impl Message) -> Option<(u64, String)> {
        let headers = message.headers()?;
        let header = |name: &str| {
            let found = headers.iter().find(|header| header.key == name)?;
            std::str::from_utf8(found.value?).ok()
        };
        let ours = header("bridge.journal")? == self.worker.journal.uuid().to_string();
        ours.then_some((
            header("bridge.seq")?.parse().ok()?,
            header("ce_id")?.to_owned(),
        ))
    }
}

fn further(one: Option<Mark>, other: Option<Mark>) -> Option<Mark> {
    [one, other]
        .into_iter()
        .flatten()
        .max_by_key(|mark| mark.next)
}

fn names(torn: &Torn) -> String {
    let names: Vec<String> = torn
        .first
        .keys()
        .map(|(topic, partition)| format!("{topic}-{partition}"))
        .collect();
    names.join(", ")
}

const LEFT_OPEN: &str = "Kafka has left something of a transaction open that it counts as ended (KAFKA-20734; was a broker killed?)";
const TIMEOUT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(50);
/// Somebody else's transactions come and go; what stays open for so long is looked at.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);
