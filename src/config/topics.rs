//! `[topics]`: their names, shape and settings.
//!
//! There is no key for `cleanup.policy`: it is always `delete`. Compaction keeps the last record of each key, and so one
//! event of a call.

use std::collections::BTreeMap;

use super::keys::Key;
use super::reader::Reader;
use super::values::{
    PARTITIONS, REPLICATION, RETENTION, RETENTION_BYTES, SIZE, TOPIC, TOPIC_PREFIX,
};

/// `[topics]`: their names, shape and settings.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Before each topic's own name. Default `atoms.`.
    pub prefix: String,
    /// Partitions of each topic that the bridge creates. Default 12.
    pub partitions: u32,
    /// Replication factor of each topic that the bridge creates; absent: the broker's default.
    pub replication: Option<u16>,
    /// A topic that carries every event but dead letters as well.
    pub all: Option<String>,
    /// What topics are set to, unless their own table says otherwise.
    pub settings: TopicSettings,
    /// What the tables of single topics say, by the topic's own name.
    pub own_settings: BTreeMap<&'static str, TopicSettings>,
}

/// What a topic is set to; what is absent is left to the broker, or to the bridge's own sizing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopicSettings {
    /// `retention.ms`; -1: for ever.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`, of each partition; -1: without a limit.
    pub retention_bytes: Option<i64>,
    /// `max.message.bytes`; absent: sized by `listen.max_body`.
    pub max_message_bytes: Option<u64>,
}

impl Topics {
    /// What a topic is set to, by its name without the prefix.
    pub fn settings_of(&self, name: &str) -> TopicSettings {
        let own = self.own_settings.get(name).copied().unwrap_or_default();
        TopicSettings {
            retention_ms: own.retention_ms.or(self.settings.retention_ms),
            retention_bytes: own.retention_bytes.or(self.settings.retention_bytes),
            max_message_bytes: own.max_message_bytes.or(self.settings.max_message_bytes),
        }
    }
}

/// The bridge's own topics, behind the prefix; `topics.all` must be none of them.
pub const TOPIC_NAMES: [&str; 5] = [
    "pre-conversation",
    "post-conversation",
    "analytics-completed",
    "unrecognized",
    "dead-letter",
];

pub(super) const KEYS: &[Key] = &[
    Key::with_default("topics.prefix", "atoms."),
    Key::with_default("topics.partitions", "12"),
    Key::optional("topics.replication"),
    Key::optional("topics.all"),
    Key::optional("topics.retention"),
    Key::optional("topics.retention_bytes"),
    Key::optional("topics.max_message_bytes"),
    // Tables of single topics, in letters that a variable of the environment can have.
    Key::optional("topics.pre_conversation.retention"),
    Key::optional("topics.pre_conversation.retention_bytes"),
    Key::optional("topics.pre_conversation.max_message_bytes"),
    Key::optional("topics.post_conversation.retention"),
    Key::optional("topics.post_conversation.retention_bytes"),
    Key::optional("topics.post_conversation.max_message_bytes"),
    Key::optional("topics.analytics_completed.retention"),
    Key::optional("topics.analytics_completed.retention_bytes"),
    Key::optional("topics.analytics_completed.max_message_bytes"),
    Key::optional("topics.unrecognized.retention"),
    Key::optional("topics.unrecognized.retention_bytes"),
    Key::optional("topics.unrecognized.max_message_bytes"),
    Key::optional("topics.dead_letter.retention"),
    Key::optional("topics.dead_letter.retention_bytes"),
    Key::optional("topics.dead_letter.max_message_bytes"),
];

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Topics> {
    let prefix = reader.value("topics.prefix", &TOPIC_PREFIX);
    let partitions = reader.value("topics.partitions", &PARTITIONS);
    let replication = reader.value("topics.replication", &REPLICATION);
    let all = reader.value("topics.all", &TOPIC);
    let settings = settings(reader, "topics");
    let own_settings = TOPIC_NAMES.map(|name| {
        let table = format!("topics.{}", name.replace('-', "_"));
        (name, self::settings(reader, &table))
    });
    Some(Topics {
        prefix: prefix?,
        partitions: partitions?,
        replication,
        all,
        settings,
        own_settings: own_settings.into(),
    })
}

fn settings(reader: &mut Reader<'_>, table: &str) -> TopicSettings {
    TopicSettings {
        retention_ms: reader.value(&format!("{table}.retention"), &RETENTION),
        retention_bytes: reader.value(&format!("{table}.retention_bytes"), &RETENTION_BYTES),
        max_message_bytes: reader.value(&format!("{table}.max_message_bytes"), &SIZE),
    }
}
