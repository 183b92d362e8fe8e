//! What is open on the topics: records behind a partition's last stable offset, and which of them are this journal's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message, OwnedMessage};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Quiet, in_steps, properties};
use super::worker::{Ended, Worker};
use crate::time::Timestamp;

/// A topic and one of its partitions.
pub(super) type Partition = (String, i32);

/// What is open on the topics, as far as it matters to this journal.
#[derive(Default)]
pub(super) struct Torn {
    /// Its records there.
    ours: BTreeMap<Partition, Ours>,
    /// All that is open, of whomever, where nothing that can be read may lie behind.
    pub(super) open: BTreeSet<Partition>,
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
    pub(super) fn leave_hanging(&mut self, not_counted_from: u64) {
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

    /// Whether records lie behind somebody else's that may count, from this number on: it cannot be seen yet.
    pub(super) fn waits_for_others(&self, from: u64) -> bool {
        let waits = |ours: &Ours| !ours.come_first && ours.rows.range(from..).count() > 0;
        self.ours.values().any(waits)
    }

    /// A record of each partition where something of this journal's is.
    pub(super) fn samples(&self) -> impl Iterator<Item = &OwnedMessage> {
        self.ours.values().map(|ours| &ours.sample)
    }

    /// Whether something of this journal's is there.
    pub(super) fn is_on(&self, partition: &Partition) -> bool {
        self.ours.contains_key(partition)
    }

    /// All rows of this journal's, with their events' ids.
    pub(super) fn rows(&self) -> BTreeMap<u64, String> {
        let rows = self.ours.values().flat_map(|ours| ours.rows.clone());
        rows.collect()
    }

    /// A moment before which none of them was received.
    pub(super) fn since(&self) -> Option<Timestamp> {
        let of = |ours: &Ours| ours.sample.timestamp().to_millis();
        let oldest = self.ours.values().filter_map(of).min();
        oldest.map(Timestamp::from_unix_ms)
    }

    /// The partitions, for a line of the log.
    pub(super) fn names(&self) -> String {
        let name = |(topic, partition): &Partition| format!("{topic}-{partition}");
        let names: Vec<String> = self.ours.keys().map(name).collect();
        names.join(", ")
    }
}

impl Worker {
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

const TIMEOUT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(50);
/// Somebody else's transactions come and go; what stays open for so long is looked at.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);
