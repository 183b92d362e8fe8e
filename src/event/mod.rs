//! The canonical event: the one shape in which every call reaches Kafka, whatever dialect the sender spoke.
//!
//! What is not known is absent: never null, never invented. Texts borrow from the body that they were read from; what
//! must pass digit for digit (numbers, `variables`, `unmapped`) is raw JSON. The doc comments here become the
//! descriptions in the published schemas.

pub mod compatible;
pub mod json;
pub mod schema;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::time::Timestamp;

/// One moment in the life of a call. What is not known is absent, never null.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event<'a> {
    /// Identifies the delivery that brought this event. A repeat of the delivery, and a replay, carry the same id: use it to
    /// recognise what you have already processed.
    #[schemars(extend("examples" = ["69fd96578d7c3809f58ce555"]))]
    pub id: Cow<'a, str>,
    /// What happened: `pre-conversation` (the call is about to start), `post-conversation` (it has ended) or
    /// `analytics-completed` (its evaluation is ready). Anything else is as the sender spelled it.
    #[serde(rename = "type")]
    #[schemars(extend("examples" = ["pre-conversation", "post-conversation", "analytics-completed"]))]
    pub event_type: Cow<'a, str>,
    /// The version of this schema.
    #[schemars(extend("examples" = [1]))]
    pub schema_version: u32,
    /// The call. All events of one call share it; it is the record's key.
    #[schemars(extend("examples" = ["CALL-1778226705739-7e4c17"]))]
    pub call_id: Cow<'a, str>,
    /// The agent that held the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Cow<'a, str>>,
    /// The agent's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<Cow<'a, str>>,
    /// The place of this type among the three of a call: 1, 2 or 3, for consumers that join topics. Absent on other types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<u8>,
    /// When it happened, in UTC with milliseconds: the sender's own time of the event as far as it gives one.
    pub occurred_at: Timestamp,
    /// When the bridge had received it, in UTC with milliseconds.
    pub received_at: Timestamp,
    /// Where it came from.
    pub source: Source<'a>,
    /// The call's circumstances, as far as this delivery told them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<Call<'a>>,
    /// What was said, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Vec<Turn<'a>>>,
    /// The agent's variables, exactly as sent, nulls included. New ones appear at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OpenObject>")]
    pub variables: Option<Box<RawValue>>,
    /// The evaluation of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analytics: Option<Analytics<'a>>,
    /// Labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Cow<'a, str>>>,
    /// Whatever was sent and no other field carries, by JSON Pointer into the body that was sent. Absent when there is
    /// nothing, so that its presence means that the sender changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "Option<OpenObject>")]
    pub unmapped: BTreeMap<String, Box<RawValue>>,
}

/// Where an event came from.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source<'a> {
    /// The configured webhook that received it.
    #[schemars(extend("examples" = ["default"]))]
    pub webhook: Cow<'a, str>,
    /// The shape that the sender used: `envelope`, `settings`, `flat`, or `api` when it was reconciled.
    #[schemars(extend("examples" = ["envelope", "settings", "flat", "api"]))]
    pub dialect: &'static str,
    /// How it got here: `webhook` (the sender delivered it) or `reconcile` (the bridge fetched it).
    #[schemars(extend("examples" = ["webhook", "reconcile"]))]
    pub origin: &'static str,
    /// The sender's own name of the event, as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Cow<'a, str>>,
    /// The id of the reconciled event whose place this late delivery takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Cow<'a, str>>,
    /// The registered endpoint, without its query, in which owners put secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Cow<'a, str>>,
    /// The owner's label for the webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Cow<'a, str>>,
}

/// The circumstances of a call.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Call<'a> {
    /// `telephony`, `web`, or as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["telephony", "web"]))]
    pub channel: Option<Cow<'a, str>>,
    /// `inbound` (the person called) or `outbound` (the agent called).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["inbound", "outbound"]))]
    pub direction: Option<&'static str>,
    /// The calling number, as sent (normally E.164).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_number: Option<Cow<'a, str>>,
    /// The called number, as sent (normally E.164).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_number: Option<Cow<'a, str>>,
    /// The person's number, whoever called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_number: Option<Cow<'a, str>>,
    /// The agent's number, whoever called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_number: Option<Cow<'a, str>>,
    /// `completed`, `no-answer`, `busy`, `failed`, `canceled`, or as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completed", "no-answer", "busy", "failed", "canceled"]))]
    pub status: Option<Cow<'a, str>>,
    /// The outcome in the sender's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Cow<'a, str>>,
    /// How long the call lasted, in seconds, as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>")]
    pub duration_seconds: Option<Box<RawValue>>,
    /// When the call was made or queued; not when it rang.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it was answered. Absent for a call that never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Where the recording is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_url: Option<Cow<'a, str>>,
    /// Where the recording with a channel for each side is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_dual_url: Option<Cow<'a, str>>,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<Cow<'a, str>>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<Cow<'a, str>>,
    /// What it cost, as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>")]
    pub cost: Option<Box<RawValue>>,
    /// Whether it was a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_test: Option<bool>,
    /// The call that this one tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_call_id: Option<Cow<'a, str>>,
    /// Which try this one is, as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>")]
    pub retry_attempt: Option<Box<RawValue>>,
}

/// What one side said.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Turn<'a> {
    /// Who spoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["agent", "user"]))]
    pub role: Option<Cow<'a, str>>,
    /// What was said, in any script and of any length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Cow<'a, str>>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
}

/// The evaluation of a call.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analytics<'a> {
    /// The call in a few sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Cow<'a, str>>,
    /// What the agent's owner had measured: disposition metrics, then success metrics, each in the order sent; metrics
    /// without a category by identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<Metric<'a>>>,
}

/// One measured thing. Owners define them, so any may come or go.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric<'a> {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Cow<'a, str>>,
    /// `disposition` or `success`; absent where the sender makes no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["disposition", "success"]))]
    pub category: Option<&'static str>,
    /// The type of its value in the sender's word, in lower case.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["integer", "number", "string", "boolean"]))]
    pub metric_type: Option<Cow<'a, str>>,
    /// Its value, as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Scalar>")]
    pub value: Option<Box<RawValue>>,
    /// Its value as text, for sinks with typed columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_text: Option<Cow<'a, str>>,
    /// How sure the evaluation is, from 0 to 1, as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>")]
    pub confidence: Option<Box<RawValue>>,
    /// Why it has this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Cow<'a, str>>,
    /// The question that the evaluation answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Cow<'a, str>>,
}

/// The three types that every call has, in the order in which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The call is about to start.
    PreConversation,
    /// The call has ended.
    PostConversation,
    /// Its evaluation is ready.
    AnalyticsCompleted,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 3] = [
        Self::PreConversation,
        Self::PostConversation,
        Self::AnalyticsCompleted,
    ];

    /// Its name as the canonical type and the end of its topic's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreConversation => "pre-conversation",
            Self::PostConversation => "post-conversation",
            Self::AnalyticsCompleted => "analytics-completed",
        }
    }

    /// 1, 2 or 3.
    pub fn number(self) -> u8 {
        match self {
            Self::PreConversation => 1,
            Self::PostConversation => 2,
            Self::AnalyticsCompleted => 3,
        }
    }

    /// Reads any of the sender's spellings.
    pub fn parse(spelling: &str) -> Option<Self> {
        let folded: String = spelling.chars().map(fold).collect();
        match folded.as_str() {
            "pre-conversation" | "start" | "call-start" | "call-started" => {
                Some(Self::PreConversation)
            }
            "post-conversation" | "end" | "call-end" | "call-ended" => Some(Self::PostConversation),
            "analytics-completed" => Some(Self::AnalyticsCompleted),
            _ => None,
        }
    }
}

/// How a word is compared: without regard to case, and with `.`, `_` and space as `-`.
pub fn fold(c: char) -> char {
    match c {
        '.' | '_' | ' ' => '-',
        _ => c.to_ascii_lowercase(),
    }
}

impl Event<'_> {
    /// The version of the canonical event that this build writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Which of the three it is, if any.
    pub fn stage(&self) -> Option<Stage> {
        Stage::ALL
            .into_iter()
            .find(|stage| stage.name() == self.event_type)
    }
}

/// Any object, in the schemas.
#[derive(Debug)]
pub struct OpenObject;

impl JsonSchema for OpenObject {
    fn schema_name() -> Cow<'static, str> {
        "OpenObject".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
}

/// A string, a number or a boolean, in the schemas.
#[derive(Debug)]
pub struct Scalar;

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_three_is_folded() {
        for (spelling, stage) in [
            ("pre-conversation", Stage::PreConversation),
            ("Start", Stage::PreConversation),
            ("call.start", Stage::PreConversation),
            ("call.started", Stage::PreConversation),
            ("CALL_STARTED", Stage::PreConversation),
            ("post_conversation", Stage::PostConversation),
            ("End", Stage::PostConversation),
            ("call.end", Stage::PostConversation),
            ("call ended", Stage::PostConversation),
            ("Analytics Completed", Stage::AnalyticsCompleted),
            ("analytics.completed", Stage::AnalyticsCompleted),
            ("ANALYTICS_COMPLETED", Stage::AnalyticsCompleted),
        ] {
            assert_eq!(Stage::parse(spelling), Some(stage), "{spelling}");
        }
        for other in ["call.transferred", "", "started", "conversation"] {
            assert_eq!(Stage::parse(other), None, "{other}");
        }
    }
}
