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

use super::arrived::LookUp;
use super::producer::Producer;
use super::recover::{Mark, Marks, Remembered};
use super::torn::{Partition, Torn};
use super::worker::{Ended, Worker};
use crate::failpoint;

/// How things stand once what hung is mended.
pub(super) struct Mended {
    /// The mark in Kafka.
    pub(super) mark: Option<Mark>,
    /// What hangs until the next commit there.
    pub(super) left_open: BTreeSet<Partition>,
    /// What could not be looked at.
    pub(super) unseen: BTreeSet<Partition>,
}

/// What is known to have been committed.
struct Counted {
    /// The furthest of the marks: Kafka's, the journal's, and that of the last record that can be read.
    mark: Option<Mark>,
    /// Below which nothing may be published again even if the mark falls.
    proven: u64,
    /// The rows that can be read.
    readable: BTreeMap<u64, String>,
    /// Whether the mark is of this journal as it is: a restored backup is behind it.
    fits: bool,
}

/// What becomes of rows that hang.
enum Course {
    /// None of them was committed; they are pending still.
    Pending,
    /// They were committed, and are published again from this one on.
    Again(u64),
    /// The next commit brings them out.
    Left,
}

impl Worker {
    /// Mends what hangs, if anything does.
    pub(super) fn mend(&self, marks: &Marks, producer: &Producer) -> Result<Mended, Ended> {
        let remembered = marks.read(&self.stop)?;
        failpoint::hit("recover.mark-read");
        let kept = remembered.mark.as_ref().map(|mark| mark.next);
        let from = kept.unwrap_or_else(|| self.journal.settled());
        let torn = self.hanging(&remembered, from)?;
        if torn.is_empty() && !remembered.is_open {
            return Ok(Mended {
                mark: remembered.mark,
                left_open: BTreeSet::new(),
                unseen: torn.unseen,
            });
        }
        let is_open = remembered.is_open;
        let counted = self.counted(&torn, remembered, from)?;
        let below = counted.mark.as_ref().map_or(from, |mark| mark.next);
        let course = self.tell_journal(&torn, &counted, below)?;
        let mark = match course {
            Course::Pending => counted.mark,
            Course::Again(first) => Some(Mark::below(first)),
            Course::Left => {
                let rows = torn.rows();
                let last = rows.last_key_value().filter(|_| is_open);
                let last = last.map(|(out_seq, id)| Mark::at(*out_seq, id));
                further([counted.mark, last, None])
            }
        };
        let mark = mark.unwrap_or_else(|| Mark::below(from));
        producer.commit_mark(&mark)?;
        let left_open = self.end(&torn, &course, &mark, producer)?;
        Ok(Mended {
            mark: Some(mark),
            left_open,
            unseen: torn.unseen,
        })
    }

    /// What hangs on the topics.
    fn hanging(&self, remembered: &Remembered, from: u64) -> Result<Torn, Ended> {
        let mut torn = self.torn()?;
        if remembered.is_open {
            torn = self.await_others(torn, from)?;
        }
        // Without any mark it is not known, and whoever looks up what has arrived waits for the others.
        let is_known = remembered.mark.is_some() || remembered.is_open;
        torn.leave_hanging(if is_known { from } else { u64::MAX });
        Ok(torn)
    }

    /// Waits for others before whose records ours lie, since it cannot be seen whether those are committed: everybody's
    /// transaction ends after a while, but those that hang.
    fn await_others(&self, mut torn: Torn, from: u64) -> Result<Torn, Ended> {
        let deadline = Instant::now() + OTHERS_END_WITHIN;
        while torn.waits_for_others(from) && Instant::now() < deadline {
            self.state.hinder(OTHERS);
            if self.stop.wait(STEP) {
                return Err(Ended::Stopped);
            }
            torn = self.torn()?;
        }
        Ok(torn)
    }

    fn counted(&self, torn: &Torn, remembered: Remembered, from: u64) -> Result<Counted, Ended> {
        let Remembered { mark, is_open } = remembered;
        let settled = self.journal.settled();
        // Only a mark that is not open says what is not committed; only with a topic for all can a row be there and hang.
        let readable = if is_open || mark.is_none() || self.maker.has_topic_for_all() {
            let first = torn.rows().keys().next().copied();
            self.readable(torn, first.map_or(from, |first| first.min(from)))?
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
        let end = self.journal.wait_above(0, Duration::ZERO);
        let fits = mark.as_ref().is_none_or(|mark| mark.next <= end);
        let heard = (settled > from || mark.is_none()).then(|| Mark::below(settled));
        Ok(Counted {
            proven: read.as_ref().map_or(settled, |read| read.next),
            mark: further([mark, heard, read]),
            readable,
            fits,
        })
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

    /// Tells the journal, before Kafka, what is to be published again and what is not.
    fn tell_journal(&self, torn: &Torn, counted: &Counted, below: u64) -> Result<Course, Ended> {
        let mut rows = torn.rows();
        rows.split_off(&below);
        let Some(first) = rows.keys().next().copied() else {
            // What was read must not be forgotten with a mark that falls with its transaction.
            self.journal.settle(counted.proven);
            self.journal.flush()?;
            return Ok(Course::Pending);
        };
        let is_split = rows.keys().any(|row| counted.readable.contains_key(row));
        if !counted.fits || is_split || !self.journal.take_back(rows, below)? {
            return Ok(Course::Left);
        }
        Ok(Course::Again(first))
    }

    /// Ends what hangs, unless it is left, and tells the operator; what hangs on.
    fn end(
        &self,
        torn: &Torn,
        course: &Course,
        mark: &Mark,
        producer: &Producer,
    ) -> Result<BTreeSet<Partition>, Ended> {
        if torn.is_empty() {
            let mark = mark.next;
            tracing::warn!(mark, "{LEFT_OPEN}: the mark, which is committed anew");
            return Ok(BTreeSet::new());
        }
        let (rows, partitions) = (torn.rows().len(), torn.names());
        if matches!(course, Course::Left) {
            tracing::warn!(rows, partitions, "{LEFT_OPEN}: {COMES_OUT}");
            return Ok(torn.held_up());
        }
        let left = self.abort(torn, mark, producer)?;
        if left.is_empty() {
            tracing::warn!(rows, partitions, "{LEFT_OPEN}: {PUBLISHED_AGAIN}");
        } else {
            tracing::error!(rows, partitions, "{LEFT_OPEN}: {NOT_MENDED}");
        }
        Ok(left)
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
            producer.abort_over(torn.samples(), mark)?;
            left = self.torn()?.held_up();
            left.retain(|partition| torn.is_on(partition));
            if left.is_empty() {
                break;
            }
        }
        Ok(left)
    }
}

fn further(marks: [Option<Mark>; 3]) -> Option<Mark> {
    marks.into_iter().flatten().max_by_key(|mark| mark.next)
}

const ABORTS: usize = 3;
const STEP: Duration = Duration::from_millis(50);
/// Longer than the 60 s after which brokers end a transaction that was left alone.
const OTHERS_END_WITHIN: Duration = Duration::from_secs(90);
const NOT_MENDED: &str = "these records stay open, since Kafka has forgotten the producer that sent them; `kafka-transactions.sh find-hanging` finds the transaction, and `abort` ends it. Their rows are published again";
const LEFT_OPEN: &str = "Kafka has left something of a transaction open that it counts as ended (KAFKA-20734; was a broker killed?)";
const OTHERS: &str = "waiting for somebody else's transaction on the same topics, behind which records of this journal hang; it ends by itself or with `kafka-transactions.sh abort`";
const PUBLISHED_AGAIN: &str = "nobody could read these rows, and they are published again";
const COMES_OUT: &str = "these rows can be read once the next event is on their partition";
