//! Where an event goes: topic, key, partition, headers. Pure.
//!
//! The partition is picked here and not by librdkafka, by the rule of Java's own producer, so that the keys of Kafka
//! Streams, Flink and the Java client meet these.

use std::fmt::Write as _;

use uuid::Uuid;

use crate::dialect::Unreadable;
use crate::event::schema::UNRECOGNIZED;
use crate::event::{self, Event, Stage};
use crate::receive::delivery::KeptHeaders;
use crate::time::Timestamp;

/// The end of the name of the topic for what cannot be published as an event.
pub const DEAD_LETTER: &str = "dead-letter";

/// The ends of the names of all topics of one prefix.
pub const TOPICS: [&str; 5] = [
    "pre-conversation",
    "post-conversation",
    "analytics-completed",
    UNRECOGNIZED,
    DEAD_LETTER,
];

/// What Kafka gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The topic's whole name.
    pub topic: String,
    /// The partition, by [`partition`].
    pub partition: u32,
    /// `callId`; none when nothing says it.
    pub key: Option<String>,
    /// Name and value, in order.
    pub headers: Vec<(&'static str, String)>,
    /// The header `__value_schema_id`, whose value is no text.
    pub schema_id: Option<[u8; 5]>,
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// The canonical event, or a dead letter's raw bytes.
    pub value: Vec<u8>,
}

/// What of the bridge a record tells, and how many partitions its topics have.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The journal that the delivery lies in.
    pub journal: Uuid,
    /// Its place in the order of publishing.
    pub out_seq: u64,
    /// The partition count of every topic.
    pub partitions: u32,
}

/// The record of an event on the topic of its type.
pub fn event(event: &Event<'_>, prefix: &str, place: &Place, traceparent: Option<&str>) -> Record {
    let topic = event.stage().map_or(UNRECOGNIZED, Stage::name);
    let mut value = Vec::with_capacity(VALUE_BYTES);
    event::write(event, &mut value);
    let mut headers = cloud_event(CloudEvent {
        id: &event.id,
        source: source(event.agent_id.as_deref()),
        event_type: &event.event_type,
        time: event.occurred_at,
    });
    headers.push(("ce_subject", event.call_id.clone().into_owned()));
    headers.push((
        "ce_dataschema",
        format!(
            "urn:atoms-kafka-bridge:schema:{topic}.v{}",
            event.schema_version
        ),
    ));
    headers.push(("content-type", "application/json".to_owned()));
    headers.extend(bridge(place, traceparent));
    Record {
        topic: format!("{prefix}{topic}"),
        partition: partition(event.call_id.as_bytes(), place.partitions),
        key: Some(event.call_id.clone().into_owned()),
        headers,
        schema_id: None,
        timestamp: event.received_at,
        value,
    }
}

/// Why something is a dead letter, for the record's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The stage of the road that could not go on: `parse` or `publish`.
    pub stage: &'static str,
    /// A stable word.
    pub reason: &'static str,
    /// A sentence; it quotes nothing of the body.
    pub message: String,
}

impl From<&Unreadable> for Fault {
    fn from(unreadable: &Unreadable) -> Self {
        Self {
            stage: "parse",
            reason: unreadable.reason(),
            message: unreadable.to_string(),
        }
    }
}

/// A delivery that is to be a dead letter.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// The event's id.
    pub id: &'a str,
    /// The call, if something says it.
    pub call_id: Option<&'a str>,
    /// The webhook that received it.
    pub webhook: &'a str,
    /// When it was complete.
    pub received_at: Timestamp,
    /// The request's headers.
    pub headers: &'a KeptHeaders,
    /// The raw body.
    pub body: &'a [u8],
}

/// The record of a dead letter: the raw bytes, and why.
pub fn dead_letter(letter: &Letter<'_>, fault: &Fault, prefix: &str, place: &Place) -> Record {
    let mut headers = cloud_event(CloudEvent {
        id: letter.id,
        source: source(None),
        event_type: DEAD_LETTER,
        time: letter.received_at,
    });
    let content_type = letter
        .headers
        .content_type
        .as_deref()
        .unwrap_or("application/octet-stream");
    headers.push(("content-type", content_type.to_owned()));
    if let Some(encoding) = &letter.headers.content_encoding {
        headers.push(("content-encoding", encoding.clone()));
    }
    headers.extend(bridge(place, letter.headers.traceparent.as_deref()));
    headers.push(("error.stage", fault.stage.to_owned()));
    headers.push(("error.reason", fault.reason.to_owned()));
    headers.push(("error.message", fault.message.clone()));
    headers.push(("source.webhook", letter.webhook.to_owned()));
    headers.push(("__connect.errors.stage", fault.stage.to_owned()));
    headers.push((
        "__connect.errors.exception.class.name",
        fault.reason.to_owned(),
    ));
    headers.push(("__connect.errors.exception.message", fault.message.clone()));
    headers.push(("__connect.errors.connector.name", letter.webhook.to_owned()));
    Record {
        topic: format!("{prefix}{DEAD_LETTER}"),
        partition: letter.call_id.map_or_else(
            || turn(place.out_seq, place.partitions),
            |call_id| partition(call_id.as_bytes(), place.partitions),
        ),
        key: letter.call_id.map(str::to_owned),
        headers,
        schema_id: None,
        timestamp: letter.received_at,
        value: letter.body.to_vec(),
    }
}

/// The partition that Java's own producer picks for a key.
pub fn partition(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// Records without a key take turns.
fn turn(out_seq: u64, partitions: u32) -> u32 {
    u32::try_from(out_seq % u64::from(partitions.max(1))).unwrap_or_default()
}

/// The hash that Kafka's Java client uses for keys: MurmurHash2, 32 bits, with its seed.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // Java's lengths are 32 bits wide; a key is far shorter.
    let mut hash = SEED ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let word = chunk
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u32::from(*byte));
        let mixed = word.wrapping_mul(M);
        let mixed = (mixed ^ (mixed >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ mixed;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        hash ^= rest
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The CloudEvents attributes that every record has.
struct CloudEvent<'a> {
    id: &'a str,
    source: String,
    event_type: &'a str,
    time: Timestamp,
}

fn cloud_event(event: CloudEvent<'_>) -> Vec<(&'static str, String)> {
    let mut headers = Vec::with_capacity(HEADERS);
    headers.push(("ce_specversion", "1.0".to_owned()));
    headers.push(("ce_id", event.id.to_owned()));
    headers.push(("ce_source", event.source));
    headers.push((
        "ce_type",
        format!("ai.smallest.atoms.{}.v1", event.event_type),
    ));
    headers.push(("ce_time", event.time.to_string()));
    headers
}

/// A URI reference: whatever cannot stand in a path segment is percent-encoded.
fn source(agent_id: Option<&str>) -> String {
    let mut source = "/atoms/agents".to_owned();
    let Some(agent_id) = agent_id else {
        return source;
    };
    source.push('/');
    let stands = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    if agent_id.as_bytes().iter().all(stands) {
        source.push_str(agent_id);
        return source;
    }
    for byte in agent_id.bytes() {
        if stands(&byte) {
            source.push(char::from(byte));
        } else {
            write!(source, "%{byte:02X}").unwrap_or_default();
        }
    }
    source
}

fn bridge(place: &Place, traceparent: Option<&str>) -> [(&'static str, String); 3] {
    let traceparent = traceparent
        .filter(|sent| is_traceparent(sent))
        .map(str::to_owned);
    [
        (
            "traceparent",
            traceparent.unwrap_or_else(|| made_traceparent(place)),
        ),
        ("bridge.journal", place.journal.to_string()),
        ("bridge.seq", place.out_seq.to_string()),
    ]
}

/// A trace that begins here. It is the same each time the record is sent: nothing tells an aborted one from its repeat.
fn made_traceparent(place: &Place) -> String {
    let (journal, _) = place.journal.as_u64_pair();
    let [journal, out_seq] = [journal, place.out_seq].map(|id| hex::encode(id.to_be_bytes()));
    format!("00-{journal}{out_seq}-{out_seq}-00")
}

/// W3C Trace Context: `00-{32 hex}-{16 hex}-{2 hex}`, ids not all zero.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let some = |part: &str| part.bytes().any(|b| b != b'0');
    match parts.as_slice() {
        [version, trace, parent, flags] => {
            hex(version, 2)
                && *version != "ff"
                && hex(trace, 32)
                && some(trace)
                && hex(parent, 16)
                && some(parent)
                && hex(flags, 2)
        }
        _ => false,
    }
}

/// The whole names of the topics of a prefix.
pub fn topics(prefix: &str) -> impl Iterator<Item = String> {
    TOPICS
        .into_iter()
        .map(move |topic| format!("{prefix}{topic}"))
}

/// Room for a value, so that writing it seldom moves it.
const VALUE_BYTES: usize = 8 * 1024;
/// Room for the headers of a record.
const HEADERS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        journal: Uuid::from_u128(0x0123_4567_89ab_cdef_0000_0000_0000_0001),
        out_seq: 42,
        partitions: 12,
    };

    #[test]
    fn murmur2_is_javas() {
        // From the tests of Kafka's Java client.
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
        ] {
            assert_eq!(
                murmur2(key.as_bytes()),
                u32::from_ne_bytes(hash.to_ne_bytes()),
                "{key}"
            );
        }
    }

    #[test]
    fn a_trace_is_carried_or_made() {
        let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(bridge(&PLACE, Some(sent))[0].1, sent);
        let made = "00-0123456789abcdef000000000000002a-000000000000002a-00";
        for bad in [
            None,
            Some("00-0-0-0"),
            Some(&sent.to_uppercase()[..]),
            Some("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(bridge(&PLACE, bad)[0].1, made);
        }
    }

    #[test]
    fn a_source_is_a_uri_reference() {
        assert_eq!(source(Some("69fc7dd0")), "/atoms/agents/69fc7dd0");
        assert_eq!(source(Some("a b/é")), "/atoms/agents/a%20b%2F%C3%A9");
        assert_eq!(source(None), "/atoms/agents");
    }
}
