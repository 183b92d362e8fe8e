//! What the topics should be, by the configuration. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Config, TOPIC_NAMES, TopicSettings};

/// The topics that a configuration asks for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Their whole names.
    pub names: BTreeSet<String>,
    /// Partitions of those that are created.
    pub partitions: u32,
    /// Replication factor of those that are created; `None`: the broker's default.
    pub replication: Option<u16>,
    /// Of the largest record that the bridge makes.
    pub max_message_bytes: u64,
    /// Kafka's settings of each topic, by its whole name.
    pub settings: BTreeMap<String, BTreeMap<&'static str, String>>,
}

impl Plan {
    /// What a configuration asks for.
    pub fn of(config: &Config) -> Self {
        let max_message_bytes = max_message_bytes(config.listen.max_body_bytes);
        let own = config
            .webhooks
            .values()
            .filter_map(|webhook| webhook.topic_prefix.as_deref());
        let mut settings = BTreeMap::new();
        for prefix in own.chain([config.topics.prefix.as_str()]) {
            for name in TOPIC_NAMES {
                let of_topic = config.topics.settings_of(name);
                settings.insert(
                    format!("{prefix}{name}"),
                    kafkas(of_topic, max_message_bytes),
                );
            }
        }
        if let Some(all) = &config.topics.all {
            let of_topic = config.topics.settings;
            settings.insert(all.clone(), kafkas(of_topic, max_message_bytes));
        }
        Self {
            names: settings.keys().cloned().collect(),
            partitions: config.topics.partitions,
            replication: config.topics.replication,
            max_message_bytes,
            settings,
        }
    }

    /// What a topic should be set to.
    pub fn settings(&self, topic: &str) -> impl Iterator<Item = (&'static str, &str)> {
        let settings = self.settings.get(topic).into_iter().flatten();
        settings.map(|(key, value)| (*key, value.as_str()))
    }
}

/// By Kafka's own names.
fn kafkas(settings: TopicSettings, largest: u64) -> BTreeMap<&'static str, String> {
    let max_message_bytes = settings.max_message_bytes.unwrap_or(largest);
    let mut kafkas = BTreeMap::from([
        // A broker's default may be another.
        (CLEANUP_POLICY, "delete".to_owned()),
        (MAX_MESSAGE_BYTES, max_message_bytes.to_string()),
    ]);
    let retention = settings.retention_ms.map(|ms| ("retention.ms", ms));
    let bytes = settings.retention_bytes;
    let bytes = bytes.map(|bytes| ("retention.bytes", bytes));
    kafkas.extend(
        retention
            .into_iter()
            .chain(bytes)
            .map(|(key, value)| (key, value.to_string())),
    );
    kafkas
}

/// Room for the event of the largest body, with its key and headers. A transcript takes in the event what it took in the
/// body, and a metric's text twice that (`value` and `valueText`). Only a body of very many small parts could grow by more,
/// and would be a dead letter, which takes what the body took.
pub fn max_message_bytes(max_body_bytes: u64) -> u64 {
    (2 * max_body_bytes + 1024 * 1024).min(MOST_OF_LIBRDKAFKA)
}

/// Of its `message.max.bytes`.
const MOST_OF_LIBRDKAFKA: u64 = 1_000_000_000;

pub(super) const CLEANUP_POLICY: &str = "cleanup.policy";
pub(super) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{self, Arrival};
    use crate::event::Origin;
    use crate::event::json::Document;
    use crate::time::Timestamp;

    #[test]
    fn a_record_of_the_largest_ordinary_body_fits() {
        let most = 1 << 20;
        for (before, behind) in [
            (
                r#"{"callId":"c","event":"End","transcript":[{"content":""#,
                r#""}]}"#,
            ),
            (
                r#"{"callId":"c","analytics":{"dispositionMetrics":[{"value":""#,
                r#""}]}}"#,
            ),
            (r#"{"callId":"c","metrics":{"a":""#, r#""}}"#),
            (r#"{"callId":"c","new":""#, r#""}"#),
        ] {
            let filler = "é".repeat((most - before.len() - behind.len()) / 2);
            let body = format!("{before}{filler}{behind}");
            let document = Document::parse(body.as_bytes()).unwrap();
            let arrival = Arrival {
                webhook: "default",
                id: "id",
                received_at: Timestamp::from_unix_ms(0),
                origin: Origin::Webhook,
            };
            let event = dialect::parse(&document, &arrival).unwrap();
            let bytes = serde_json::to_vec(&event).unwrap().len();
            assert!(bytes > most - 4);
            // Half of what there is beside is left to the key and the headers.
            let room = max_message_bytes(most as u64) - 512 * 1024;
            assert!((bytes as u64) < room, "{before}: {bytes}");
        }
        assert_eq!(max_message_bytes(512 << 20), 1_000_000_000);
    }

    #[test]
    fn a_topics_own_table_wins_over_what_holds_for_all() {
        let mut config = Config::defaults().unwrap();
        config.topics.all = Some("atoms.events".to_owned());
        config.topics.settings.retention_ms = Some(7);
        let own = TopicSettings {
            retention_ms: Some(-1),
            max_message_bytes: Some(9),
            ..TopicSettings::default()
        };
        config.topics.own_settings.insert("dead-letter", own);
        let plan = Plan::of(&config);
        assert_eq!(plan.names.len(), 6);
        let settings = |topic| plan.settings(topic).collect::<Vec<_>>();
        let ordinary = [
            ("cleanup.policy", "delete"),
            ("max.message.bytes", "34603008"),
            ("retention.ms", "7"),
        ];
        assert_eq!(settings("atoms.post-conversation"), ordinary);
        assert_eq!(settings("atoms.events"), ordinary);
        let dead = [
            ("cleanup.policy", "delete"),
            ("max.message.bytes", "9"),
            ("retention.ms", "-1"),
        ];
        assert_eq!(settings("atoms.dead-letter"), dead);
    }
}
