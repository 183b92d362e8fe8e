//! `[kafka]`: any librdkafka property by its own name, but for those that a guarantee rests on.
//!
//! Whether a name exists and takes its value is librdkafka's to say, and it is asked when the configuration is read.
//! What is wrong is told without the value, which may be a secret behind a name that was misspelled.

mod guarantees;
mod limits;
mod names;

use std::collections::BTreeMap;

use super::Need;
use super::environment::variable_of;
use super::problem::ProblemKind;
use super::reader::{Reader, list_of};
use super::secret_source::SecretSource;
use super::settings::{Origin, Setting, Value};
use crate::publish::properties::{Judged, judge};

pub(super) use self::limits::compare;

pub(super) fn read(reader: &mut Reader<'_>) -> Option<BTreeMap<String, String>> {
    let mut properties = BTreeMap::new();
    for (name, setting) in reader.settings.below("kafka") {
        let key = format!("kafka.{name}");
        if let Some(reason) = guarantees::reason(name) {
            reader.reject(&key, ProblemKind::Guarantee(reason));
            continue;
        }
        let text = text_of(reader, &key, setting);
        let Some(value) = text.and_then(|text| resolved(reader, &key, text)) else {
            continue;
        };
        if name.contains('\0') || value.contains('\0') {
            reader.reject(&key, NUL);
        } else if let Some(kind) = complaint(name, &value, &setting.origin) {
            reader.miss(Need::Kafka, &key, kind);
        } else {
            properties.insert(name.to_owned(), value);
        }
    }
    reject_two_names(reader);
    let is_set = |s: &Setting| s.value != Value::Scalar(String::new());
    if !reader.settings.get(BOOTSTRAP_KEY).is_some_and(is_set) {
        reader.miss(Need::Kafka, BOOTSTRAP_KEY, ProblemKind::NoBootstrapServers);
    }
    Some(properties)
}

/// What librdkafka has against a property.
fn complaint(name: &str, value: &str, origin: &Origin) -> Option<ProblemKind> {
    match judge(name, value) {
        Judged::Taken(_) => None,
        Judged::Refused => Some(ProblemKind::Property(match names::accepted(name) {
            Some(accepted) => format!("write {accepted}"),
            None => format!("{DOCUMENTED} says what it takes"),
        })),
        Judged::NotBuiltIn => Some(ProblemKind::Property(NOT_BUILT_IN.to_owned())),
        Judged::Unknown => Some(ProblemKind::UnknownKey(match names::nearest(name) {
            Some(known) => format!("did you mean {}?", spelled(known, origin)),
            None => format!("librdkafka has no such property; {DOCUMENTED} lists them all"),
        })),
    }
}

/// A property's name for the layer that it is to stand in.
fn spelled(name: &str, origin: &Origin) -> String {
    match origin {
        Origin::Env { .. } => variable_of("kafka.") + &name.replace('.', "_").to_ascii_uppercase(),
        Origin::Default | Origin::File { .. } => format!("kafka.{name}"),
    }
}

/// librdkafka takes what it is told last, and in which order it is told is nobody's choice.
fn reject_two_names(reader: &mut Reader<'_>) {
    for (name, other) in ALIASES {
        let (key, other) = (format!("kafka.{name}"), format!("kafka.{other}"));
        let both = (reader.settings.get(&key), reader.settings.get(&other));
        if let (Some(_), Some(first)) = both {
            let first = format!("{} as {other}", first.origin);
            reader.reject(&key, ProblemKind::Twice(first));
        }
    }
}

/// Whether a property's value proves something.
pub(super) fn is_sensitive(name: &str) -> bool {
    SENSITIVE.iter().any(|part| name.contains(part))
}

/// The property that a variable's rest, in lower case, stands for.
pub(super) fn property_of(rest: &str) -> String {
    UNDERSCORE_NAMES
        .iter()
        .find(|name| name.replace('.', "_") == rest)
        .map_or_else(
            || rest.replace("__", ".").replace('_', "."),
            |name| (*name).to_owned(),
        )
}

/// One name for the broker list, so that the environment's takes the place of the file's.
pub(super) fn one_name(key: String) -> String {
    match key.as_str() {
        "kafka.metadata.broker.list" => BOOTSTRAP_KEY.to_owned(),
        _ => key,
    }
}

fn text_of(reader: &mut Reader<'_>, key: &str, setting: &Setting) -> Option<String> {
    match &setting.value {
        Value::Scalar(text) => Some(text.clone()),
        Value::List(_) | Value::Other(_) => match list_of(setting) {
            Ok(items) => Some(items.join(",")),
            Err(problem) => {
                reader.reject(key, problem);
                None
            }
        },
    }
}

fn resolved(reader: &mut Reader<'_>, key: &str, text: String) -> Option<String> {
    let Some(source) = SecretSource::parse(&text) else {
        return Some(text);
    };
    let value = source.resolve(reader.environment).and_then(|secret| {
        let text = String::from_utf8(secret.expose().to_vec());
        text.map_err(|_| ProblemKind::SecretNotText(source.to_string()))
    });
    match value {
        Ok(value) => Some(value),
        Err(problem) => {
            reader.miss(Need::Kafka, key, problem);
            None
        }
    }
}

/// librdkafka takes C strings.
const NUL: ProblemKind = ProblemKind::Shape {
    found: "text with a zero byte",
    accepted: "text without",
};
/// Two names of one property, of those that can be set.
const ALIASES: [(&str, &str); 4] = [
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
];
const NOT_BUILT_IN: &str = "the property is not part of this build; remove it";
const DOCUMENTED: &str = "librdkafka's CONFIGURATION.md";
const BOOTSTRAP_KEY: &str = "kafka.bootstrap.servers";

/// librdkafka's names that hold `_` themselves.
const UNDERSCORE_NAMES: [&str; 25] = [
    "background_event_cb",
    "closesocket_cb",
    "connect_cb",
    "consume_cb",
    "default_topic_conf",
    "dr_cb",
    "dr_msg_cb",
    "enabled_events",
    "error_cb",
    "log_cb",
    "log_level",
    "msg_order_cmp",
    "oauthbearer_token_refresh_cb",
    "offset_commit_cb",
    "open_cb",
    "partitioner_cb",
    "rebalance_cb",
    "resolve_cb",
    "socket_cb",
    "ssl.certificate.verify_cb",
    "ssl_ca",
    "ssl_certificate",
    "ssl_engine_callback_data",
    "ssl_key",
    "stats_cb",
];

/// Parts of the names of properties that hold a secret, or may.
const SENSITIVE: [&str; 8] = [
    "password",
    "passphrase",
    "secret",
    "key.pem",
    "ssl_key",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.jaas.config",
];

#[cfg(test)]
mod tests {
    use super::property_of;

    #[test]
    fn librdkafkas_own_underscores_stay() {
        for (rest, name) in [
            ("sasl_username", "sasl.username"),
            ("ssl__ca__location", "ssl.ca.location"),
            ("ssl_certificate", "ssl_certificate"),
            ("ssl_engine_callback_data", "ssl_engine_callback_data"),
        ] {
            assert_eq!(property_of(rest), name);
        }
    }
}
