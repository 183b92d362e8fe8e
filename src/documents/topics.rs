//! What each topic is for, in the order in which they are told.

use crate::event::schema::UNRECOGNIZED;
use crate::event::{Event, Stage};
use crate::route::DEAD_LETTER;

/// A topic as the documents tell of it.
#[derive(Debug)]
pub(super) struct Topic {
    /// The end of its name.
    pub(super) name: &'static str,
    /// Its name as an identifier, in camelCase.
    pub(super) id: &'static str,
    /// What its records are called.
    pub(super) title: &'static str,
    /// What its records tell, as a sentence.
    pub(super) about: &'static str,
}

impl Topic {
    /// The file of its value's schema; `None`: its values are raw bytes.
    pub(super) fn schema_file(&self) -> Option<String> {
        let version = Event::SCHEMA_VERSION;
        (self.name != DEAD_LETTER).then(|| format!("{}.v{version}.json", self.name))
    }
}

/// All topics of a prefix.
pub(super) fn all() -> [Topic; 5] {
    [
        Topic {
            name: Stage::PreConversation.name(),
            id: "preConversation",
            title: "Call about to start",
            about: "A call is about to start: its agent and its numbers.",
        },
        Topic {
            name: Stage::PostConversation.name(),
            id: "postConversation",
            title: "Call ended",
            about: "A call has ended: how it went, its transcript, variables and recording.",
        },
        Topic {
            name: Stage::AnalyticsCompleted.name(),
            id: "analyticsCompleted",
            title: "Call evaluated",
            about: "The evaluation of a call is ready: its summary and metrics.",
        },
        Topic {
            name: UNRECOGNIZED,
            id: "unrecognized",
            title: "Event of an unknown type",
            about: "Something happened in a call whose type the bridge does not know. It has the same shape.",
        },
        Topic {
            name: DEAD_LETTER,
            id: "deadLetter",
            title: "Delivery that could not be read",
            about: "A signed delivery that cannot be an event, or an event that Kafka refused for good: the raw bytes, and \
                    the reason in the headers `error.*`.",
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_told_of() {
        assert_eq!(all().map(|topic| topic.name), crate::route::TOPICS);
    }
}
