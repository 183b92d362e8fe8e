//! Where a row would go, without Kafka: for `--dry-run` and for searching by call or type.

use uuid::Uuid;

use super::batch::{Maker, Told};
use crate::config::Config;
use crate::journal::Row;
use crate::traces::Traces;

/// Reads rows as the publisher does.
pub struct Preview(Maker);

/// Where a row would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The topics of its records, by their whole names.
    pub topics: Vec<String>,
    /// Their key.
    pub key: Option<String>,
    /// The event's type; none of a dead letter.
    pub event_type: Option<String>,
    /// The call; none of a dead letter.
    pub call_id: Option<String>,
}

impl Preview {
    /// By the topics and prefixes of this configuration.
    pub fn new(config: &Config) -> Self {
        Self(Maker::new(config, Uuid::nil(), Traces::default()))
    }

    /// Where a row would go, if Kafka takes it.
    pub fn of(&self, row: &Row) -> Destination {
        let Told {
            records,
            event_type,
            call_id,
            ..
        } = self.0.preview(row, 1);
        Destination {
            key: records.first().and_then(|record| record.key.clone()),
            topics: records.into_iter().map(|record| record.topic).collect(),
            event_type,
            call_id,
        }
    }
}
