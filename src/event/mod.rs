//! The canonical event: the one shape in which every call reaches Kafka, whatever dialect the sender spoke.
//!
//! What is not known is absent: never null, never invented. Texts borrow from the body that they were read from; what
//! must pass digit for digit (numbers, `variables`, `unmapped`) is raw JSON. The doc comments here become the
//! descriptions in the published schemas.

pub mod compatible;
pub mod json;
mod origin;
mod raw;
pub mod schema;
mod stage;
mod stages;
mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

pub use self::origin::Origin;
pub use self::raw::Raw;
pub use self::stage::{Stage, fold};
pub use self::stages::Stages;
pub use self::write::write;

/// The type of what `check` sends through a bridge to read it back; no call stands behind it, and nothing counts it.
pub const BRIDGE_CHECK: &str = "bridge-check";
use crate::time::Timestamp;

/// One moment in the life of a call. What is not known is absent, never null.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event<'a> {
    /// Identifies the delivery that brought this event: the sender's own id of it, or one made of the body's hash where it sent
    /// none. A repeat of the delivery, and a replay, carry the same id: use it to recognise what you have already processed.
    #[schemars(extend("examples" = ["69fd96578d7c3809f58ce555"]))]
    pub id: Cow<'a, str>,
    /// What happened: `pre-conversation` (the call is about to start), `post-conversation` (it has ended) or
    /// `analytics-completed` (its evaluation is ready). Anything else is as the sender spelled it.
    #[serde(rename = "type")]
    #[schemars(extend("examples" = ["pre-conversation", "post-conversation", "analytics-completed"]))]
    pub event_type: Cow<'a, str>,
    /// The version of the schema that describes this event. Whoever reads by an earlier version can read a later one's events.
    #[schemars(extend("examples" = [1]))]
    pub schema_version: u32,
    /// The call. All events of one call share it; it is the record's key.
    #[schemars(extend("examples" = ["CALL-1778226705739-7e4c17"]))]
    pub call_id: Cow<'a, str>,
    /// The agent that held the call, by the sender's id. Absent when the delivery does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["69fc7dd072a0c1d28d948ace"]))]
    pub agent_id: Option<Cow<'a, str>>,
    /// The agent's name. Absent when the delivery does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Collections"]))]
    pub agent_name: Option<Cow<'a, str>>,
    /// The place of this type among the three of a call: 1, 2 or 3, for consumers that join topics. Absent on other types.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [1, 2, 3]))]
    pub stage: Option<u8>,
    /// When it happened, in UTC with milliseconds: the sender's own time of the event, or the end of the call; where it gives
    /// neither, the time in the delivery's id, else `receivedAt`. Never before the call was made.
    pub occurred_at: Timestamp,
    /// When the bridge had received the whole delivery, in UTC with milliseconds. It is also the record's timestamp, except
    /// that of a replay.
    #[schemars(extend("examples" = ["2026-05-08T07:52:55.412Z"]))]
    pub received_at: Timestamp,
    /// Where it came from.
    pub source: Source<'a>,
    /// The call's circumstances, as far as this delivery told them. Absent when it told none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<Call<'a>>,
    /// What was said, in order. Absent when the delivery brought no transcript; empty when it brought an empty one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Vec<Turn<'a>>>,
    /// The agent's variables, exactly as sent, nulls included. New ones appear at any time. Absent when the delivery brought
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OpenObject>", extend("examples" = [{ "customer_name": "Rahul Sharma", "due_amount": "29000" }]))]
    pub variables: Option<Raw<'a>>,
    /// The evaluation of the call. Absent when the delivery brought none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analytics: Option<Analytics<'a>>,
    /// Labels that the sender gave, in the order sent. Absent when it gave no list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["priority", "callback"]]))]
    pub tags: Option<Vec<Cow<'a, str>>>,
    /// Whatever was sent and no other field carries, by JSON Pointer into the body that was sent. Absent when there is
    /// nothing, so that its presence means that the sender changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "Option<OpenObject>", extend("examples" = [{ "/metadata/somethingNew": { "kept": true } }]))]
    pub unmapped: BTreeMap<String, Raw<'a>>,
}

/// Where an event came from.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source<'a> {
    /// The name of the configured webhook that received it.
    #[schemars(extend("examples" = ["default"]))]
    pub webhook: Cow<'a, str>,
    /// The shape that the sender used: `envelope`, `settings`, `flat`, or `api` when it was reconciled.
    #[schemars(extend("examples" = ["envelope", "settings", "flat", "api"]))]
    pub dialect: &'static str,
    /// How it got here: `webhook` (the sender delivered it) or `reconcile` (the bridge fetched it).
    #[schemars(extend("examples" = ["webhook", "reconcile"]))]
    pub origin: &'static str,
    /// The sender's own name of the event, as sent. Absent when it gave none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["69fc7dd072a0c1d28d948ace.post-conversation", "call.end"]))]
    pub event: Option<Cow<'a, str>>,
    /// The id of the reconciled event whose place this late delivery takes. Absent on all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["reconcile-CALL-1778226705739-7e4c17-post-conversation"]))]
    pub replaces: Option<Cow<'a, str>>,
    /// The endpoint that is registered with the sender, without its query, in which owners put secrets. Absent when it was
    /// not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["https://example.com/webhooks/default"]))]
    pub url: Option<Cow<'a, str>>,
    /// The label that the owner gave to the webhook at the sender. Absent when it was not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Collections"]))]
    pub description: Option<Cow<'a, str>>,
}

/// The circumstances of a call. Each is there if the delivery told it, whatever the event's type.
#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Call<'a> {
    /// What the call went over: `telephony`, `web`, or another word as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["telephony", "web"]))]
    pub channel: Option<Cow<'a, str>>,
    /// `inbound` (the person called) or `outbound` (the agent called).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["outbound", "inbound"]))]
    pub direction: Option<&'static str>,
    /// The calling number, as sent (normally E.164).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["+12025550100"]))]
    pub from_number: Option<Cow<'a, str>>,
    /// The called number, as sent (normally E.164).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["+12025550143"]))]
    pub to_number: Option<Cow<'a, str>>,
    /// The person's number, whoever called, as sent (normally E.164).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["+12025550143"]))]
    pub user_number: Option<Cow<'a, str>>,
    /// The agent's number, whoever called, as sent (normally E.164).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["+12025550100"]))]
    pub agent_number: Option<Cow<'a, str>>,
    /// How the call went: `completed`, `no-answer`, `busy`, `failed` or `canceled`, in this spelling whatever the sender's;
    /// another word as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completed", "no-answer", "busy", "failed", "canceled"]))]
    pub status: Option<Cow<'a, str>>,
    /// What the call led to, in the sender's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["successful"]))]
    pub disposition: Option<Cow<'a, str>>,
    /// How long the call lasted, in seconds and fractions of them, digit for digit as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", extend("examples" = [49.350622]))]
    pub duration_seconds: Option<Raw<'a>>,
    /// When the call was made or queued, not when it rang, in UTC with milliseconds: the sender's word, else the time in
    /// `callId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["2026-05-08T07:51:45.739Z"]))]
    pub created_at: Option<Timestamp>,
    /// When it was answered, in UTC with milliseconds. Absent for a call that never was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["2026-05-08T07:51:58.813Z"]))]
    pub answered_at: Option<Timestamp>,
    /// When it ended, in UTC with milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Where the recording is. The sender decides how long, and for whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["https://example.com/recordings/composite.wav"]))]
    pub recording_url: Option<Cow<'a, str>>,
    /// Where the recording with a channel for each side is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["https://example.com/recordings/dual.wav"]))]
    pub recording_dual_url: Option<Cow<'a, str>>,
    /// Why it ended, in the sender's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["user_hangup"]))]
    pub end_reason: Option<Cow<'a, str>>,
    /// Why it failed, in the sender's words. Absent for a call that did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["number not in service"]))]
    pub failure_reason: Option<Cow<'a, str>>,
    /// What it cost, digit for digit as sent. The sender names no currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", extend("examples" = [0.12]))]
    pub cost: Option<Raw<'a>>,
    /// Whether it was a test, as the sender says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [false]))]
    pub is_test: Option<bool>,
    /// The `callId` of the call that this one tries again. Absent for a first try.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["CALL-1778226605102-51b0aa"]))]
    pub retry_call_id: Option<Cow<'a, str>>,
    /// Which try this one is, as the sender counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", extend("examples" = [1]))]
    pub retry_attempt: Option<Raw<'a>>,
}

/// What one side said at a time.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Turn<'a> {
    /// Who spoke: `agent` or `user` (the person), as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["agent", "user"]))]
    pub role: Option<Cow<'a, str>>,
    /// What was said, in any script and of any length.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Am I speaking with Rahul Sharma?"]))]
    pub content: Option<Cow<'a, str>>,
    /// When it was said, in UTC with milliseconds. Absent when the sender gave no time that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["2026-05-08T07:52:05.123Z"]))]
    pub timestamp: Option<Timestamp>,
}

/// The evaluation of a call.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analytics<'a> {
    /// The call in a few sentences.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["The customer agreed to pay on Friday."]))]
    pub summary: Option<Cow<'a, str>>,
    /// What the agent's owner had measured: disposition metrics, then success metrics, each in the order sent; metrics
    /// without a category by identifier. Empty when an empty list was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<Metric<'a>>>,
}

/// One measured thing. Owners define them, so any may come or go.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric<'a> {
    /// Its name, given by the agent's owner. Absent when it was sent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["turn_taking_balance"]))]
    pub identifier: Option<Cow<'a, str>>,
    /// `disposition` or `success`; absent where the sender makes no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["disposition", "success"]))]
    pub category: Option<&'static str>,
    /// The type of its value in the sender's word, in lower case.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["integer", "number", "string", "boolean"]))]
    pub metric_type: Option<Cow<'a, str>>,
    /// Its value, as sent: a number digit for digit. Absent when none was sent or it is no string, number or boolean.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Scalar>", extend("examples" = [2, "promise_to_pay", true]))]
    pub value: Option<Raw<'a>>,
    /// The same value as text, for sinks with typed columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["2"]))]
    pub value_text: Option<Cow<'a, str>>,
    /// How sure the evaluation is of the value, from 0 to 1, digit for digit as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>", extend("examples" = [0.95]))]
    pub confidence: Option<Raw<'a>>,
    /// Why it has this value, in the evaluation's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Both sides spoke about equally long."]))]
    pub reasoning: Option<Cow<'a, str>>,
    /// The question that the evaluation answered, as the agent's owner put it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["How balanced was the turn taking, from 1 to 5?"]))]
    pub prompt: Option<Cow<'a, str>>,
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
