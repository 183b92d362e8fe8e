//! Reads on the topics which events of which calls they have, into the ledger: whoever published them.
//!
//! Reads only what is committed, and all of it that is there when it begins: a record behind somebody's open transaction
//! is waited for. It goes on where the ledger ends, by assignment and without a group's offsets, and looks at keys and
//! headers alone. One topic after another, since librdkafka says of a partition's end only its number.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::Stop;
use super::client::{PropertyError, Quiet, in_steps, properties};
use super::poison;
use super::replaced::Reconciled;
use super::topics::{Topics, TopicsError};
use crate::dialect::api;
use crate::event::Stage;
use crate::journal::ledger::{Found, Ledger, LedgerError, Partition, Place, Reach};
use crate::time::Timestamp;

/// Why it is not known what the topics have.
#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    /// librdkafka refuses the configuration.
    #[error("cannot use the [kafka] properties: {0}")]
    Properties(#[source] PropertyError),
    /// Kafka did not answer or refused.
    #[error("cannot read topic {topic}: {source}; {advice}", advice = advice(.source))]
    Kafka {
        /// Its name.
        topic: String,
        /// Why not.
        #[source]
        source: KafkaError,
    },
    /// Kafka does not say which cluster it is.
    #[error(
        "no broker says which cluster this is; check that the brokers of bootstrap.servers run and can be reached from here"
    )]
    NoCluster,
    /// What lies behind an open transaction cannot be read.
    #[error(
        "a transaction of somebody else stays open on {topic}; it ends by itself or with `kafka-transactions.sh abort`"
    )]
    Open {
        /// The topic.
        topic: String,
    },
    /// A topic's settings cannot be asked for.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// The ledger could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The process is to stop.
    #[error("stopped")]
    Stopped,
}

fn advice(error: &KafkaError) -> &'static str {
    error.rdkafka_error_code().map_or(
        "check bootstrap.servers and that the brokers run",
        poison::advice,
    )
}

/// The topics whose events are looked for, by their whole names.
pub fn topics<'p>(prefixes: impl IntoIterator<Item = &'p str>) -> Vec<(String, Stage)> {
    let prefixes: BTreeSet<&str> = prefixes.into_iter().collect();
    let of_prefix =
        |prefix: &'p str| Stage::ALL.map(|stage| (format!("{prefix}{}", stage.name()), stage));
    prefixes.into_iter().flat_map(of_prefix).collect()
}

/// Reads all that these topics have now; how many records that were.
///
/// # Errors
///
/// Kafka does not answer or refuses, or the ledger cannot be written: what was read until then is in it.
pub fn catch_up(
    kafka: &BTreeMap<String, String>,
    topics: &[(String, Stage)],
    (ledger, reconciled): (&mut Ledger, &Reconciled),
    stop: &Stop,
) -> Result<u64, HeldError> {
    let reader = Reader::connect(kafka, (reconciled, stop))?;
    ledger.be_about(&reader.cluster()?)?;
    let mut count = 0;
    for (topic, stage) in topics {
        let known = ledger.places()?;
        let spans = reader.spans(topic, &known)?;
        count += reader.read(topic, *stage, spans, ledger)?;
    }
    Ok(count)
}

struct Reader<'a> {
    kafka: &'a BTreeMap<String, String>,
    committed: BaseConsumer<Quiet>,
    all: BaseConsumer<Quiet>,
    reconciled: &'a Reconciled,
    stop: &'a Stop,
}

/// What is to be read of a partition.
struct Span {
    next: i64,
    end: i64,
    reach: Begins,
}

/// From when on a partition is known.
#[derive(Debug, Clone, Copy)]
enum Begins {
    Known(Reach),
    /// Records were deleted before it is read: it is known from the first that is left on, and from this moment in any case.
    WithTheFirst(Reach),
}

impl<'a> Reader<'a> {
    fn connect(
        kafka: &'a BTreeMap<String, String>,
        (reconciled, stop): (&'a Reconciled, &'a Stop),
    ) -> Result<Self, HeldError> {
        let consumer = |isolation: &str| -> Result<BaseConsumer<Quiet>, HeldError> {
            let mut config = properties(kafka);
            for (name, value) in OWN_PROPERTIES {
                config.set(*name, *value);
            }
            config.set("isolation.level", isolation);
            let made = config.create_with_context(Quiet);
            made.map_err(|error| HeldError::Properties(error.into()))
        };
        Ok(Self {
            kafka,
            committed: consumer("read_committed")?,
            all: consumer("read_uncommitted")?,
            reconciled,
            stop,
        })
    }

    fn cluster(&self) -> Result<String, HeldError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if self.stop.is_set() {
                return Err(HeldError::Stopped);
            }
            if let Some(cluster) = self.committed.client().fetch_cluster_id(STEP) {
                return Ok(cluster);
            }
            if Instant::now() > deadline {
                return Err(HeldError::NoCluster);
            }
        }
    }

    /// Where each partition of a topic goes on, and where it ends now.
    fn spans(
        &self,
        topic: &str,
        known: &BTreeMap<Partition, Place>,
    ) -> Result<BTreeMap<i32, Span>, HeldError> {
        let mut spans = BTreeMap::new();
        for number in self.partitions(topic)? {
            let (low, end) =
                self.ask(topic, |step| self.all.fetch_watermarks(topic, number, step))?;
            self.await_others(topic, number, end)?;
            let partition = Partition {
                topic: topic.to_owned(),
                number,
            };
            // What lies beyond the end is of a topic that was made anew.
            let known = known.get(&partition).filter(|place| place.next <= end);
            let span = match known {
                Some(place) if place.next >= low => Span {
                    next: place.next,
                    end,
                    reach: Begins::Known(place.reach),
                },
                None if low == 0 => Span {
                    next: 0,
                    end,
                    reach: Begins::Known(Reach::Everything),
                },
                Some(_) | None => Span {
                    next: low,
                    end,
                    reach: Begins::WithTheFirst(self.reach_now(topic)?),
                },
            };
            spans.insert(number, span);
        }
        Ok(spans)
    }

    fn partitions(&self, topic: &str) -> Result<Vec<i32>, HeldError> {
        let metadata = self.ask(topic, |step| self.all.fetch_metadata(Some(topic), step))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let failed = |code| HeldError::Kafka {
            topic: topic.to_owned(),
            source: KafkaError::MetadataFetch(code),
        };
        let Some(found) = found else {
            return Err(failed(
                rdkafka::types::RDKafkaErrorCode::UnknownTopicOrPartition,
            ));
        };
        if let Some(error) = found.error() {
            return Err(failed(error.into()));
        }
        Ok(found.partitions().iter().map(|found| found.id()).collect())
    }

    /// Waits until everything below `end` is committed or aborted: reading ends before what is open.
    fn await_others(&self, topic: &str, number: i32, end: i64) -> Result<(), HeldError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, readable) = self.ask(topic, |step| {
                self.committed.fetch_watermarks(topic, number, step)
            })?;
            if readable >= end {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(HeldError::Open {
                    topic: topic.to_owned(),
                });
            }
            if self.stop.wait(BETWEEN_LOOKS) {
                return Err(HeldError::Stopped);
            }
        }
    }

    fn read(
        &self,
        topic: &str,
        stage: Stage,
        mut spans: BTreeMap<i32, Span>,
        ledger: &mut Ledger,
    ) -> Result<u64, HeldError> {
        let mut list = TopicPartitionList::new();
        let failed = |source| HeldError::Kafka {
            topic: topic.to_owned(),
            source,
        };
        for (number, span) in spans.iter().filter(|(_, span)| span.next < span.end) {
            list.add_partition_offset(topic, *number, Offset::Offset(span.next))
                .map_err(failed)?;
        }
        let mut found = Vec::new();
        let mut count = 0;
        if list.count() > 0 {
            self.committed.assign(&list).map_err(failed)?;
        }
        let mut heard_at = Instant::now();
        while spans.values().any(|span| span.next < span.end) {
            if self.stop.is_set() {
                return Err(HeldError::Stopped);
            }
            match self.committed.poll(STEP) {
                Some(Ok(message)) => {
                    heard_at = Instant::now();
                    if let Some(span) = spans.get_mut(&message.partition()) {
                        count += u64::from(message.offset() < span.end);
                        span.saw(&message);
                    }
                    found.extend(record(&message, stage));
                    if found.len() >= ROWS {
                        self.keep(topic, &spans, &mut found, ledger)?;
                    }
                }
                // What lies at its end is a transaction's mark or was aborted.
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    heard_at = Instant::now();
                    if let Some(span) = spans.get_mut(&number) {
                        span.next = span.next.max(span.end);
                    }
                }
                Some(Err(error)) if heard_at.elapsed() > PATIENCE => return Err(failed(error)),
                Some(Err(error)) => tracing::debug!(%error, "reading goes on after an error"),
                None if heard_at.elapsed() > PATIENCE => {
                    let code = rdkafka::types::RDKafkaErrorCode::OperationTimedOut;
                    return Err(failed(KafkaError::MessageConsumption(code)));
                }
                None => {}
            }
        }
        self.keep(topic, &spans, &mut found, ledger)?;
        self.committed
            .assign(&TopicPartitionList::new())
            .map_err(failed)?;
        Ok(count)
    }

    /// Writes what was found, and how far each partition was read.
    fn keep(
        &self,
        topic: &str,
        spans: &BTreeMap<i32, Span>,
        found: &mut Vec<Found>,
        ledger: &mut Ledger,
    ) -> Result<(), HeldError> {
        let mut places = BTreeMap::new();
        for (number, span) in spans {
            let reach = match span.reach {
                Begins::Known(reach) => reach,
                // Nothing is left of it.
                Begins::WithTheFirst(at_latest) if span.next >= span.end => at_latest,
                Begins::WithTheFirst(_) => continue,
            };
            let partition = Partition {
                topic: topic.to_owned(),
                number: *number,
            };
            let next = span.next;
            places.insert(partition, Place { next, reach });
        }
        for one in found.iter().filter(|one| one.is_reconciled) {
            self.reconciled.add(&api::id(&one.call_id, one.stage));
        }
        ledger.add(found, &places)?;
        found.clear();
        Ok(())
    }

    /// A topic deletes nothing that is younger than it keeps records, unless it has a limit of another kind.
    fn reach_now(&self, topic: &str) -> Result<Reach, HeldError> {
        let now = Timestamp::now();
        let settings = Topics::connect(self.kafka)?;
        let told = settings.settings(&[topic], &[RETENTION, RETENTION_BYTES]);
        let told = told.get(topic);
        let number = |name: &str| told?.get(name)?.parse::<i64>().ok();
        let kept_ms = number(RETENTION).filter(|ms| *ms > 0);
        Ok(match (kept_ms, number(RETENTION_BYTES)) {
            (Some(ms), Some(-1)) => Reach::Since(Timestamp::from_unix_ms(now.unix_ms() - ms)),
            // A right may be missing, too: only what comes is sure.
            _ => Reach::Since(now),
        })
    }

    fn ask<T>(
        &self,
        topic: &str,
        ask: impl Fn(Duration) -> Result<T, KafkaError>,
    ) -> Result<T, HeldError> {
        let asked = in_steps(TIMEOUT, self.stop, ask);
        asked.map_err(|source| match self.stop.is_set() {
            true => HeldError::Stopped,
            false => HeldError::Kafka {
                topic: topic.to_owned(),
                source,
            },
        })
    }
}

impl Span {
    fn saw(&mut self, message: &BorrowedMessage<'_>) {
        if let Begins::WithTheFirst(at_latest) = self.reach {
            let first = message.timestamp().to_millis();
            let first = first.map_or_else(Timestamp::now, Timestamp::from_unix_ms);
            self.reach = Begins::Known(at_latest.min(Reach::Since(first)));
        }
        self.next = message.offset() + 1;
    }
}

/// What a record says that the ledger keeps; `None` of one that is no event of a call.
fn record(message: &BorrowedMessage<'_>, stage: Stage) -> Option<Found> {
    let call_id = std::str::from_utf8(message.key()?).ok()?;
    let headers = message.headers()?;
    let id = headers.iter().find(|header| header.key == "ce_id")?.value?;
    let ms = message.timestamp().to_millis();
    Some(Found {
        is_reconciled: id == api::id(call_id, stage).as_bytes(),
        call_id: call_id.to_owned(),
        stage,
        at: ms.map_or_else(Timestamp::now, Timestamp::from_unix_ms),
    })
}

const OWN_PROPERTIES: &[(&str, &str)] = &[
    // librdkafka assigns only within a group; nothing is ever stored under it.
    ("group.id", "atoms-bridge-ledger"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "earliest"),
    // The end of a partition is only told after an empty answer.
    ("fetch.wait.max.ms", "100"),
    // So much is in memory beside what is looked at.
    ("queued.max.messages.kbytes", "8192"),
    ("fetch.max.bytes", "8388608"),
];
const RETENTION: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";
/// Records of a transaction of the ledger's.
const ROWS: usize = 2000;
const STEP: Duration = Duration::from_millis(200);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than the 60 s after which brokers end a transaction that was left alone.
const PATIENCE: Duration = Duration::from_secs(90);
