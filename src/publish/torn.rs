//! What a transaction of this journal's has left open although Kafka counts it as ended, and how that is mended.
//!
//! Kafka's coordinator ends a transaction with a marker on each partition. From a partition without a leader at that moment
//! Kafka 4.3.1 withholds it for good (KAFKA-20734): a lone broker that is killed between a commit and its markers does so
//! with all its partitions, since its controller finds out after the restart that they have no leader. Consumers then wait
//! before such records for ever, and the mark cannot be read. The next marker of the same producer decides about them
//! wherever it arrives, whatever it was meant for: an abort would lose what was committed, a commit would bring twice what
//! was sent again.
//!
//! So each session looks, once its fencing has ended every transaction of the journal's, which of its records hang. They
//! are aborted where they lie, and their rows are published again, with the numbers that they have: what hangs on a
//! partition is the end of it. Before, the journal is told which rows these are, and the mark is set back to the first of
//! them, so that a crash in between changes nothing. That a transaction counts can be seen by the mark, by what the journal
//! has settled, or by records of it that can be read; those are left as they are.
//!
//! Rows that cannot be published again are left to the next commit on their partitions, which brings them out: those
//! without a body, and those that can be read on the topic for all events, or on their own, but not on the other.
//!
//! What is not found: a session that outlives such a crash goes on, and its next commit brings out what hangs. If that
//! transaction is aborted instead, because something is killed again, a record is refused or a partition has no leader, that
//! ends what hangs before anybody has looked.

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

/// What is open on the topics, as far as it matters to this journal.
#[derive(Default)]
pub(super) struct Torn {
    /// Its records there.
    ours: BTreeMap<Partition, Ours>,
    /// All that is open, of whomever, where nothing that can be read may lie behind.
    open: BTreeSet<Partition>,
    /// What cannot be looked at, for want of a leader.
    pub(super) unseen: BTreeSet<Partition>,
}

/// Records of this journal's behind a partition's last stable offset.
struct Ours {
    /// Numbers and events' ids.
    rows: BTreeMap<u64, String>,
    /// One of them, as it lies there.
    sample: OwnedMessage,
    /// Whether the first that is open is one of them. If it is somebody else's, they may be committed.
    come_first: bool,
}

/// Where transactions are open: from the last stable offset up to the end.
type Open = BTreeMap<Partition, (i64, i64)>;

impl Torn {
    /// Partitions that this journal holds up.
    pub(super) fn held_up(&self) -> BTreeSet<Partition> {
        let held_up = self.ours.iter().filter(|(_, ours)| ours.come_first);
        held_up.map(|(partition, _)| partition.clone()).collect()
    }

    /// Whether nothing of this journal's is there.
    pub(super) fn is_empty(&self) -> bool {
        self.ours.is_empty()
    }

    /// Leaves what hangs: of what lies behind somebody else's, only rows that are known not to count.
    fn hanging(&mut self, not_counted_from: u64) {
        for ours in self.ours.values_mut().filter(|ours| !ours.come_first) {
            ours.rows = ours.rows.split_off(&not_counted_from);
        }
        let open = &mut self.open;
        self.ours.retain(|partition, ours| {
            if ours.rows.is_empty() {
                open.remove(partition);
            }
            !ours.rows.is_empty()
        });
    }

    fn rows(&self) -> BTreeMap<u64, String> {
        let rows = self.ours.values().flat_map(|ours| ours.rows.clone());
        rows.collect()
    }

    /// A moment before which none of them was received.
    fn since(&self) -> Option<Timestamp> {
        let of = |ours: &Ours| ours.sample.timestamp().to_millis();
        let oldest = self.ours.values().filter_map(of).min();
        oldest.map(Timestamp::from_unix_ms)
    }

    fn names(&self) -> String {
        let name = |(topic, partition): &Partition| format!("{topic}-{partition}");
        let names: Vec<String> = self.ours.keys().map(name).collect();
        names.join(", ")
    }
}

/// How things stand once what hung is mended.
pub(super) struct Mended {
    /// The mark in Kafka.
    pub(super) mark: Option<Mark>,
    /// What hangs until the next commit there.
    pub(super) left_open: BTreeSet<Partition>,
    /// What could not be looked at.
    pub(super) unseen: BTreeSet<Partition>,
}

impl Worker {
    /// Mends what hangs, if anything does.
    pub(super) fn mend(&self, marks: &Marks, producer: &Producer) -> Result<Mended, Ended> {
        let Remembered { mark, is_open } = marks.read(&self.stop)?;
        failpoint::hit("recover.mark-read");
        let settled = self.journal.settled();
        let from = mark.as_ref().map_or(settled, |mark| mark.next);
        let mut torn = self.torn()?;
        if is_open {
            torn = self.await_others(torn, from)?;
        }
        // Without any mark it is not known, and whoever looks up what has arrived waits for the others.
        let is_known = mark.is_some() || is_open;
        torn.hanging(if is_known { from } else { u64::MAX });
        let mut mended = Mended {
            mark,
            left_open: BTreeSet::new(),
            unseen: torn.unseen.clone(),
        };
        if torn.is_empty() && !is_open {
            return Ok(mended);
        }
        // Only a mark that is not open says what is not committed; only with a topic for all can a row be there and hang.
        let readable = if is_open || mended.mark.is_none() || self.maker.has_topic_for_all() {
            let first = torn.rows().keys().next().copied();
            self.readable(&torn, first.map_or(from, |first| first.min(from)))?
        } else {
            BTreeMap::new()
        };
        let mut reader = self.journal.reader()?;
        let mut read = None;
        for (out_seq, id) in readable.iter().rev() {
            let mark = Mark::at(*out_seq, id);
            if mark.is_of(&mut reader)? {
                read = Some(mark);
                break;
            }
        }
        // A mark that is above this journal is of what a backup does not have.
        let end = self.journal.wait_above(0, Duration::ZERO);
        let fits = mended.mark.as_ref().is_none_or(|mark| mark.next <= end);
        let heard = (settled > from || mended.mark.is_none()).then(|| Mark::below(settled));
        let proven = read.as_ref().map_or(settled, |read| read.next);
        mended.mark = further([mended.mark, heard, read]);
        let below = mended.mark.as_ref().map_or(from, |mark| mark.next);
        let hanging = torn.rows();
        let (rows, partitions) = (hanging.len(), torn.names());
        let mut counted = hanging.clone();
        counted.split_off(&below);
        let first = counted.first_key_value().map(|(first, _)| *first);
        let split = counted.keys().any(|row| readable.contains_key(row));
        let left = if first.is_none() {
            // What was read must not be forgotten with a mark that falls with its transaction.
            self.journal.settle(proven);
            self.journal.flush()?;
            false
        } else {
            !fits || split || !self.journal.take_back(counted, below)?
        };
        if left {
            mended.left_open = torn.held_up();
            let last = hanging.last_key_value().filter(|_| is_open);
            let last = last.map(|(out_seq, id)| Mark::at(*out_seq, id));
            mended.mark = further([mended.mark, last, None]);
            tracing::warn!(rows, partitions, "{LEFT_OPEN}: {COMES_OUT}");
        } else if let Some(first) = first {
            mended.mark = Some(Mark::below(first));
        }
        let mark = mended.mark.get_or_insert(Mark::below(from));
        producer.commit_mark(mark)?;
        if torn.is_empty() {
            tracing::warn!(
                mark = mark.next,
                "{LEFT_OPEN}: the mark, which is committed anew"
            );
        } else if !left {
            mended.left_open = self.abort(&torn, mark, producer)?;
            if mended.left_open.is_empty() {
                tracing::warn!(rows, partitions, "{LEFT_OPEN}: {PUBLISHED_AGAIN}");
            } else {
                tracing::error!(rows, partitions, "{LEFT_OPEN}: {NOT_MENDED}");
            }
        }
        Ok(mended)
    }

    /// Aborts what hangs, again if the very marker of that was withheld. What hangs all the same is another producer's.
    fn abort(
        &self,
        torn: &Torn,
        mark: &Mark,
        producer: &Producer,
    ) -> Result<BTreeSet<Partition>, Ended> {
        let mut left = BTreeSet::new();
        for _ in 0..ABORTS {
            producer.abort_over(torn.ours.values().map(|ours| &ours.sample), mark)?;
            left = self.torn()?.held_up();
            left.retain(|partition| torn.ours.contains_key(partition));
            if left.is_empty() {
                break;
            }
        }
        Ok(left)
    }

    /// Waits for others before whose records ours lie, since it cannot be seen whether those are committed: everybody's
    /// transaction ends after a while, but those that hang.
    fn await_others(&self, mut torn: Torn, from: u64) -> Result<Torn, Ended> {
        let deadline = Instant::now() + OTHERS_END_WITHIN;
        let is_unclear = |ours: &Ours| !ours.come_first && ours.rows.range(from..).count() > 0;
        while torn.ours.values().any(is_unclear) && Instant::now() < deadline {
            self.state.hinder(OTHERS);
            if self.stop.wait(STEP) {
                return Err(Ended::Stopped);
            }
            torn = self.torn()?;
        }
        Ok(torn)
    }

    /// The rows from this one on that can be read.
    fn readable(&self, torn: &Torn, from: u64) -> Result<BTreeMap<u64, String>, Ended> {
        let pending = self.journal.reader()?.oldest_pending()?;
        let Some(since) = [torn.since(), pending].into_iter().flatten().min() else {
            return Ok(BTreeMap::new());
        };
        let look_up = LookUp {
            kafka: &self.kafka,
            topics: &self.plan.names,
            journal: self.journal.uuid(),
            from_out_seq: from,
            since,
            passing_over: &torn.open,
        };
        Ok(look_up.run(&self.stop)?)
    }

    /// Looks what is open on the topics, and stays so for a while.
    pub(super) fn torn(&self) -> Result<Torn, Ended> {
        let looker = Looker::connect(self)?;
        let mut open = looker.open()?;
        let deadline = Instant::now() + SETTLES_WITHIN;
        while !open.is_empty() && Instant::now() < deadline {
            if self.stop.wait(STEP) {
                return Err(Ended::Stopped);
            }
            let mut now = looker.open()?;
            open.retain(|partition, (first, end)| {
                *first = now.remove(partition).map_or(*end, |(first, _)| first);
                *first < *end
            });
        }
        looker.read(open)
    }
}

/// Asks and reads as nobody else of the bridge does: what is not committed, too.
struct Looker<'w> {
    worker: &'w Worker,
    all: BaseConsumer<Quiet>,
    committed: BaseConsumer<Quiet>,
    partitions: TopicPartitionList,
    leaderless: BTreeSet<Partition>,
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
        let mut leaderless = BTreeSet::new();
        for topic in &worker.plan.names {
            let metadata = in_steps(TIMEOUT, &worker.stop, |step| {
                all.fetch_metadata(Some(topic), step)
            })?;
            let found = metadata
                .topics()
                .iter()
                .flat_map(|topic| topic.partitions());
            for partition in found {
                if partition.leader() < 0 {
                    leaderless.insert((topic.clone(), partition.id()));
                } else {
                    partitions.add_partition_offset(topic, partition.id(), Offset::End)?;
                }
            }
        }
        Ok(Self {
            worker,
            all,
            committed,
            partitions,
            leaderless,
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

    /// Reads what is open, one topic after another.
    fn read(self, open: Open) -> Result<Torn, Ended> {
        let mut ours = BTreeMap::new();
        for topic in &self.worker.plan.names {
            let of_topic = open.iter().filter(|((of, _), _)| of == topic);
            let offsets = of_topic.map(|((_, partition), offsets)| (*partition, *offsets));
            self.read_topic(topic, offsets.collect(), &mut ours)?;
        }
        Ok(Torn {
            ours,
            open: open.into_keys().collect(),
            unseen: self.leaderless,
        })
    }

    fn read_topic(
        &self,
        topic: &str,
        mut open: BTreeMap<i32, (i64, i64)>,
        all_ours: &mut BTreeMap<Partition, Ours>,
    ) -> Result<(), Ended> {
        let mut assigned = TopicPartitionList::new();
        for (partition, (first, _)) in &open {
            assigned.add_partition_offset(topic, *partition, Offset::Offset(*first))?;
        }
        self.all.assign(&assigned)?;
        let mut deadline = Instant::now() + TIMEOUT;
        let mut begun = BTreeSet::new();
        while !open.is_empty() {
            if self.worker.stop.is_set() {
                return Err(Ended::Stopped);
            }
            if Instant::now() > deadline {
                let code = RDKafkaErrorCode::OperationTimedOut;
                return Err(KafkaError::MessageConsumption(code).into());
            }
            let message = match self.all.poll(STEP) {
                Some(Ok(message)) if message.topic() == topic => message,
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                    continue;
                }
                Some(_) | None => continue,
            };
            deadline = Instant::now() + TIMEOUT;
            let partition = message.partition();
            let Some((_, end)) = open.get(&partition).copied() else {
                continue;
            };
            if message.offset() + 1 >= end {
                open.remove(&partition);
            }
            let come_first = begun.insert(partition);
            if let Some((out_seq, id)) = self.row(&message).filter(|_| message.offset() < end) {
                let ours = all_ours.entry((topic.to_owned(), partition));
                let ours = ours.or_insert_with(|| Ours {
                    rows: BTreeMap::new(),
                    sample: message.detach(),
                    come_first,
                });
                ours.rows.insert(out_seq, id);
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

fn further(marks: [Option<Mark>; 3]) -> Option<Mark> {
    marks.into_iter().flatten().max_by_key(|mark| mark.next)
}

const ABORTS: usize = 3;
const NOT_MENDED: &str = "these records stay open, since Kafka has forgotten the producer that sent them; `kafka-transactions.sh find-hanging` finds the transaction, and `abort` ends it. Their rows are published again";
const LEFT_OPEN: &str = "Kafka has left something of a transaction open that it counts as ended (KAFKA-20734; was a broker killed?)";
const OTHERS: &str = "waiting for somebody else's transaction on the same topics, behind which records of this journal hang; it ends by itself or with `kafka-transactions.sh abort`";
const PUBLISHED_AGAIN: &str = "nobody could read these rows, and they are published again";
const COMES_OUT: &str = "these rows can be read once the next event is on their partition";
const TIMEOUT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(50);
/// Somebody else's transactions come and go; what stays open for so long is looked at.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);
/// Longer than the 60 s after which brokers end a transaction that was left alone.
const OTHERS_END_WITHIN: Duration = Duration::from_secs(90);
