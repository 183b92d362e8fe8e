//! What was mapped where, found out by experiment: a field is renamed to a word that nobody knows, and what the canonical
//! event then lacks is what the field gave it.
//!
//! So this says what the reader does, not what somebody believes that it does, and costs the reader nothing. A field
//! that gives nothing and is not in `unmapped` says what another says too. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::event;
use crate::dialect::{Arrival, Unreadable};
use crate::event::json::{Document, Kind, Value, push_token};

/// By JSON Pointer into the body: the canonical event's fields that a value gives, by their dotted names.
pub(super) type Mapping = BTreeMap<String, Vec<String>>;

/// The mapping of a body that is an event; without what could not be tried in time.
pub(super) fn of(body: &[u8], arrival: &Arrival<'_>) -> Mapping {
    let mut mapping = Mapping::new();
    let (Ok(text), Ok(document)) = (std::str::from_utf8(strip_mark(body)), Document::parse(body))
    else {
        return mapping;
    };
    let Ok(event) = event::read(body, arrival, event::written) else {
        return mapping;
    };
    let Ok(event) = Document::parse(event.as_bytes()) else {
        return mapping;
    };
    let mut lab = Lab {
        text,
        arrival,
        event: event.root(),
        until: Instant::now() + PATIENCE,
    };
    if body.len() <= LARGEST_BODY {
        lab.explore(document.root(), "", 0, &mut mapping);
    }
    mapping
}

struct Lab<'l> {
    text: &'l str,
    arrival: &'l Arrival<'l>,
    event: Value<'l>,
    until: Instant,
}

impl Lab<'_> {
    fn explore(&mut self, object: Value<'_>, pointer: &str, depth: usize, mapping: &mut Mapping) {
        for (name, key, value) in object.last_members() {
            if Instant::now() > self.until {
                return;
            }
            let mut at = pointer.to_owned();
            push_token(&mut at, &name);
            let gives = self.gives(&at, key);
            if value.kind() == Kind::Object
                && depth < DEEPEST
                && !self.is_carried_whole(value, &gives)
            {
                self.explore(value, &at, depth + 1, mapping);
            } else {
                mapping.insert(at, gives);
            }
        }
    }

    /// What the event lacks when the member of this key is not there.
    fn gives(&self, pointer: &str, key: Value<'_>) -> Vec<String> {
        // The journal read it before anybody else, and keeps it.
        if pointer == "/id" && key.raw() == "\"id\"" {
            return vec!["id".to_owned()];
        }
        let Some(without) = self.without(key) else {
            return Vec::new();
        };
        match event::read(without.as_bytes(), self.arrival, event::written) {
            Ok(written) => {
                let mut lost = Vec::new();
                if let Ok(document) = Document::parse(written.as_bytes()) {
                    compare(self.event, document.root(), "", &mut lost);
                }
                lost
            }
            Err(Unreadable::NoCallId) => vec!["callId".to_owned()],
            Err(_) => Vec::new(),
        }
    }

    /// The body with another key in that place.
    fn without(&self, key: Value<'_>) -> Option<String> {
        let raw = key.raw();
        // Where the key stands in the text that it is a part of.
        let start = (raw.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let (before, rest) = self.text.split_at_checked(start)?;
        let behind = rest.strip_prefix(raw)?;
        Some([before, UNKNOWN_KEY, behind].concat())
    }

    /// Whether an object is in the event as it is, as variables are.
    fn is_carried_whole(&self, value: Value<'_>, gives: &[String]) -> bool {
        let [path] = gives else {
            return false;
        };
        let mut at = self.event;
        for name in path.split('.') {
            let Some((_, _, inner)) = at
                .last_members()
                .into_iter()
                .find(|(text, ..)| text == name)
            else {
                return false;
            };
            at = inner;
        }
        at.same_as(value)
    }
}

/// The fields of `whole` that `other` lacks or has otherwise; `unmapped` is told by itself.
fn compare(whole: Value<'_>, other: Value<'_>, path: &str, lost: &mut Vec<String>) {
    let others = other.last_members();
    for (name, _, value) in whole.last_members() {
        if path.is_empty() && name == "unmapped" {
            continue;
        }
        let at = if path.is_empty() {
            name.to_string()
        } else {
            format!("{path}.{name}")
        };
        match others.iter().find(|(text, ..)| *text == name) {
            Some((_, _, same)) if value.same_as(*same) => {}
            Some((_, _, inner)) if is_object(value) && is_object(*inner) => {
                compare(value, *inner, &at, lost);
            }
            Some(_) | None => lost.push(at),
        }
    }
}

fn is_object(value: Value<'_>) -> bool {
    value.kind() == Kind::Object
}

fn strip_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

const UNKNOWN_KEY: &str = "\"~left~out~\"";
/// The sender's fields lie at most so deep; what lies deeper goes with what it lies in.
const DEEPEST: usize = 4;
const LARGEST_BODY: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_millis(40);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;
    use crate::time::Timestamp;

    fn mapped(body: &str) -> Mapping {
        of(
            body.as_bytes(),
            &Arrival {
                webhook: "default",
                id: "delivery-1",
                received_at: Timestamp::from_unix_ms(1_778_226_800_000),
                origin: Origin::Webhook,
            },
        )
    }

    #[test]
    fn each_field_says_what_it_gives() {
        let mapping = mapped(
            r#"{"id":"delivery-1","event":"agent.post-conversation","metadata":{"agentId":"agent","callId":"CALL-1",
                "eventType":"post-conversation","callData":{"endTime":"2026-05-08T07:52:48.164Z","callDuration":49.5,"status/x":1},
                "variables":{"a":{"b":1}},"transcript":[{"role":"user","content":"yes"}],"new":{"kept":true}}}"#,
        );
        let gives = |pointer: &str| mapping.get(pointer).map(|gives| gives.join(" "));
        for (pointer, expected) in [
            ("/id", "id"),
            ("/metadata/callId", "callId"),
            ("/metadata/callData/endTime", "occurredAt call.endedAt"),
            ("/metadata/callData/callDuration", "call.durationSeconds"),
            ("/metadata/variables", "variables"),
            ("/metadata/transcript", "transcript"),
            ("/metadata/callData/status~1x", ""),
        ] {
            assert_eq!(gives(pointer).as_deref(), Some(expected), "{pointer}");
        }
        assert_eq!(gives("/metadata"), None, "what is in it is told");
        // The name of the event says both, so that neither is missed alone.
        assert_eq!(gives("/metadata/agentId").as_deref(), Some(""));
    }

    #[test]
    fn what_is_no_event_has_no_mapping() {
        for body in ["", "[]", "{}", "{\"call_id\"", "\"CALL-1\""] {
            assert_eq!(mapped(body), Mapping::new(), "{body}");
        }
    }
}
