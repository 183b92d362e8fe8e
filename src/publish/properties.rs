//! What librdkafka says to configured properties, asked before anything is to run on them.
//!
//! Nothing is connected, and no text that comes from here holds a configured value: any of them may be a secret, also one
//! that somebody wrote behind the wrong name.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;
use rdkafka::types::RDKafkaConfRes;

use super::client::{Quiet, Reports, producer_properties, properties};
use crate::metrics::Metrics;

/// What librdkafka says to one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It takes the value, and reads it as this.
    Taken(String),
    /// It has no such property.
    Unknown,
    /// It has the property in other builds.
    NotBuiltIn,
    /// It does not take the value.
    Refused,
}

/// Asks about one property by itself.
pub fn judge(name: &str, value: &str) -> Judged {
    let made = ClientConfig::new().set(name, value).create_native_config();
    match made {
        // What cannot be told back, as a part of a plug-in, is taken as it was written.
        Ok(config) => Judged::Taken(config.get(name).unwrap_or_else(|_| value.to_owned())),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => Judged::Unknown,
        Err(KafkaError::ClientConfig(_, why, ..))
            if why.contains("not supported in this build") =>
        {
            Judged::NotBuiltIn
        }
        Err(_) => Judged::Refused,
    }
}

/// Why librdkafka makes no client of properties that it takes one by one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Mismatch {
    /// The configured property that the reason names, if it names one.
    pub property: Option<String>,
    /// What librdkafka says, without values.
    pub reason: String,
}

/// Makes the clients that the bridge makes, for brokers that are not asked.
///
/// # Errors
///
/// They do not fit together, or a file that they name cannot be used.
pub fn try_together(
    kafka: &BTreeMap<String, String>,
    max_message_bytes: u64,
) -> Result<(), Mismatch> {
    let mut alone = kafka.clone();
    alone.remove("bootstrap.servers");
    let produced = try_producer(&alone, max_message_bytes);
    let tried = produced.and_then(|()| try_consumer(&alone));
    tried.map_err(|error| mismatch(&error, kafka))
}

fn try_producer(kafka: &BTreeMap<String, String>, largest: u64) -> Result<(), KafkaError> {
    let mut config = producer_properties(kafka, largest);
    config.set("transactional.id", TRIAL);
    let reports = Reports::new(Metrics::new().kafka());
    let made: Result<BaseProducer<Reports>, KafkaError> = config.create_with_context(reports);
    made.map(drop)
}

fn try_consumer(kafka: &BTreeMap<String, String>) -> Result<(), KafkaError> {
    let mut config = properties(kafka);
    config.set("group.id", TRIAL);
    let made: Result<BaseConsumer<Quiet>, KafkaError> = config.create_with_context(Quiet);
    made.map(drop)
}

fn mismatch(error: &KafkaError, kafka: &BTreeMap<String, String>) -> Mismatch {
    let reason = if let KafkaError::ClientCreation(reason) = error {
        reason.clone()
    } else if let KafkaError::ClientConfig(_, _, name, _) = error {
        // Its own text shows the value.
        format!("the value of {name} is refused")
    } else {
        error.to_string()
    };
    let named = kafka.keys().filter(|name| is_word(&reason, name));
    Mismatch {
        property: named.max_by_key(|name| name.len()).cloned(),
        reason: without_values(reason, kafka),
    }
}

fn without_values(mut reason: String, kafka: &BTreeMap<String, String>) -> String {
    let mut values: Vec<&str> = kafka.values().map(String::as_str).collect();
    // A value that is part of another one goes after it.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in values {
        let mut from = 0;
        while let Some((start, end)) = word(&reason, value, from) {
            reason.replace_range(start..end, HIDDEN);
            from = start + HIDDEN.len();
        }
        // librdkafka cuts a long text off, and a value at its end with it.
        let beginning: String = value.chars().take(LONG).collect();
        if beginning.len() >= LONG {
            reason.truncate(reason.find(&beginning).unwrap_or(reason.len()));
        }
    }
    reason
}

fn is_word(text: &str, sought: &str) -> bool {
    word(text, sought, 0).is_some()
}

/// Where `sought` stands by itself, and not as a part of a property's name.
fn word(text: &str, sought: &str, from: usize) -> Option<(usize, usize)> {
    if sought.is_empty() {
        return None;
    }
    let found = text.get(from..)?.match_indices(sought);
    let mut found = found.map(|(at, _)| (from + at, from + at + sought.len()));
    found.find(|(start, end)| {
        let before = text.get(..*start).unwrap_or_default();
        let behind = text.get(*end..).unwrap_or_default();
        let goes_on = behind.strip_prefix('.').unwrap_or(behind);
        !before.ends_with(is_of_a_name) && !goes_on.starts_with(char::is_alphanumeric)
    })
}

fn is_of_a_name(character: char) -> bool {
    character.is_alphanumeric() || character == '.' || character == '_'
}

const TRIAL: &str = "atoms-bridge-trial";
const HIDDEN: &str = "***";
/// Of a value, in characters; no other text has so much in common with it.
const LONG: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn told(pairs: &[(&str, &str)]) -> Mismatch {
        try_together(&of(pairs), 17 << 20).unwrap_err()
    }

    #[test]
    fn each_property_is_judged_by_itself() {
        for (name, value, judged) in [
            ("linger.ms", "0x10", Judged::Taken("16".to_owned())),
            (
                "api.version.request",
                "f",
                Judged::Taken("false".to_owned()),
            ),
            ("linger.ms", "soon", Judged::Refused),
            ("stats_cb", "1", Judged::Refused),
            ("sasl.oauthbearer.scope", "x", Judged::NotBuiltIn),
            ("sasl.pasword", "x", Judged::Unknown),
        ] {
            assert_eq!(judge(name, value), judged, "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_told_by_its_name() {
        assert_eq!(try_together(&of(&[("linger.ms", "5")]), 17 << 20), Ok(()));
        for (pairs, property) in [
            (
                &[("queue.buffering.backpressure.threshold", "2")][..],
                "queue.buffering.backpressure.threshold",
            ),
            (&[("fetch.max.bytes", "10")], "fetch.max.bytes"),
            (&[("socket.timeout.ms", "70000")], "socket.timeout.ms"),
            (
                &[
                    ("ssl.ca.location", "/no/such"),
                    ("security.protocol", "ssl"),
                ],
                "ssl.ca.location",
            ),
        ] {
            let told = told(pairs);
            assert_eq!(told.property.as_deref(), Some(property), "{told:?}");
        }
    }

    #[test]
    fn no_value_is_in_what_is_told() {
        let long = "hunter2".repeat(100);
        for (name, value) in [
            ("sasl.mechanism", "hunter2"),
            ("sasl.mechanism", &long),
            ("ssl.keystore.location", "/run/hunter2"),
            ("ssl.ca.location", "/run/hunter2"),
        ] {
            let told = told(&[
                (name, value),
                ("security.protocol", "sasl_ssl"),
                ("ssl.keystore.password", "ssl"),
            ]);
            assert!(!told.reason.contains("hunter2"), "{told:?}");
            assert!(!told.reason.contains("***.keystore"), "{told:?}");
        }
    }
}
