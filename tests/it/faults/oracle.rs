//! The judge, when the faults are over: conservation, integrity, order. It reads committed records with kcat.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::sender::{Lands, Sent};
use crate::harness::kcat;
use crate::harness::record::Record;

/// What was found of what was sent.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    answered: usize,
    /// Sent without an answer, and in Kafka all the same.
    phantoms: usize,
    found: usize,
    records: usize,
    lost: Vec<String>,
    twice: Vec<String>,
    out_of_order: Vec<String>,
    damaged: Vec<String>,
}

impl Verdict {
    /// Reads every topic with that prefix and judges it by what was sent, each call's deliveries in their order.
    ///
    /// Kafka answers a commit before readers see all of it, so what is missing is looked for again, for a while.
    pub(super) fn of(broker: &str, prefix: &str, sent: &[Sent]) -> Self {
        let deadline = Instant::now() + SEEN_WITHIN;
        loop {
            let verdict = Self::now(broker, prefix, sent);
            let complete = verdict.lost.is_empty() && verdict.damaged.is_empty();
            if complete || Instant::now() > deadline {
                return verdict;
            }
        }
    }

    fn now(broker: &str, prefix: &str, sent: &[Sent]) -> Self {
        let read = |topic: &str| kcat::read(broker, &format!("{prefix}{topic}"));
        let events: Vec<Record> = TOPICS.iter().flat_map(|topic| read(topic)).collect();
        let (all, dead) = (read(ALL), read(DEAD));
        let mut verdict = Self {
            answered: sent.iter().filter(|sent| sent.answered).count(),
            ..Self::default()
        };
        let found = verdict.judge("its topic", &events, sent, Lands::AsEvent);
        let all = verdict.judge(ALL, &all, sent, Lands::AsEvent);
        let dead = verdict.judge(DEAD, &dead, sent, Lands::AsDeadLetter);
        for sent in sent {
            let place = (
                found.contains_key(sent.id.as_str()) || dead.contains_key(sent.id.as_str()),
                all.contains_key(sent.id.as_str()),
            );
            verdict.found += usize::from(place.0);
            verdict.phantoms += usize::from(place.0 && !sent.answered);
            if sent.lands == Lands::AsEvent && place.0 != place.1 {
                let torn = format!("{}: on its topic and on {ALL}: {place:?}", sent.id);
                verdict.damaged.push(torn);
            }
        }
        verdict
    }

    /// Judges the records of one kind of topics and returns how often each id is there.
    fn judge<'r>(
        &mut self,
        place: &str,
        records: &'r [Record],
        sent: &[Sent],
        lands: Lands,
    ) -> HashMap<&'r str, usize> {
        let expected: HashMap<&str, (usize, &Sent)> = sent
            .iter()
            .enumerate()
            .filter(|(_, sent)| sent.lands == lands)
            .map(|(at, sent)| (sent.id.as_str(), (at, sent)))
            .collect();
        let mut counts = HashMap::<&str, usize>::new();
        let mut last_sent = HashMap::<(&str, &str), usize>::new();
        let mut last_seq = HashMap::<(&str, i32), u64>::new();
        self.records += records.len();
        for record in records {
            let id = record.header("ce_id").expect("every record has its id");
            *counts.entry(id).or_default() += 1;
            let Some((at, sent)) = expected.get(id) else {
                self.damaged
                    .push(format!("{id} does not belong on {place}"));
                continue;
            };
            if !is_whole(record, sent) {
                self.damaged.push(format!("{id} on {place}: {record:?}"));
            }
            // Records stand by topic, partition and offset.
            let before = last_sent.insert((&record.topic, &sent.call), *at);
            if before.is_some_and(|before| before > *at) {
                self.out_of_order.push(format!("{id} on {}", record.topic));
            }
            let seq = record.header("bridge.seq").and_then(|seq| seq.parse().ok());
            let seq: u64 = seq.expect("every record has its number");
            let before = last_seq.insert((&record.topic, record.partition), seq);
            if before.is_some_and(|before| before > seq) {
                self.out_of_order
                    .push(format!("number {seq} on {}", record.topic));
            }
        }
        let several = counts.iter().filter(|(_, count)| **count > 1);
        self.twice
            .extend(several.map(|(id, count)| format!("{id}: {count} times on {place}")));
        let missing = expected.values().filter(|(_, sent)| sent.answered);
        let missing = missing.filter(|(_, sent)| !counts.contains_key(sent.id.as_str()));
        self.lost
            .extend(missing.map(|(_, sent)| format!("{} on {place}", sent.id)));
        counts
    }

    /// Fails when anything is not as it must be; what is wrong is named.
    pub(super) fn assert_clean(&self) {
        let wrong = [&self.lost, &self.twice, &self.out_of_order, &self.damaged];
        let some: Vec<_> = wrong.iter().map(|wrong| first(wrong)).collect();
        assert!(
            wrong.iter().all(|wrong| wrong.is_empty()),
            "{self}; lost, twice, out of order, damaged: {some:#?}"
        );
        assert!(self.answered > 0, "nothing was answered, so nothing shown");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answered 200; read committed: {} found ({} of them were never answered), {} lost, {} twice, \
             {} out of order, {} damaged; {} records in all",
            self.answered,
            self.found,
            self.phantoms,
            self.lost.len(),
            self.twice.len(),
            self.out_of_order.len(),
            self.damaged.len(),
            self.records,
        )
    }
}

/// Whether the record is what was sent, with its own id and call.
fn is_whole(record: &Record, sent: &Sent) -> bool {
    let value = record.json();
    let (call, marker) = match sent.lands {
        Lands::AsEvent => (&value["callId"], &value["variables"]["marker"]),
        Lands::AsDeadLetter => (
            &value["metadata"]["callId"],
            &value["metadata"]["variables"]["marker"],
        ),
    };
    value["id"] == sent.id.as_str()
        && *call == sent.call.as_str()
        && *marker == sent.marker.as_str()
        && record.key() == sent.call
}

fn first(wrong: &[String]) -> &[String] {
    wrong.get(..SHOWN.min(wrong.len())).unwrap_or_default()
}

/// The topics of events.
const TOPICS: [&str; 4] = [
    "pre-conversation",
    "post-conversation",
    "analytics-completed",
    "unrecognized",
];
/// The topic of all events, as the tests configure it.
pub(super) const ALL: &str = "events";
const DEAD: &str = "dead-letter";
/// Much longer than Kafka takes to mark a transaction as committed on each partition.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
const SHOWN: usize = 10;
