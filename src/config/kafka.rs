//! `[kafka]`: any librdkafka property by its own name, but for those that a guarantee rests on.
//!
//! Whether a name exists is librdkafka's to say, when the producer is made.

use std::collections::BTreeMap;

use super::Need;
use super::problem::ProblemKind;
use super::reader::{Reader, list_of};
use super::secret_source::SecretSource;
use super::settings::{Setting, Value};

pub(super) fn read(reader: &mut Reader<'_>) -> Option<BTreeMap<String, String>> {
    let mut properties = BTreeMap::new();
    for (name, setting) in reader.settings.below("kafka") {
        let key = format!("kafka.{name}");
        if let Some(reason) = guarantee_behind(name) {
            reader.reject(&key, ProblemKind::Guarantee(reason));
            continue;
        }
        let text = text_of(reader, &key, setting);
        let Some(value) = text.and_then(|text| resolved(reader, &key, text)) else {
            continue;
        };
        if name.contains('\0') || value.contains('\0') {
            reader.reject(&key, NUL);
        } else {
            properties.insert(name.to_owned(), value);
        }
    }
    let is_set = |s: &Setting| s.value != Value::Scalar(String::new());
    if !reader.settings.get(BOOTSTRAP_KEY).is_some_and(is_set) {
        reader.miss(Need::Kafka, BOOTSTRAP_KEY, ProblemKind::NoBootstrapServers);
    }
    Some(properties)
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

fn guarantee_behind(name: &str) -> Option<&'static str> {
    Some(match name {
        "acks" | "request.required.acks" => {
            "an event counts as published when all in-sync replicas have it (acks = all)"
        }
        "enable.idempotence" => "exactly once rests on the transactional, idempotent producer",
        "enable.gapless.guarantee" | "message.timeout.ms" | "delivery.timeout.ms" => {
            "no event is given up: what fails is sent again in order from the journal, in a transaction with its own limit"
        }
        "transactional.id" => {
            "it is made from the journal's uuid, so that a restart fences the producer before it"
        }
        "partitioner" | "partitioner_cb" | "msg_order_cmp" => {
            "the bridge picks the partition by Java's rule, so that a call's events stay in order and meet other clients' keys"
        }
        "max.in.flight" | "max.in.flight.requests.per.connection" => {
            "order within a call rests on the producer's own limit"
        }
        "isolation.level" => "the bridge reads only what was committed",
        "group.id" => {
            "the mark of what is published is kept under a group made from the journal's uuid"
        }
        "enable.auto.commit" | "auto.commit.enable" => {
            "the mark of what is published is committed with the events themselves, in one transaction"
        }
        _ => return None,
    })
}

/// librdkafka takes C strings.
const NUL: ProblemKind = ProblemKind::Shape {
    found: "text with a zero byte",
    accepted: "text without",
};
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
