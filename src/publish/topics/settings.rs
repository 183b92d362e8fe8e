//! What topics are set to, what of it is not as it should be, and setting it.
//!
//! The crate drops what Kafka answers about a single topic, so a refusal is known by what it leaves undone: settings that
//! are not told, or that stay as they were.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AlterConfig, ConfigEntry, ConfigSource, OwnedResourceSpecifier, ResourceSpecifier,
};
use serde::Serialize;

use super::plan::{MAX_MESSAGE_BYTES, Plan};
use super::{LOOK_AGAIN, Topics, TopicsError, answer_of, options};
use crate::publish::embedded::is_embedded;

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
    /// What of the settings of each topic is not as `plan` has it; all are asked about at once.
    pub fn differences(
        &self,
        topics: &[&str],
        plan: &Plan,
    ) -> BTreeMap<String, Result<Vec<Difference>, TopicsError>> {
        let mut told = self.entries(topics);
        let of_topic = |topic: &&str| {
            let entries = match &mut told {
                Ok(told) => told.remove(*topic).ok_or("Kafka tells none".to_owned()),
                Err(why) => Err(why.clone()),
            };
            let differences = entries.map(|entries| different(&entries, topic, plan));
            let differences = differences.map_err(|why| self.unsettled(topic, why));
            ((*topic).to_owned(), differences)
        };
        topics.iter().map(of_topic).collect()
    }

    fn differences_of(&self, topic: &str, plan: &Plan) -> Result<Vec<Difference>, TopicsError> {
        let told = self.differences(&[topic], plan).remove(topic);
        told.unwrap_or_else(|| Ok(Vec::new()))
    }

    fn unsettled(&self, topic: &str, why: String) -> TopicsError {
        match self.is_embedded(topic) {
            true => TopicsError::NoSettings,
            false => TopicsError::Settings {
                topic: topic.to_owned(),
                why,
            },
        }
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
        let kept = self.entries(&[topic]);
        let kept = kept.map_err(|why| self.unsettled(topic, why))?;
        let kept = kept
            .values()
            .flatten()
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
        while !self.differences_of(topic, plan)?.is_empty() {
            if Instant::now() > deadline || self.stop.wait(LOOK_AGAIN) {
                return Err(failed("Kafka leaves them as they are".to_owned()));
            }
        }
        tracing::info!(topic, changes = changes(differences), "topic altered");
        Ok(())
    }

    /// What each topic is set to by these names, also by its broker's default; of all are asked at once, and what Kafka does
    /// not tell is left out.
    pub(in crate::publish) fn settings<'n>(
        &self,
        topics: &[&str],
        names: &[&'n str],
    ) -> BTreeMap<String, BTreeMap<&'n str, String>> {
        let told = self.entries(topics).unwrap_or_default().into_iter();
        let values = told.map(|(topic, entries)| {
            let wanted = entries.into_iter().filter_map(|entry| {
                let name = names.iter().find(|name| **name == entry.name)?;
                Some((*name, entry.value?))
            });
            (topic, wanted.collect())
        });
        values.collect()
    }

    /// What each topic is set to, of those of which Kafka tells it; or why it tells nothing.
    fn entries(&self, topics: &[&str]) -> Result<BTreeMap<String, Vec<ConfigEntry>>, String> {
        if topics.first().is_none_or(|topic| self.is_embedded(topic)) {
            return Ok(BTreeMap::new());
        }
        let asked: Vec<_> = topics
            .iter()
            .map(|topic| ResourceSpecifier::Topic(topic))
            .collect();
        let request = self.admin.describe_configs(&asked, &options());
        let answers = answer_of(request).map_err(|code| code.to_string())?;
        let told = answers.into_iter().filter_map(Result::ok);
        let told = told.filter(|resource| !resource.entries.is_empty());
        let of_topic = told.filter_map(|resource| match resource.specifier {
            OwnedResourceSpecifier::Topic(topic) => Some((topic, resource.entries)),
            OwnedResourceSpecifier::Group(_) | OwnedResourceSpecifier::Broker(_) => None,
        });
        Ok(of_topic.collect())
    }

    /// Whether this is a Kafka inside a `dev`.
    fn is_embedded(&self, topic: &str) -> bool {
        is_embedded(self.admin.inner(), topic)
    }
}

fn different(entries: &[ConfigEntry], topic: &str, plan: &Plan) -> Vec<Difference> {
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
    differences.collect()
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
