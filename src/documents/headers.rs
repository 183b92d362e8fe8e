//! Every header that a record can have. A test holds this table against the records that [`crate::route`] makes.

use serde_json::{Map, Value, json};

/// A record's header.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// Its name.
    pub name: &'static str,
    /// What it tells.
    pub about: &'static str,
    /// Such as it may be; `None` for what is no text.
    pub example: Option<&'static str>,
    /// Whether every record of the kind has it.
    pub always: bool,
}

const fn always(name: &'static str, example: &'static str, about: &'static str) -> Header {
    Header {
        name,
        about,
        example: Some(example),
        always: true,
    }
}

/// The headers of an event.
pub const OF_EVENTS: [Header; 12] = [
    always("ce_specversion", "1.0", "The version of CloudEvents."),
    always("ce_id", "69fd96578d7c3809f58ce555", "`id` of the value."),
    always(
        "ce_source",
        "/atoms/agents/69fc7dd072a0c1d28d948ace",
        "`/atoms/agents/{agentId}`, with the id percent-encoded; `/atoms/agents` when the agent is not known.",
    ),
    always(
        "ce_type",
        "ai.smallest.atoms.post-conversation.v1",
        "`ai.smallest.atoms.{type}.v1`, with `type` of the value.",
    ),
    always(
        "ce_time",
        "2026-05-08T07:52:48.164Z",
        "`occurredAt` of the value.",
    ),
    always(
        "ce_subject",
        "CALL-1778226705739-7e4c17",
        "`callId` of the value, which is the record's key too.",
    ),
    always(
        "ce_dataschema",
        "urn:atoms-kafka-bridge:schema:post-conversation.v1",
        "Names the schema of the value: `urn:atoms-kafka-bridge:schema:{topic}.v{version}`, the topic without its prefix.",
    ),
    always(
        "content-type",
        "application/json",
        "The value's media type; CloudEvents calls it `datacontenttype`.",
    ),
    TRACEPARENT,
    JOURNAL,
    SEQ,
    Header {
        name: "__value_schema_id",
        about: "The schema's id in the registry: a zero byte, then the id in 4 bytes, big-endian. Only with a registry whose ids \
                go by header. It is no text: take it away before you give a record to a reader that wants all headers to be.",
        example: None,
        always: false,
    },
];

/// The headers of a dead letter.
pub const OF_DEAD_LETTERS: [Header; 18] = [
    always("ce_specversion", "1.0", "The version of CloudEvents."),
    always(
        "ce_id",
        "69fd96578d7c3809f58ce555",
        "Identifies the delivery.",
    ),
    always(
        "ce_source",
        "/atoms/agents",
        "`/atoms/agents`: which agent it was is not known.",
    ),
    always(
        "ce_type",
        "ai.smallest.atoms.dead-letter.v1",
        "Always the same.",
    ),
    always(
        "ce_time",
        "2026-05-08T07:52:55.412Z",
        "When the bridge had received the delivery.",
    ),
    always(
        "content-type",
        "application/json",
        "As the request had it; `application/octet-stream` when it had none.",
    ),
    Header {
        name: "content-encoding",
        about: "As the request had it: the raw bytes are still encoded so. Absent when it had none.",
        example: Some("gzip"),
        always: false,
    },
    TRACEPARENT,
    JOURNAL,
    SEQ,
    always(
        "error.stage",
        "parse",
        "Where it could not go on: `parse` or `publish`.",
    ),
    always(
        "error.reason",
        "not-an-object",
        "Why, as a word that stays the same.",
    ),
    always(
        "error.message",
        "the body is not a JSON object",
        "Why, as a sentence. It quotes nothing of the body.",
    ),
    always(
        "source.webhook",
        "default",
        "The name of the configured webhook that received it.",
    ),
    always(
        "__connect.errors.stage",
        "parse",
        "`error.stage`, for tools that know Kafka Connect's dead letters.",
    ),
    always(
        "__connect.errors.exception.class.name",
        "not-an-object",
        "`error.reason`, for the same tools.",
    ),
    always(
        "__connect.errors.exception.message",
        "the body is not a JSON object",
        "`error.message`, for the same tools.",
    ),
    always(
        "__connect.errors.connector.name",
        "default",
        "`source.webhook`, for the same tools.",
    ),
];

const TRACEPARENT: Header = always(
    "traceparent",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "W3C Trace Context: in the request's own trace, or in one that the bridge made when it had none or a broken one.",
);
const JOURNAL: Header = always(
    "bridge.journal",
    "2f1b7c9e-8a43-4f0e-9d55-3c1e6f2a7b10",
    "The journal that the delivery lies in: one for each bridge process.",
);
const SEQ: Header = always(
    "bridge.seq",
    "4711",
    "The record's number in that journal's order of publishing. A replay has a new one.",
);

/// The headers as a JSON Schema.
pub(super) fn schema(headers: &[Header]) -> Value {
    let property = |header: &Header| {
        let mut schema = json!({ "type": "string", "description": header.about });
        if let (Some(example), Some(schema)) = (header.example, schema.as_object_mut()) {
            schema.insert("examples".into(), json!([example]));
        }
        (header.name.to_owned(), schema)
    };
    let properties: Map<_, _> = headers.iter().map(property).collect();
    let required = headers.iter().filter(|header| header.always);
    let required: Vec<_> = required.map(|header| header.name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The headers with their examples.
pub(super) fn examples(headers: &[Header]) -> Map<String, Value> {
    let example = |header: &Header| Some((header.name.to_owned(), json!(header.example?)));
    headers.iter().filter_map(example).collect()
}
