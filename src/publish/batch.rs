//! From journal rows to the records of one transaction.
//!
//! Records are made as they are sent, and what they hold is let go at once: librdkafka has its copy, and thousands of them
//! beside it would only push each other out of the processor's caches. If they are to be sent again, they are made again.

use std::borrow::Cow;
use std::collections::HashMap;

use uuid::Uuid;

use super::replaced::Replaced;
use crate::config::Config;
use crate::dialect::{self, Arrival, Unreadable, encoding};
use crate::event::json::Document;
use crate::event::{BRIDGE_CHECK, Origin, Stage};
use crate::journal::Row;
use crate::registry::framing::Framing;
use crate::route::{self, Fault, Letter, Place, Record};
use crate::telemetry::clip;
use crate::time::Timestamp;
use crate::traces::{Span, Traces};

/// Makes records; the same for every batch of a journal.
pub(super) struct Maker {
    journal: Uuid,
    prefix: String,
    /// Prefixes of webhooks that have one of their own.
    prefixes: HashMap<String, String>,
    all: Option<String>,
    decoded_limit_bytes: usize,
    pub(super) traces: Traces,
}

/// What becomes of one row.
pub(super) struct Made {
    /// The row that it is made from.
    pub(super) row: Row,
    place: Place,
    /// One record, or two when there is a topic for all events; none before they are made. Once sent, only where they went.
    pub(super) records: Vec<Record>,
    is_sent: bool,
    value_bytes: usize,
    /// The call, for the log.
    pub(super) call_id: Option<String>,
    /// What it is counted as, once it is made.
    pub(super) counted: Option<Counted>,
    /// Its part of the delivery's trace, from there to the commit.
    pub(super) span: Option<Span>,
    /// The records' timestamp, if not the row's.
    stamp: Option<Timestamp>,
    /// Why it is to be a dead letter, if Kafka has refused it.
    fault: Option<Fault>,
}

/// What a row is counted as.
#[derive(Debug, Clone)]
pub(super) enum Counted {
    Event {
        dialect: &'static str,
        kind: &'static str,
        occurred_at: Timestamp,
        unmapped: Vec<String>,
    },
    DeadLetter(&'static str),
    /// It came from `check`, and is not counted.
    Check,
}

/// What a row says.
pub(super) struct Told {
    /// One record, or two when there is a topic for all events.
    pub(super) records: Vec<Record>,
    /// The event's type; none of a dead letter.
    pub(super) event_type: Option<String>,
    /// The call; none of a dead letter.
    pub(super) call_id: Option<String>,
    counted: Counted,
}

impl Told {
    fn letter(record: Record, reason: &'static str) -> Self {
        Self {
            records: vec![record],
            event_type: None,
            call_id: None,
            counted: Counted::DeadLetter(reason),
        }
    }
}

impl Maker {
    pub(super) fn new(config: &Config, journal: Uuid, traces: Traces) -> Self {
        let prefix = |webhook: &crate::config::Webhook| {
            Some((
                webhook.name.as_str().to_owned(),
                webhook.topic_prefix.clone()?,
            ))
        };
        let max_body_bytes = usize::try_from(config.listen.max_body_bytes).unwrap_or(usize::MAX);
        Self {
            journal,
            prefix: config.topics.prefix.clone(),
            prefixes: config.webhooks.values().filter_map(prefix).collect(),
            all: config.topics.all.clone(),
            decoded_limit_bytes: max_body_bytes.saturating_mul(DECODED_TIMES),
            traces,
        }
    }

    pub(super) fn has_topic_for_all(&self) -> bool {
        self.all.is_some()
    }

    /// A row whose records are not made yet.
    pub(super) fn of(&self, row: Row, partitions: u32) -> Made {
        Made {
            place: Place {
                journal: self.journal,
                out_seq: row.out_seq,
                partitions,
            },
            row,
            records: Vec::new(),
            is_sent: false,
            value_bytes: 0,
            call_id: None,
            counted: None,
            span: None,
            stamp: None,
            fault: None,
        }
    }

    /// Makes the records of a row, unless they are there.
    pub(super) fn make(&self, made: &mut Made, (framing, replaced): (&Framing, &Replaced)) {
        if !made.records.is_empty() && !made.is_sent {
            return;
        }
        if made.counted.is_none() {
            made.span = self
                .traces
                .publishing(made.row.headers.traceparent.as_deref());
            if let Some(span) = &made.span {
                made.row.headers.traceparent = Some(span.traceparent());
            }
        }
        let told = match &made.fault {
            Some(fault) => {
                let call_id = made.call_id.take();
                let letter = self.dead_letter(&made.row, call_id.as_deref(), fault, &made.place);
                Told {
                    call_id,
                    ..Told::letter(letter, fault.reason)
                }
            }
            None => {
                let told = self.tell(&made.row, &made.place, Some(replaced));
                told.unwrap_or_else(|unreadable| self.unreadable(made, &unreadable))
            }
        };
        (made.records, made.call_id, made.counted) =
            (told.records, told.call_id, Some(told.counted));
        for record in &mut made.records {
            framing.apply(record);
            record.timestamp = made.stamp.unwrap_or(record.timestamp);
        }
        made.is_sent = false;
        made.value_bytes = made.records.last().map_or(0, |record| record.value.len());
    }

    fn unreadable(&self, made: &Made, unreadable: &Unreadable) -> Told {
        let Made { row, place, .. } = made;
        if made.counted.is_none() {
            tracing::warn!(
                webhook = row.webhook,
                seq = row.seq,
                id = clip(&row.id),
                reason = unreadable.reason(),
                "dead letter: {unreadable}"
            );
        }
        Told::letter(
            self.dead_letter(row, None, &Fault::from(unreadable), place),
            unreadable.reason(),
        )
    }

    /// What [`Maker::make`] would make of a row, for people: in silence.
    pub(super) fn preview(&self, row: &Row, partitions: u32) -> Told {
        let place = Place {
            journal: self.journal,
            out_seq: row.out_seq,
            partitions,
        };
        self.tell(row, &place, None).unwrap_or_else(|unreadable| {
            Told::letter(
                self.dead_letter(row, None, &Fault::from(&unreadable), &place),
                unreadable.reason(),
            )
        })
    }

    fn tell(
        &self,
        row: &Row,
        place: &Place,
        replaced: Option<&Replaced>,
    ) -> Result<Told, Unreadable> {
        let body = encoding::decode(
            &row.body,
            row.headers.content_encoding.as_deref(),
            self.decoded_limit_bytes,
        )?;
        let document = match &row.scanned {
            // Only what had no encoding to be undone was scanned.
            Some(scanned) => Document::again(&body, scanned)?,
            None => Document::parse(&body)?,
        };
        let arrival = Arrival {
            webhook: &row.webhook,
            id: &row.id,
            received_at: row.received_at,
            origin: row.origin,
        };
        let mut event = dialect::parse(&document, &arrival)?;
        if let (Some(replaced), Origin::Webhook, Some(stage)) =
            (replaced, row.origin, event.stage())
        {
            let id = replaced.by(&event.call_id, stage, row.out_seq);
            event.source.replaces = id.map(Cow::Owned);
        }
        let record = Record {
            timestamp: row.record_at,
            ..route::event(
                &event,
                self.prefix_of(row),
                place,
                row.headers.traceparent.as_deref(),
            )
        };
        let mut records = Vec::with_capacity(2);
        if let Some(all) = &self.all {
            records.push(Record {
                topic: all.clone(),
                ..record.clone()
            });
        }
        records.push(record);
        let counted = if event.event_type == BRIDGE_CHECK {
            Counted::Check
        } else {
            Counted::Event {
                dialect: event.source.dialect,
                kind: event.stage().map_or("other", Stage::name),
                occurred_at: event.occurred_at,
                unmapped: event.unmapped.into_keys().collect(),
            }
        };
        Ok(Told {
            records,
            counted,
            event_type: Some(event.event_type.into_owned()),
            call_id: Some(event.call_id.into_owned()),
        })
    }

    fn dead_letter(
        &self,
        row: &Row,
        call_id: Option<&str>,
        fault: &Fault,
        place: &Place,
    ) -> Record {
        let letter = Letter {
            id: &row.id,
            call_id,
            webhook: &row.webhook,
            received_at: row.received_at,
            headers: &row.headers,
            body: &row.body,
        };
        Record {
            timestamp: row.record_at,
            ..route::dead_letter(&letter, fault, self.prefix_of(row), place)
        }
    }

    fn prefix_of(&self, row: &Row) -> &str {
        self.prefixes.get(&row.webhook).unwrap_or(&self.prefix)
    }
}

impl Made {
    /// Librdkafka has copies of the records.
    pub(super) fn sent(&mut self) {
        self.is_sent = true;
        for record in &mut self.records {
            record.value = Vec::new();
            record.headers = Vec::new();
        }
    }

    /// The records get the present as their timestamp, for a broker that refuses the time at which the delivery came.
    pub(super) fn restamp(&mut self, now: Timestamp) {
        self.stamp = Some(now);
        self.records.clear();
    }

    /// What Kafka refused becomes a dead letter.
    pub(super) fn bury(&mut self, fault: Fault) {
        self.fault = Some(fault);
        self.records.clear();
    }

    /// Ends its part of the trace: the transaction is committed.
    pub(super) fn end_span(&mut self) {
        let Some(mut span) = self.span.take() else {
            return;
        };
        // A row's records are one, or its like on the topic for all and then that one.
        if let Some(record) = self.records.last() {
            span.rename(format!("send {}", record.topic));
            span.say("messaging.destination.name", record.topic.clone());
            span.say(
                "messaging.destination.partition.id",
                record.partition.to_string(),
            );
            span.say(
                "messaging.message.body.size",
                i64::try_from(self.value_bytes).unwrap_or(i64::MAX),
            );
        }
        span.say("messaging.system", "kafka");
        span.say("messaging.operation.type", "send");
        span.say("messaging.message.id", self.row.id.clone());
        span.say("bridge.seq", self.place.out_seq.cast_signed());
        if let Some(call_id) = &self.call_id {
            span.say("messaging.kafka.message.key", call_id.clone());
        }
        match self.counted {
            Some(Counted::DeadLetter(reason)) => span.fail(reason),
            Some(Counted::Event { .. } | Counted::Check) | None => span.end(),
        }
    }
}

/// A body may grow so many times over `listen.max_body` when its `Content-Encoding` is undone.
const DECODED_TIMES: usize = 4;
