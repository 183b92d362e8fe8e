//! What a call's body says that decides whether it is time to make events of it. Pure.

use std::borrow::Cow;

use super::{ALSO_KNOWN, Agent, Reader};
use crate::dialect::member;
use crate::event::json::{Document, Value};
use crate::time::Timestamp;

/// What decides when a call is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// The agent that held it.
    pub agent_id: Option<String>,
    /// When the last turn of its transcript was said: it has not ended before.
    pub last_said_at: Option<Timestamp>,
    /// Whether its evaluation is there: it comes some time after the call's end, and an empty one is none.
    pub has_analytics: bool,
}

impl Glance {
    /// Looks at a body that [`super::merged`] made; what it does not say is absent.
    pub fn at(body: &[u8]) -> Self {
        let Ok(document) = Document::parse(body) else {
            return Self::default();
        };
        let Some(mut reader) = Reader::at_root(&document, &ALSO_KNOWN) else {
            return Self::default();
        };
        let root = document.root();
        Self {
            agent_id: Agent::read(&mut reader).id.map(Cow::into_owned),
            last_said_at: member(root, "transcript").and_then(last_said_at),
            has_analytics: member(root, "postCallAnalytics").is_some_and(is_evaluation),
        }
    }
}

fn last_said_at(transcript: Value<'_>) -> Option<Timestamp> {
    let said_at = |turn: Value<'_>| Timestamp::parse(&member(turn, "timestamp")?.text()?);
    transcript.elements().filter_map(said_at).last()
}

fn is_evaluation(analytics: Value<'_>) -> bool {
    let summary = member(analytics, "summary").and_then(Value::text);
    let metrics = member(analytics, "dispositionMetrics");
    summary.is_some_and(|summary| !summary.trim().is_empty())
        || metrics.is_some_and(|metrics| metrics.elements().next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_is_there_when_it_says_something() {
        for (analytics, expected) in [
            (r#""postCallAnalytics":{"summary":"Paid."}"#, true),
            (
                r#""postCallAnalytics":{"summary":null,"dispositionMetrics":[{"identifier":"a"}]}"#,
                true,
            ),
            (
                r#""postCallAnalytics":{"summary":" ","dispositionMetrics":[]}"#,
                false,
            ),
            (r#""postCallAnalytics":null"#, false),
            (r#""postCallAnalytics":"yes""#, false),
            (r#""x":1"#, false),
        ] {
            let body = format!("{{{analytics}}}");
            assert_eq!(
                Glance::at(body.as_bytes()).has_analytics,
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn the_last_turn_with_a_time_and_the_agent_are_told() {
        let body = r#"{"agent":{"_id":"a","name":"n"},"transcript":[
            {"role":"user","timestamp":"2026-05-08T07:52:05.123Z"},{"role":"agent","timestamp":"soon"}]}"#;
        let glance = Glance::at(body.as_bytes());
        assert_eq!(glance.agent_id.as_deref(), Some("a"));
        assert_eq!(
            glance.last_said_at,
            Timestamp::parse("2026-05-08T07:52:05.123Z")
        );
        assert_eq!(Glance::at(b"[]"), Glance::default());
        assert_eq!(Glance::at(b"{"), Glance::default());
    }
}
