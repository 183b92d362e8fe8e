//! From pending rows to a committed transaction: what is sent together, what is sent alone, what is set aside.

use rdkafka::types::RDKafkaErrorCode;

use super::batch::{Counted, Made};
use super::client::Failed;
use super::poison;
use super::producer::{Producer, Refused};
use super::recover::Mark;
use super::worker::{Ended, Worker};
use crate::failpoint;
use crate::journal::Row;
use crate::metrics::Published;
use crate::registry::framing::Framing;
use crate::route::Fault;
use crate::telemetry::clip;
use crate::time::Timestamp;

impl Worker {
    /// Sets rows aside whose bodies are no longer what was stored; the rest is to become records.
    pub(super) fn intact(&self, rows: Vec<Row>, partitions: u32) -> Result<Vec<Made>, Ended> {
        let mut batch = Vec::with_capacity(rows.len());
        for row in rows {
            if row.intact {
                batch.push(self.maker.of(row, partitions));
            } else {
                tracing::error!(
                    seq = row.seq,
                    id = clip(&row.id),
                    "the disk has damaged a stored body; it stays in the journal"
                );
                self.journal.mark_dead(row.out_seq, DAMAGED)?;
                self.metrics.dead_letter(&row.webhook, DAMAGED);
                self.state.refuse((row.seq, row.out_seq), DAMAGED);
            }
        }
        Ok(batch)
    }

    /// Makes the records of a row.
    pub(super) fn make(&self, made: &mut Made, framing: &Framing) {
        self.maker.make(made, (framing, &self.replaced));
    }

    /// Commits a batch with the mark behind the rows that it was made from.
    pub(super) fn transact(
        &self,
        producer: &Producer,
        mut batch: Vec<Made>,
        framing: &Framing,
        mark: &Mark,
    ) -> Result<(), Ended> {
        let Some(last) = batch.last() else {
            self.journal.settle(mark.next);
            return Ok(());
        };
        // Rows that were set aside may lie between the last that is sent and the mark.
        let mark = Mark {
            next: mark.next,
            last: Mark::behind(&last.row).last,
        };
        let committed = producer.commit(&mut batch, |made| self.make(made, framing), &mark);
        if committed.is_err() {
            self.metrics.transaction_refused();
        }
        match committed {
            Ok(()) => self.committed(batch, mark.next),
            Err(Refused::Records(failed)) if poison::are_about_records(&failed) => {
                for made in batch {
                    if self.stop.is_set() {
                        return Err(Ended::Stopped);
                    }
                    self.alone(producer, made, framing)?;
                }
                self.journal.settle(mark.next);
            }
            Err(Refused::Records(failed)) => return Err(surroundings(&failed, &batch)),
            Err(refused) => return Err(refused.into()),
        }
        Ok(())
    }

    /// Commits one row by itself, so that only what is refused alone counts as poison: first as it is, then with the
    /// present as its timestamp, then as a dead letter. What even that topic refuses stays in the journal. Where the present
    /// is refused, the clock is wrong and not the row.
    fn alone(&self, producer: &Producer, mut made: Made, framing: &Framing) -> Result<(), Ended> {
        let mark = Mark::behind(&made.row);
        let (mut restamped, mut buried) = (false, false);
        loop {
            let alone = std::slice::from_mut(&mut made);
            let failed = match producer.commit(alone, |made| self.make(made, framing), &mark) {
                Ok(()) => {
                    self.committed(vec![made], mark.next);
                    return Ok(());
                }
                Err(Refused::Records(failed)) if poison::are_about_records(&failed) => failed,
                Err(Refused::Records(failed)) => {
                    return Err(surroundings(&failed, std::slice::from_ref(&made)));
                }
                Err(refused) => return Err(refused.into()),
            };
            let code = first_code(&failed);
            if poison::is_timestamp(code) {
                if restamped {
                    return Err(surroundings(&failed, std::slice::from_ref(&made)));
                }
                restamped = true;
                made.restamp(Timestamp::now());
            } else if !buried {
                buried = true;
                self.bury(&mut made, code);
            } else {
                tracing::error!(
                    seq = made.row.seq, id = clip(&made.row.id), call_id = made.call_id.as_deref().map(clip), %code,
                    "even the dead-letter topic refuses this delivery; it stays in the journal"
                );
                self.journal
                    .mark_dead(made.row.out_seq, poison::reason(code))?;
                self.metrics
                    .dead_letter(&made.row.webhook, poison::reason(code));
                if let Some(span) = made.span.take() {
                    span.fail(poison::reason(code));
                }
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
            id = clip(&made.row.id),
            call_id = made.call_id.as_deref().map(clip),
            reason = fault.reason,
            "dead letter: {}",
            fault.message
        );
        self.state
            .refuse((made.row.seq, made.row.out_seq), fault.reason);
        made.bury(fault);
    }

    fn committed(&self, mut batch: Vec<Made>, next: u64) {
        self.journal.settle(next);
        failpoint::hit("publish.after-settle");
        self.state.well();
        self.count(&batch);
        for made in &mut batch {
            made.end_span();
            tracing::debug!(
                webhook = made.row.webhook,
                id = clip(&made.row.id),
                call_id = made.call_id.as_deref().map(clip),
                out_seq = made.row.out_seq,
                "published"
            );
        }
    }
}

impl Worker {
    fn count(&self, batch: &[Made]) {
        self.metrics.transaction_committed();
        let now = Timestamp::now();
        for made in batch {
            let webhook = &made.row.webhook;
            match &made.counted {
                Some(Counted::Check) | None => {}
                Some(Counted::DeadLetter(reason)) => self.metrics.dead_letter(webhook, reason),
                Some(Counted::Event {
                    dialect,
                    kind,
                    occurred_at,
                    unmapped,
                }) => {
                    let published = Published {
                        webhook,
                        dialect,
                        kind,
                        received_at: made.row.received_at,
                        occurred_at: *occurred_at,
                        unmapped,
                    };
                    self.metrics.published(&published, now);
                }
            }
        }
    }
}

/// The refusal that is not about a record, and the topic that it is about.
fn surroundings(failed: &[Failed], batch: &[Made]) -> Ended {
    let other = failed
        .iter()
        .find(|failed| !poison::is_about_the_record(failed.code))
        .or(failed.first());
    let row = other.and_then(|failed| batch.get(failed.row));
    // A row's records are one, or that one and its like on the topic for all.
    let topics = row.map(|made| made.records.iter().map(|record| record.topic.as_str()));
    Ended::Surroundings {
        topic: topics.map_or_else(String::new, |topics| {
            topics.collect::<Vec<_>>().join(" or ")
        }),
        code: other.map_or(RDKafkaErrorCode::Unknown, |failed| failed.code),
    }
}

fn first_code(failed: &[Failed]) -> RDKafkaErrorCode {
    failed
        .first()
        .map_or(RDKafkaErrorCode::Unknown, |failed| failed.code)
}

/// Of a row whose body is no longer what was stored.
const DAMAGED: &str = "checksum-mismatch";
