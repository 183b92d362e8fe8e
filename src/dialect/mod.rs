//! From the bytes of a verified delivery to the canonical event: one reader for every dialect of the sender.
//!
//! Pure. Any event may carry any part, so presence decides what is copied, never the event's name. Nothing that was sent is
//! missing afterwards: what no field carries stands in `unmapped`. A value of the wrong type costs its field, not the event.

mod analytics;
pub mod api;
mod call;
pub mod encoding;
mod fit;
mod members;
mod reader;
mod transcript;

use std::borrow::Cow;

use self::fit::{filled, text, time};
use self::reader::Reader;
use crate::event::json::{Document, ParseError, Value};
use crate::event::{Event, Origin, Source, Stage};
use crate::time::Timestamp;

/// What is known of a delivery besides its body.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The webhook that received it.
    pub webhook: &'a str,
    /// The id that the journal gave it.
    pub id: &'a str,
    /// When it was complete.
    pub received_at: Timestamp,
    /// How it came here, which says what shape it has.
    pub origin: Origin,
}

/// Why a body cannot become an event; it goes to the dead-letter topic as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(#[from] ParseError),
    /// It is JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// Nothing in it says which call it belongs to.
    #[error(
        "the body has no call id; if somebody just pressed the sender's Test button, this is what it sent"
    )]
    NoCallId,
    /// It has a `Content-Encoding` that the bridge does not know.
    #[error("the Content-Encoding is none of gzip, deflate and identity")]
    UnknownEncoding,
    /// Its `Content-Encoding` cannot be undone.
    #[error("the Content-Encoding cannot be undone: the bytes are damaged")]
    DamagedEncoding,
    /// Undoing its `Content-Encoding` gives too much.
    #[error("undoing the Content-Encoding gives more than {limit_bytes} bytes")]
    TooLargeDecoded {
        /// How much is accepted.
        limit_bytes: usize,
    },
    /// Its stored checksum does not fit.
    #[error("the stored body does not have the checksum that it was stored with")]
    Damaged,
}

impl Unreadable {
    /// A stable word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not-json",
            Self::NotAnObject => "not-an-object",
            Self::NoCallId => "no-call-id",
            Self::UnknownEncoding => "unknown-content-encoding",
            Self::DamagedEncoding => "damaged-content-encoding",
            Self::TooLargeDecoded { .. } => "too-large-decoded",
            Self::Damaged => "checksum-mismatch",
        }
    }
}

/// Reads a delivery's body as the canonical event.
///
/// # Errors
///
/// When it is not an object or says nowhere which call it belongs to.
pub fn parse<'d>(
    document: &'d Document<'d>,
    arrival: &Arrival<'d>,
) -> Result<Event<'d>, Unreadable> {
    match arrival.origin {
        Origin::Webhook => parse_delivered(document, arrival),
        Origin::Reconcile(stage) => api::parse(document, arrival, stage),
    }
}

fn parse_delivered<'d>(
    document: &'d Document<'d>,
    arrival: &Arrival<'d>,
) -> Result<Event<'d>, Unreadable> {
    let mut reader = Reader::open(document).ok_or(Unreadable::NotAnObject)?;
    let call_id = reader
        .take(&CALL_ID, fit::call_id)
        .ok_or(Unreadable::NoCallId)?;
    let made_at = made_at(&call_id);
    let name = Name::read(&mut reader);
    let timestamp = reader.take(&["timestamp"], time);
    let variables = reader.take_object("variables");
    let analytics = analytics::read(&mut reader);
    let call = call::read(&mut reader, variables, made_at);
    let ended_at = call.as_ref().and_then(|call| call.ended_at);
    reader.carry_id(arrival.id);
    let occurred_at = occurred_at(
        &Times {
            timestamp,
            ended_at,
            made_at,
        },
        name.stage,
        arrival,
    );
    if timestamp.is_some_and(|sent| sent != occurred_at) {
        reader.give_back(&["timestamp"]);
    }
    Ok(Event {
        id: Cow::Borrowed(arrival.id),
        event_type: name.event_type,
        schema_version: Event::SCHEMA_VERSION,
        call_id,
        agent_id: name.agent_id,
        agent_name: reader.take(&["agentName"], text),
        stage: name.stage.map(Stage::number),
        occurred_at,
        received_at: arrival.received_at,
        source: Source {
            webhook: Cow::Borrowed(arrival.webhook),
            dialect: name.dialect,
            origin: Origin::Webhook.name(),
            event: name.event,
            replaces: None,
            url: reader.take_at_root("url", fit::url),
            description: reader.take_at_root("description", text),
        },
        call,
        transcript: transcript::read(&mut reader),
        variables: variables.map(|value| reader.raw("variables", value)),
        analytics,
        tags: tags(&mut reader),
        unmapped: reader.finish(),
    })
}

/// Which call a body says that it belongs to; `None` where [`parse`] would find none.
pub fn call_id(body: &[u8]) -> Option<String> {
    let document = Document::parse(body).ok()?;
    let call_id = Reader::open(&document)?.take(&CALL_ID, fit::call_id)?;
    Some(call_id.into_owned())
}

/// What a body says of itself, without reading all of it: as [`parse`] would, for search.
///
/// # Errors
///
/// As [`parse`].
pub fn headline(body: &[u8], origin: Origin) -> Result<Headline, Unreadable> {
    let document = Document::parse(body)?;
    if let Origin::Reconcile(stage) = origin {
        return api::headline(&document, stage);
    }
    let mut reader = Reader::open(&document).ok_or(Unreadable::NotAnObject)?;
    let call_id = reader
        .take(&CALL_ID, fit::call_id)
        .ok_or(Unreadable::NoCallId)?;
    let name = Name::read(&mut reader);
    Ok(Headline {
        call_id: call_id.into_owned(),
        agent_id: name.agent_id.map(Cow::into_owned),
        event_type: name.event_type.into_owned(),
    })
}

/// What deliveries are searched by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// The call.
    pub call_id: String,
    /// The agent that held it.
    pub agent_id: Option<String>,
    /// The event's type, in the canonical event's word.
    pub event_type: String,
}

const CALL_ID: [&str; 2] = ["callId", "call_id"];

/// What an event is called, and what that tells.
struct Name<'d> {
    event: Option<Cow<'d, str>>,
    event_type: Cow<'d, str>,
    agent_id: Option<Cow<'d, str>>,
    stage: Option<Stage>,
    dialect: &'static str,
}

impl<'d> Name<'d> {
    fn read(reader: &mut Reader<'d>) -> Self {
        let event_type = reader.take(&["eventType"], filled);
        let event = reader.take_at_root("event", text);
        let agent_id = reader.take(&["agentId", "agent_id"], filled);
        let (prefix, rest) = split_event(event.as_deref().unwrap_or_default(), agent_id.as_deref());
        let word = event_type.or_else(|| (!rest.is_empty()).then(|| Cow::Owned(rest.to_owned())));
        let word = word.unwrap_or(Cow::Borrowed(UNNAMED));
        let stage = Stage::parse(&word);
        Self {
            agent_id: agent_id.or_else(|| prefix.map(|prefix| Cow::Owned(prefix.to_owned()))),
            dialect: dialect(reader, &word),
            event,
            event_type: stage.map_or(word, |stage| Cow::Borrowed(stage.name())),
            stage,
        }
    }
}

/// The type of an event that the sender did not name.
const UNNAMED: &str = "unnamed";

/// Splits `{agentId}.{eventType}`; a name without an agent is all type.
///
/// Behind an agent that is known as one stands the type, in any spelling. Any other word before a dot is an agent only
/// where the platform's own name follows: `recording.start` is no start of a call by an agent called `recording`.
fn split_event<'e>(event: &'e str, agent_id: Option<&str>) -> (Option<&'e str>, &'e str) {
    if Stage::parse(event).is_some() {
        return (None, event);
    }
    let behind = |agent: &str| event.strip_prefix(agent)?.strip_prefix('.');
    if let Some((agent_id, rest)) = agent_id.and_then(|id| Some((id, behind(id)?))) {
        return (event.get(..agent_id.len()), rest);
    }
    let known = event.split_once('.');
    let known = known.filter(|(prefix, _)| is_object_id(prefix));
    let named = event.rsplit_once('.');
    let named = named.filter(|(prefix, rest)| !prefix.is_empty() && is_platforms_name(rest));
    match known.or(named) {
        Some((agent, rest)) => (Some(agent), rest),
        None => (None, event),
    }
}

fn is_platforms_name(word: &str) -> bool {
    let mut names = Stage::ALL.iter().map(|stage| stage.name());
    names.any(|name| name.eq_ignore_ascii_case(word))
}

fn dialect(reader: &Reader<'_>, word: &str) -> &'static str {
    let settings = ["start", "end", "analytics completed"];
    if reader.has_metadata() {
        "envelope"
    } else if settings.contains(&word.to_ascii_lowercase().as_str()) {
        "settings"
    } else {
        "flat"
    }
}

/// The times that an event may have happened at.
struct Times {
    timestamp: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    made_at: Option<Timestamp>,
}

/// The event's own time; nothing of a call happens before the call was made.
fn occurred_at(times: &Times, stage: Option<Stage>, arrival: &Arrival<'_>) -> Timestamp {
    let ended_at = times
        .ended_at
        .filter(|_| stage == Some(Stage::PostConversation));
    let own = times
        .timestamp
        .or(ended_at)
        .or_else(|| object_id_time(arrival.id))
        .unwrap_or(arrival.received_at);
    times.made_at.map_or(own, |made_at| own.max(made_at))
}

/// The second in which a 24-digit object id was made: its first 8 hex digits. The journal adds a hash to an id that it
/// knew with another body.
fn object_id_time(id: &str) -> Option<Timestamp> {
    let sent = id.split_once('-').map_or(id, |(sent, _)| sent);
    let second = is_object_id(sent).then(|| sent.get(..8))??;
    Some(Timestamp::from_unix_ms(
        i64::from_str_radix(second, 16).ok()? * 1000,
    ))
}

fn is_object_id(id: &str) -> bool {
    id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The milliseconds inside `CALL-{13 digits}-{hex}`: when the call was made or queued.
pub fn made_at(call_id: &str) -> Option<Timestamp> {
    let (digits, _) = call_id.strip_prefix("CALL-")?.split_once('-')?;
    let exact = digits.len() == 13 && digits.bytes().all(|b| b.is_ascii_digit());
    Some(Timestamp::from_unix_ms(
        exact.then(|| digits.parse().ok())??,
    ))
}

fn tags<'d>(reader: &mut Reader<'d>) -> Option<Vec<Cow<'d, str>>> {
    let (pointer, list) = reader.take_array("tags")?;
    let mut tags = Vec::new();
    for (position, element) in list.elements().enumerate() {
        match reader.element(&pointer, position, element, text) {
            Some(tag) => tags.push(tag),
            None => reader.keep(format!("{pointer}/{position}"), element),
        }
    }
    Some(tags)
}

/// The value of a member of an object, if there is one of that name.
fn member<'d>(object: Value<'d>, name: &str) -> Option<Value<'d>> {
    object
        .members()
        .filter(|(key, _)| key.text().is_some_and(|key| key == name))
        .last()
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
