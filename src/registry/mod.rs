//! The schema registry: which schema belongs under which subject, and which id a record says.
//!
//! Nothing here stops a delivery: the registry is asked in the background, what it said is kept on disk, and only a
//! value that would be unreadable without its id waits for the first answer ([`ids`]).
//!
//! ```text
//! client   the Confluent-compatible API            cache    the ids of the last time, beside the journal
//! answer   what it answers                         error    what to do when that does not help
//! ids      asks for them, and keeps asking         framing  puts them on records; pure
//! register loads a schema, or says why not         level    what may follow what
//! clock    what time it is there
//! ```

mod answer;
pub mod cache;
pub mod client;
mod clock;
mod error;
pub mod framing;
pub mod ids;
pub mod level;
pub mod register;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::event::schema::{UNRECOGNIZED, published};

/// What the schema of a topic's values is registered under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The topic.
    pub topic: String,
    /// `{topic}-value`, as every client of such a registry looks for it.
    pub name: String,
    /// The published file, e.g. `post-conversation.v1.json`.
    pub file: String,
    /// The schema's text as it is registered.
    pub schema: String,
}

impl Subject {
    fn new(topic: String, file: &str, schema: &str) -> Self {
        Self {
            name: format!("{topic}-value"),
            topic,
            file: file.to_owned(),
            schema: schema.to_owned(),
        }
    }

    /// Tells one schema's text from another.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.schema.as_bytes()))
    }
}

/// The subjects of all topics that carry events, each once.
///
/// The topic for all events has the schema of unrecognized ones: it asks for what every event has, whatever its type.
pub fn subjects(config: &Config) -> Vec<Subject> {
    let schemas = published();
    let own = config.webhooks.values();
    let own = own.filter_map(|webhook| webhook.topic_prefix.as_deref());
    let mut subjects = BTreeMap::new();
    for prefix in own.chain([config.topics.prefix.as_str()]) {
        for schema in &schemas {
            let topic = format!("{prefix}{}", schema.topic);
            let subject = Subject::new(topic.clone(), &schema.file, &schema.text);
            subjects.insert(topic, subject);
        }
    }
    let general = schemas.iter().find(|schema| schema.topic == UNRECOGNIZED);
    if let Some((topic, schema)) = config.topics.all.clone().zip(general) {
        let subject = Subject::new(topic.clone(), &schema.file, &schema.text);
        subjects.insert(topic, subject);
    }
    subjects.into_values().collect()
}
