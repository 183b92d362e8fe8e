//! Where to go on: at the mark, which Kafka itself remembers, or at what is found on the topics.
//!
//! The mark is the offset of a consumer group of the journal's own, committed in the same transaction as the records; nothing
//! ever consumes with that group. It says how far the journal is published, and by its metadata which row was the last: so a
//! journal that was restored from a backup and has given the same numbers to other rows since is found out. Then, and
//! when the mark is gone (expired, or deleted with its group), the records' own headers decide:
//!
//! | what Kafka says | what is settled | numbers go on |
//! | --- | --- | --- |
//! | the mark, and its last row is pending here | everything up to that row | where they are |
//! | a mark whose last row is another here | up to the last row that is on a topic by number and id | above the mark; rows without a record get new numbers |
//! | no mark, never published | nothing | where they are |
//! | no mark | up to the last row that is on a topic by number and id | above every number found |
//!
//! Rows are committed in order and all or none, so the last one that is there says it of all before it. Left out: a backup
//! that is restored when nothing is pending and the mark is gone too uses numbers again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::Stop;
use super::arrived::LookUp;
use super::client::{Quiet, STEP, in_steps, may_pass, properties};
use super::mend::Mended;
use super::torn::Partition;
use super::worker::{Ended, Worker};
use crate::failpoint;
use crate::journal::{Reader, Row};

/// How far a journal is in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The first `out_seq` that is not there.
    pub(super) next: u64,
    /// The last row that is; `None` when that is not known.
    pub(super) last: Option<Last>,
}

/// A row, by what nobody else has: its number and its event's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) out_seq: u64,
    pub(super) id: String,
}

impl Mark {
    /// The mark of a transaction that ends with this row.
    pub(super) fn behind(row: &Row) -> Self {
        Self::at(row.out_seq, &row.id)
    }

    /// As [`Mark::behind`], by the row's number and its event's id.
    pub(super) fn at(out_seq: u64, id: &str) -> Self {
        let last = Last {
            out_seq,
            id: id.to_owned(),
        };
        Self {
            next: out_seq + 1,
            last: Some(last),
        }
    }

    /// Everything below is published, whatever was the last of it.
    pub(super) fn below(next: u64) -> Self {
        Self { next, last: None }
    }

    /// Whether its last row is pending in this journal.
    pub(super) fn is_of(&self, reader: &mut Reader) -> Result<bool, Ended> {
        match &self.last {
            Some(last) => is_pending(reader, last),
            None => Ok(false),
        }
    }

    /// What bears the mark: partition 0 of `topic`.
    pub(super) fn offsets(&self, topic: &str) -> Result<TopicPartitionList, KafkaError> {
        let mut offsets = TopicPartitionList::new();
        let mut bearer = offsets.add_partition(topic, 0);
        bearer.set_offset(Offset::Offset(i64::try_from(self.next).unwrap_or(i64::MAX)))?;
        if let Some(Last { out_seq, id }) = &self.last {
            bearer.set_metadata(format!("{out_seq} {id}"));
        }
        Ok(offsets)
    }

    fn of(next: u64, metadata: &str) -> Self {
        let last = metadata.split_once(' ').and_then(|(out_seq, id)| {
            Some(Last {
                out_seq: out_seq.parse().ok()?,
                id: id.to_owned(),
            })
        });
        Self { next, last }
    }
}

/// Reads the mark of one journal.
pub(super) struct Marks {
    config: ClientConfig,
    consumer: BaseConsumer<Quiet>,
    topic: String,
}

/// What Kafka remembers of a journal.
pub(super) struct Remembered {
    /// The last mark that was committed, if any was.
    pub(super) mark: Option<Mark>,
    /// Whether there is another, of a transaction that has not come to its end.
    pub(super) is_open: bool,
}

impl Marks {
    pub(super) fn connect(
        kafka: &BTreeMap<String, String>,
        group: &str,
        topic: &str,
    ) -> Result<Self, KafkaError> {
        let mut config = properties(kafka);
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        // A transaction that is being ended must be over before its mark is read.
        config.set("isolation.level", "read_committed");
        Ok(Self {
            consumer: config.create_with_context(Quiet)?,
            config,
            topic: topic.to_owned(),
        })
    }

    /// What a producer's `send_offsets_to_transaction` wants.
    pub(super) fn group(&self) -> Result<ConsumerGroupMetadata, KafkaError> {
        self.consumer.group_metadata().ok_or(KafkaError::Canceled)
    }

    /// The mark, once all transactions before have been ended.
    pub(super) fn read(&self, stop: &Stop) -> Result<Remembered, KafkaError> {
        let stable = |within| match self.committed(&self.consumer, within, stop) {
            // For a mark that is open librdkafka waits, as for a coordinator that is away.
            Err(error) if may_pass(&error) && !stop.is_set() => Ok(None),
            other => other.map(Some),
        };
        let closed = |mark| Remembered {
            mark,
            is_open: false,
        };
        if let Some(mark) = stable(STABLE_WITHIN)? {
            return Ok(closed(mark));
        }
        // Whoever does not ask for a stable mark gets the one before, without waiting.
        let mut config = self.config.clone();
        config.set("isolation.level", "read_uncommitted");
        let before = self.committed(&config.create_with_context(Quiet)?, TIMEOUT, stop)?;
        // The coordinator is there: now it is the mark alone that a stable one waits for.
        Ok(stable(STEP)?.map_or(
            Remembered {
                mark: before,
                is_open: true,
            },
            closed,
        ))
    }

    fn committed(
        &self,
        consumer: &BaseConsumer<Quiet>,
        within: Duration,
        stop: &Stop,
    ) -> Result<Option<Mark>, KafkaError> {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition(&self.topic, 0);
        let committed = in_steps(within, stop, |step| {
            consumer.committed_offsets(partitions.clone(), step)
        })?;
        let Some(bearer) = committed.find_partition(&self.topic, 0) else {
            return Ok(None);
        };
        bearer.error()?;
        Ok(match bearer.offset() {
            Offset::Offset(next) => u64::try_from(next)
                .ok()
                .map(|next| Mark::of(next, bearer.metadata())),
            Offset::Beginning
            | Offset::End
            | Offset::Stored
            | Offset::Invalid
            | Offset::OffsetTail(_) => None,
        })
    }
}

impl Worker {
    /// Settles what Kafka has, sees to it that no number is given twice, and tells where to go on.
    pub(super) fn resume(&self, mended: &Mended, never_published: bool) -> Result<Mark, Ended> {
        let (mark, left_open) = (mended.mark.clone(), &mended.left_open);
        let settled = self.journal.settled();
        let mut reader = self.journal.reader()?;
        let (last, above) = match mark {
            // Of what is pending nothing is there.
            Some(mark) if mark.next <= settled => (mark.last.filter(|_| mark.next == settled), 0),
            Some(Mark { next, last }) => match last {
                Some(last) if is_pending(&mut reader, &last)? => (Some(last), next),
                Some(_) | None => self.look_up(&mut reader, next, left_open)?,
            },
            None if never_published => (None, 0),
            None => self.look_up(&mut reader, 0, left_open)?,
        };
        if let Some(last) = &last {
            self.journal.settle(last.out_seq + 1);
        }
        let next = self.journal.wait_above(0, Duration::ZERO);
        if above > next {
            tracing::error!(
                mark = above,
                next,
                "the journal is older than what Kafka has of it (a restored backup?); going on above"
            );
        }
        if above > 0 {
            // First what is there, so that only what is not gets new numbers.
            self.journal.flush()?;
            self.journal.raise_out_seq(above)?;
        }
        failpoint::hit("recover.mark-settled");
        let next = self.journal.settled();
        let last = last.filter(|last| last.out_seq + 1 == next);
        Ok(Mark { next, last })
    }

    /// The last pending row that is on a topic, and the number above `mark` and all that are there.
    fn look_up(
        &self,
        reader: &mut Reader,
        mark: u64,
        passing_over: &BTreeSet<Partition>,
    ) -> Result<(Option<Last>, u64), Ended> {
        let Some(since) = reader.oldest_pending()? else {
            return Ok((None, mark));
        };
        tracing::warn!(
            mark,
            settled = self.journal.settled(),
            "Kafka's mark does not fit this journal (expired, another cluster, or a restored backup?); looking up on the \
             topics what has arrived since {since}"
        );
        let look_up = LookUp {
            kafka: &self.kafka,
            topics: &self.plan.names,
            journal: self.journal.uuid(),
            from_out_seq: self.journal.settled(),
            since,
            passing_over,
        };
        let arrived = look_up.run(&self.stop)?;
        let highest = arrived
            .last_key_value()
            .map_or(0, |(highest, _)| highest + 1);
        let mut last = None;
        for (out_seq, id) in arrived.into_iter().rev() {
            let row = Last { out_seq, id };
            if is_pending(reader, &row)? {
                last = Some(row);
                break;
            }
        }
        tracing::warn!(
            published_up_to = last.as_ref().map(|last| last.out_seq),
            going_on_above = mark.max(highest),
            "looked up what has arrived"
        );
        Ok((last, mark.max(highest)))
    }
}

fn is_pending(reader: &mut Reader, last: &Last) -> Result<bool, Ended> {
    let rows = reader.pending(last.out_seq, 1, 0)?;
    Ok(rows
        .first()
        .is_some_and(|row| row.out_seq == last.out_seq && row.id == last.id))
}

const TIMEOUT: Duration = Duration::from_secs(15);
/// Markers that are on their way are there by then.
const STABLE_WITHIN: Duration = Duration::from_secs(5);
