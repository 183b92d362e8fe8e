//! `[topics]`: their names and shape.

use super::keys::Key;
use super::reader::Reader;
use super::values::{PARTITIONS, REPLICATION, TOPIC, TOPIC_PREFIX};

/// `[topics]`: their names and shape.
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
];

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Topics> {
    let prefix = reader.value("topics.prefix", &TOPIC_PREFIX);
    let partitions = reader.value("topics.partitions", &PARTITIONS);
    let replication = reader.value("topics.replication", &REPLICATION);
    let all = reader.value("topics.all", &TOPIC);
    Some(Topics {
        prefix: prefix?,
        partitions: partitions?,
        replication,
        all,
    })
}
