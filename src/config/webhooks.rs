//! `[webhooks.NAME]`: one configured sender each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Need;
use super::problem::ProblemKind;
use super::reader::Reader;
use super::settings::{Origin, Settings, Value, strip_section};
use super::values::{DURATION, HEADER_NAME, Kind, TOPIC_PREFIX};
use crate::receive::delivery::WebhookName;
use crate::verify::secret::Secret;

/// `[webhooks.NAME]`: one configured sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name, the last segment of its path.
    pub name: WebhookName,
    /// Signing secrets; any one may match. Those of the webhook `default` default to `env:ATOMS_WEBHOOK_SECRET`.
    pub secrets: Vec<Secret>,
    /// An optional second factor.
    pub header: Option<StaticHeader>,
    /// Takes the place of `topics.prefix` for this webhook.
    pub topic_prefix: Option<String>,
    /// What a 200 waits for. Default: the journal.
    pub ack: Ack,
}

/// A header with a fixed value that every delivery must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticHeader {
    /// Header name, lower case.
    pub name: String,
    /// Its value, compared in constant time.
    pub value: Secret,
}

/// What a 200 waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// The journal's fsync.
    Journal,
    /// The commit in Kafka too, but no longer than `timeout`, after which the journal's word is enough.
    Kafka {
        /// `ack_timeout`, default 10 s.
        timeout: Duration,
    },
}

pub(super) const KEYS: [&str; 6] = [
    "secrets",
    "header.name",
    "header.value",
    "topic_prefix",
    "ack",
    "ack_timeout",
];

/// Name and key of what stands below `[webhooks]`; `None` when it ends in no known key.
pub(super) fn split(rest: &str) -> Option<(&str, &'static str)> {
    KEYS.iter()
        .filter_map(|key| Some((rest.strip_suffix(key)?.strip_suffix('.')?, *key)))
        .max_by_key(|(_, key)| key.len())
}

/// Without any webhook, there is one called `default`.
pub(super) fn lay_defaults(settings: &mut Settings) {
    let mut names = names(settings);
    if names.is_empty() {
        names.insert(DEFAULT_NAME.to_owned());
    }
    for name in names {
        let mut default = |key: &str, text: &str| {
            settings.set_default(
                format!("webhooks.{name}.{key}"),
                Value::Scalar(text.to_owned()),
            );
        };
        default("ack", "journal");
        default("ack_timeout", "10s");
        if name == DEFAULT_NAME {
            default("secrets", DEFAULT_SECRET);
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<BTreeMap<WebhookName, Webhook>> {
    let mut webhooks = BTreeMap::new();
    let mut complete = true;
    for name in names(reader.settings) {
        match read_one(reader, &name) {
            Some(webhook) => drop(webhooks.insert(webhook.name.clone(), webhook)),
            None => complete = false,
        }
    }
    complete.then_some(webhooks)
}

fn names(settings: &Settings) -> BTreeSet<String> {
    let of_key = settings
        .below("webhooks")
        .filter_map(|(rest, _)| Some(split(rest)?.0.to_owned()));
    let of_table = settings.tables().filter_map(|(table, _)| {
        let name = strip_section(table, "webhooks")?;
        (!name.contains('.')).then(|| name.to_owned())
    });
    of_key.chain(of_table).collect()
}

fn read_one(reader: &mut Reader<'_>, name: &str) -> Option<Webhook> {
    let key = |key: &str| format!("webhooks.{name}.{key}");
    let Some(parsed) = WebhookName::parse(name) else {
        let is_written = |key: &String| reader.settings.origin_of(key) != Origin::Default;
        let written = KEYS.iter().map(|k| key(k)).find(is_written);
        let written = written.unwrap_or_else(|| key("secrets"));
        reader.reject(&written, ProblemKind::WebhookName(name.to_owned()));
        return None;
    };
    let secrets = read_secrets(reader, &parsed, &key("secrets"));
    let header = read_header(reader, &parsed, &key("header.name"), &key("header.value"));
    let topic_prefix = reader.value(&key("topic_prefix"), &TOPIC_PREFIX);
    let ack = read_ack(reader, &key("ack"), &key("ack_timeout"));
    Some(Webhook {
        name: parsed,
        secrets,
        header,
        topic_prefix,
        ack: ack?,
    })
}

fn read_secrets(reader: &mut Reader<'_>, name: &WebhookName, key: &str) -> Vec<Secret> {
    if reader.settings.get(key).is_none() {
        reader.reject(key, ProblemKind::NoSecrets);
        return Vec::new();
    }
    let Some(texts) = reader.list(key) else {
        return Vec::new();
    };
    if texts.is_empty() {
        reader.reject(key, ProblemKind::NoSecrets);
    }
    let secrets: Vec<Secret> = texts
        .iter()
        .filter_map(|text| resolve(reader, name, key, text))
        .collect();
    let short = secrets
        .iter()
        .filter(|s| s.expose().len() < SHORT_SECRET_BYTES)
        .count();
    if short > 0 {
        reader.warn(format!(
            "{key}: {short} secret(s) shorter than {SHORT_SECRET_BYTES} bytes can be guessed"
        ));
    }
    secrets
}

fn read_header(
    reader: &mut Reader<'_>,
    webhook: &WebhookName,
    name_key: &str,
    value_key: &str,
) -> Option<StaticHeader> {
    let (has_name, value) = (
        reader.settings.get(name_key).is_some(),
        reader.settings.get(value_key),
    );
    let source = match value.map(|setting| &setting.value) {
        Some(Value::Scalar(text)) => Some(text),
        Some(Value::List(_) | Value::Other(_)) => {
            reader.reject(value_key, ProblemKind::SecretSpelling);
            None
        }
        None => None,
    };
    if has_name != value.is_some() {
        let written = if has_name { name_key } else { value_key };
        reader.reject(written, ProblemKind::HalfHeader);
    }
    let name = reader.value(name_key, &HEADER_NAME);
    if let Some(name) = name
        .as_ref()
        .filter(|name| RESERVED_HEADERS.contains(&name.as_str()))
    {
        reader.reject(name_key, ProblemKind::ReservedHeader(name.clone()));
    }
    let value = source.and_then(|text| resolve(reader, webhook, value_key, text));
    Some(StaticHeader {
        name: name?,
        value: value?,
    })
}

fn read_ack(reader: &mut Reader<'_>, ack_key: &str, timeout_key: &str) -> Option<Ack> {
    let word = reader.value(ack_key, &ACK);
    let timeout = reader.value(timeout_key, &DURATION);
    if timeout.is_some_and(|timeout| timeout > LONGEST_ACK) {
        reader.reject(timeout_key, ProblemKind::AckTimeoutTooLong);
    }
    let (word, timeout) = (word?, timeout?);
    if word == AckWord::Kafka {
        return Some(Ack::Kafka { timeout });
    }
    if let Some(setting) = reader.settings.get(timeout_key)
        && setting.origin != Origin::Default
    {
        reader.warn(format!(
            "{}: {timeout_key} has no effect without ack = \"kafka\"",
            setting.origin
        ));
    }
    Some(Ack::Journal)
}

fn resolve(
    reader: &mut Reader<'_>,
    webhook: &WebhookName,
    key: &str,
    text: &str,
) -> Option<Secret> {
    let source = reader.secret_source(key, text)?;
    match source.resolve(reader.environment) {
        Ok(secret) => Some(secret),
        Err(problem) => {
            reader.miss(Need::Webhook(webhook.clone()), key, problem);
            None
        }
    }
}

#[derive(PartialEq)]
enum AckWord {
    Journal,
    Kafka,
}

const ACK: Kind<AckWord> = Kind {
    accepted: "\"journal\" or \"kafka\"",
    read: |text| match text {
        "journal" => Some(AckWord::Journal),
        "kafka" => Some(AckWord::Kafka),
        _ => None,
    },
};

/// The sender gives up after 30 s; what is left is for the network and the journal.
const LONGEST_ACK: Duration = Duration::from_secs(25);
const SHORT_SECRET_BYTES: usize = 16;
const DEFAULT_NAME: &str = "default";
const DEFAULT_SECRET: &str = "env:ATOMS_WEBHOOK_SECRET";
/// The sender lets no owner set these.
const RESERVED_HEADERS: [&str; 7] = [
    "x-signature",
    "x-atoms-signature",
    "host",
    "content-length",
    "content-type",
    "connection",
    "transfer-encoding",
];
