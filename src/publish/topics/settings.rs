//! What topics are set to, what of it is not as it should be, and setting it.
//!
//! The crate drops what Kafka answers about a single topic, so a refusal is known by what it leaves undone: settings that
//! are not told, or that stay as they were.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AlterConfig, ConfigEntry, ConfigSource, ResourceSpecifier};
use serde::Serialize;

use super::plan::{MAX_MESSAGE_BYTES, Plan};
use super::{LOOK_AGAIN, Topics, TopicsError, answer_of, options};

/// A setting that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its name with Kafka.
    pub setting: &'static str,
    /// What it is.
    pub is: String,
    /// What it should be.
    pub should: String,
}

impl Topics {
    /// What of a topic's settings is not as `plan` has it.
    ///
    /// # Errors
    ///
    /// When Kafka does not answer or refuses to tell.
    pub fn differences(&self, topic: &str, plan: &Plan) -> Result<Vec<Difference>, TopicsError> {
        let entries = self.entries(topic)?;
        let is = |setting: &str| {
            let entry = entries.iter().find(|entry| entry.name == setting);
            entry.and_then(|entry| entry.value.clone())
        };
        let differences = plan.settings(topic).filter_map(|(setting, should)| {
            let is = is(setting).unwrap_or_default();
            (!suffices(setting, &is, should)).then(|| Difference {
                setting,
                is,
                should: should.to_owned(),
            })
        });
        Ok(differences.collect())
    }

    /// Sets what differs, and waits until it is so. Whatever else the topic is set to stays.
    ///
    /// # Errors
    ///
    /// When Kafka refuses.
    pub fn alter(
        &self,
        topic: &str,
        differences: &[Difference],
        plan: &Plan,
    ) -> Result<(), TopicsError> {
        let failed = |why: String| TopicsError::Alter {
            topic: topic.to_owned(),
            why,
            changes: changes(differences),
        };
        // Kafka's request takes the place of all that a topic is set to: what is to stay is sent again.
        let kept = self.entries(topic)?;
        let kept = kept
            .iter()
            .filter(|entry| entry.source == ConfigSource::DynamicTopic)
            .filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?)));
        let mut settings: BTreeMap<&str, &str> = kept.collect();
        settings.extend(differences.iter().map(|d| (d.setting, d.should.as_str())));
        let request = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let request = settings
            .into_iter()
            .fold(request, |request, (key, value)| request.set(key, value));
        let request = self.admin.alter_configs([&request], &options());
        answer_of(request).map_err(|code| failed(code.to_string()))?;
        let deadline = Instant::now() + TAKEN_WITHIN;
        while !self.differences(topic, plan)?.is_empty() {
            if Instant::now() > deadline || self.stop.wait(LOOK_AGAIN) {
                return Err(failed("Kafka leaves them as they are".to_owned()));
            }
        }
        tracing::info!(topic, changes = changes(differences), "topic altered");
        Ok(())
    }

    /// What a topic is set to, also by its broker's default; `None` when Kafka does not tell.
    pub(in crate::publish) fn setting(&self, topic: &str, name: &str) -> Option<String> {
        let entries = self.entries(topic).ok()?;
        entries.into_iter().find(|entry| entry.name == name)?.value
    }

    fn entries(&self, topic: &str) -> Result<Vec<ConfigEntry>, TopicsError> {
        let failed = |why: String| TopicsError::Settings {
            topic: topic.to_owned(),
            why,
        };
        let asked = [ResourceSpecifier::Topic(topic)];
        let request = self.admin.describe_configs(&asked, &options());
        let answers = answer_of(request).map_err(|code| failed(code.to_string()))?;
        let entries = answers
            .into_iter()
            .filter_map(Result::ok)
            .flat_map(|resource| resource.entries);
        let entries: Vec<ConfigEntry> = entries.collect();
        if entries.is_empty() {
            return Err(failed("Kafka tells none".to_owned()));
        }
        Ok(entries)
    }
}

/// Brokers follow the controller within moments.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// Larger records than the bridge makes may be allowed; everything else is to be as it should.
fn suffices(setting: &str, is: &str, should: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().unwrap_or_default();
    is == should || (setting == MAX_MESSAGE_BYTES && number(is) > number(should))
}

/// As Kafka's own tool wants it.
fn changes(differences: &[Difference]) -> String {
    let changes = differences.iter();
    let changes = changes.map(|change| format!("{}={}", change.setting, change.should));
    changes.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_take_larger_records_but_keep_them_neither_longer_nor_shorter() {
        assert!(suffices("max.message.bytes", "20", "10"));
        assert!(!suffices("max.message.bytes", "9", "10"));
        assert!(!suffices("retention.ms", "20", "10"));
        assert!(!suffices("retention.ms", "-1", "10"));
        assert!(suffices("cleanup.policy", "delete", "delete"));
        assert!(!suffices("cleanup.policy", "compact,delete", "delete"));
    }
}
