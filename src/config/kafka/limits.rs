//! Values that librdkafka takes and with which nothing would ever be published, or nothing as it is promised.

use crate::config::Config;
use crate::config::problem::ProblemKind;
use crate::config::reader::Reader;
use crate::publish::properties::{Judged, judge};
use crate::publish::topics::max_message_bytes;

/// Complains about each.
pub(in crate::config) fn compare(config: &Config, reader: &mut Reader<'_>) {
    let transaction_ms = number(config, "transaction.timeout.ms").unwrap_or(TRANSACTION_MS);
    let longest_linger_ms = MOST_LINGER_MS.min(transaction_ms / 2.0);
    let linger = Limit::most(
        longest_linger_ms,
        "a transaction waits so long for its last records, and ends by itself after transaction.timeout.ms",
    );
    let largest = max_message_bytes(config.listen.max_body_bytes);
    let room = Limit::least(
        largest.div_ceil(1024) as f64,
        "with less room the largest event that listen.max_body lets in would wait in the journal for ever",
    );
    let transaction = Limit::most(
        MOST_TRANSACTION_MS,
        "brokers allow 15 minutes by default, and the transaction of a bridge that died holds up its readers so long",
    );
    let retry = Limit::most(
        MOST_RETRY_MS,
        "a step of a transaction may be repeated only after so long, and one that takes 15 s is given up",
    );
    for (name, limit) in [
        ("linger.ms", &linger),
        ("queue.buffering.max.ms", &linger),
        ("queue.buffering.max.kbytes", &room),
        ("transaction.timeout.ms", &transaction),
        ("retry.backoff.ms", &retry),
    ] {
        if let Some(value) = number(config, name) {
            limit.hold(name, value, reader);
        }
    }
    for (name, wanted, reason) in FLAGS {
        let set = text(config, name);
        if set.is_some_and(|set| set != wanted) {
            let accepted = wanted.to_owned();
            let key = format!("kafka.{name}");
            reader.reject(&key, ProblemKind::Limit { accepted, reason });
        }
    }
}

/// What a number must be, and why.
struct Limit {
    accepted: String,
    fits: Box<dyn Fn(f64) -> bool>,
    reason: &'static str,
}

impl Limit {
    fn most(most: f64, reason: &'static str) -> Self {
        Self {
            accepted: format!("at most {most}"),
            fits: Box::new(move |value| value <= most),
            reason,
        }
    }

    fn least(least: f64, reason: &'static str) -> Self {
        Self {
            accepted: format!("at least {least}"),
            fits: Box::new(move |value| value >= least),
            reason,
        }
    }

    fn hold(&self, name: &str, value: f64, reader: &mut Reader<'_>) {
        if !(self.fits)(value) {
            let kind = ProblemKind::Limit {
                accepted: self.accepted.clone(),
                reason: self.reason,
            };
            reader.reject(&format!("kafka.{name}"), kind);
        }
    }
}

fn number(config: &Config, name: &str) -> Option<f64> {
    text(config, name)?.parse().ok()
}

/// A value as librdkafka reads it.
fn text(config: &Config, name: &str) -> Option<String> {
    match judge(name, config.kafka.get(name)?) {
        Judged::Taken(text) => Some(text),
        Judged::Unknown | Judged::NotBuiltIn | Judged::Refused => None,
    }
}

/// Switches that must stay as they are.
const FLAGS: [(&str, &str, &str); 2] = [
    (
        "allow.auto.create.topics",
        "false",
        "a topic that a broker makes by itself has other partitions than the rest",
    ),
    (
        "api.version.request",
        "true",
        "transactions want brokers that tell their versions",
    ),
];
/// librdkafka's own default.
const TRANSACTION_MS: f64 = 60_000.0;
const MOST_TRANSACTION_MS: f64 = 900_000.0;
/// Above, the operator would be told at each transaction that Kafka is slow.
const MOST_LINGER_MS: f64 = 2_000.0;
/// Below [`crate::publish::Timing::leave_call`].
const MOST_RETRY_MS: f64 = 10_000.0;
