//! Writes an event as JSON, byte for byte as its derived `Serialize` would, for a fraction of the time: most texts of an event
//! have nothing to escape, which is seen many bytes at a time, and raw JSON is not read again.
//!
//! Every struct is taken apart whole, so that a new field does not compile before it is written here; tests hold both
//! writers against each other.

use std::borrow::Cow;

use super::json::is_plain;
use super::raw::Raw;
use super::{Analytics, Call, Event, Metric, Source, Turn};
use crate::time::Timestamp;

/// A member's name as it stands behind another member.
macro_rules! name {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// Appends the event to `out`.
pub fn write(event: &Event<'_>, out: &mut Vec<u8>) {
    let Event {
        id,
        event_type,
        schema_version,
        call_id,
        agent_id,
        agent_name,
        stage,
        occurred_at,
        received_at,
        source,
        call,
        transcript,
        variables,
        analytics,
        tags,
        unmapped,
    } = event;
    let mut object = Object::begin(out);
    object.text(name!("id"), id);
    object.text(name!("type"), event_type);
    object.number(name!("schemaVersion"), u64::from(*schema_version));
    object.text(name!("callId"), call_id);
    object.text_if(name!("agentId"), agent_id);
    object.text_if(name!("agentName"), agent_name);
    if let Some(stage) = stage {
        object.number(name!("stage"), u64::from(*stage));
    }
    object.time(name!("occurredAt"), *occurred_at);
    object.time(name!("receivedAt"), *received_at);
    write_source(source, object.name(name!("source")));
    if let Some(call) = call {
        write_call(call, object.name(name!("call")));
    }
    if let Some(turns) = transcript {
        write_list(turns, object.name(name!("transcript")), write_turn);
    }
    object.raw_if(name!("variables"), variables);
    if let Some(analytics) = analytics {
        write_analytics(analytics, object.name(name!("analytics")));
    }
    if let Some(tags) = tags {
        write_list(tags, object.name(name!("tags")), |tag, out| {
            write_text(tag, out)
        });
    }
    if !unmapped.is_empty() {
        let mut members = Object::begin(object.name(name!("unmapped")));
        for (pointer, value) in unmapped {
            members.separate();
            write_text(pointer, members.out);
            members.out.push(b':');
            members.out.extend_from_slice(value.json().as_bytes());
        }
        members.end();
    }
    object.end();
}

fn write_source(source: &Source<'_>, out: &mut Vec<u8>) {
    let Source {
        webhook,
        dialect,
        origin,
        event,
        replaces,
        url,
        description,
    } = source;
    let mut object = Object::begin(out);
    object.text(name!("webhook"), webhook);
    object.text(name!("dialect"), dialect);
    object.text(name!("origin"), origin);
    object.text_if(name!("event"), event);
    object.text_if(name!("replaces"), replaces);
    object.text_if(name!("url"), url);
    object.text_if(name!("description"), description);
    object.end();
}

fn write_call(call: &Call<'_>, out: &mut Vec<u8>) {
    let Call {
        channel,
        direction,
        from_number,
        to_number,
        user_number,
        agent_number,
        status,
        disposition,
        duration_seconds,
        created_at,
        answered_at,
        ended_at,
        recording_url,
        recording_dual_url,
        end_reason,
        failure_reason,
        cost,
        is_test,
        retry_call_id,
        retry_attempt,
    } = call;
    let mut object = Object::begin(out);
    object.text_if(name!("channel"), channel);
    object.word_if(name!("direction"), *direction);
    object.text_if(name!("fromNumber"), from_number);
    object.text_if(name!("toNumber"), to_number);
    object.text_if(name!("userNumber"), user_number);
    object.text_if(name!("agentNumber"), agent_number);
    object.text_if(name!("status"), status);
    object.text_if(name!("disposition"), disposition);
    object.raw_if(name!("durationSeconds"), duration_seconds);
    object.time_if(name!("createdAt"), *created_at);
    object.time_if(name!("answeredAt"), *answered_at);
    object.time_if(name!("endedAt"), *ended_at);
    object.text_if(name!("recordingUrl"), recording_url);
    object.text_if(name!("recordingDualUrl"), recording_dual_url);
    object.text_if(name!("endReason"), end_reason);
    object.text_if(name!("failureReason"), failure_reason);
    object.raw_if(name!("cost"), cost);
    if let Some(is_test) = is_test {
        let word: &[u8] = if *is_test { b"true" } else { b"false" };
        object.name(name!("isTest")).extend_from_slice(word);
    }
    object.text_if(name!("retryCallId"), retry_call_id);
    object.raw_if(name!("retryAttempt"), retry_attempt);
    object.end();
}

fn write_turn(turn: &Turn<'_>, out: &mut Vec<u8>) {
    let Turn {
        role,
        content,
        timestamp,
    } = turn;
    let mut object = Object::begin(out);
    object.text_if(name!("role"), role);
    object.text_if(name!("content"), content);
    object.time_if(name!("timestamp"), *timestamp);
    object.end();
}

fn write_analytics(analytics: &Analytics<'_>, out: &mut Vec<u8>) {
    let Analytics { summary, metrics } = analytics;
    let mut object = Object::begin(out);
    object.text_if(name!("summary"), summary);
    if let Some(metrics) = metrics {
        write_list(metrics, object.name(name!("metrics")), write_metric);
    }
    object.end();
}

fn write_metric(metric: &Metric<'_>, out: &mut Vec<u8>) {
    let Metric {
        identifier,
        category,
        metric_type,
        value,
        value_text,
        confidence,
        reasoning,
        prompt,
    } = metric;
    let mut object = Object::begin(out);
    object.text_if(name!("identifier"), identifier);
    object.word_if(name!("category"), *category);
    object.text_if(name!("type"), metric_type);
    object.raw_if(name!("value"), value);
    object.text_if(name!("valueText"), value_text);
    object.raw_if(name!("confidence"), confidence);
    object.text_if(name!("reasoning"), reasoning);
    object.text_if(name!("prompt"), prompt);
    object.end();
}

fn write_list<T>(list: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (at, element) in list.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing a string to memory cannot fail.
        serde_json::to_writer(out, text).unwrap_or_default();
    }
}

/// An object that is being written. Names are given without anything to escape.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            out,
            is_empty: true,
        }
    }

    fn end(self) {
        self.out.push(b'}');
    }

    fn separate(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
    }

    /// Writes a member's name, as [`name!`] has it; its value goes to what comes back.
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        let comma = usize::from(std::mem::take(&mut self.is_empty));
        let name = name.as_bytes().get(comma..).unwrap_or_default();
        self.out.extend_from_slice(name);
        self.out
    }

    fn text(&mut self, name: &str, text: &str) {
        write_text(text, self.name(name));
    }

    fn text_if(&mut self, name: &str, text: &Option<Cow<'_, str>>) {
        self.word_if(name, text.as_deref());
    }

    fn word_if(&mut self, name: &str, word: Option<&str>) {
        if let Some(word) = word {
            self.text(name, word);
        }
    }

    fn raw_if(&mut self, name: &str, raw: &Option<Raw<'_>>) {
        if let Some(raw) = raw {
            self.name(name).extend_from_slice(raw.json().as_bytes());
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        let digits = number.to_string();
        self.name(name).extend_from_slice(digits.as_bytes());
    }

    fn time(&mut self, name: &str, time: Timestamp) {
        let mut quoted = [b'"'; 26];
        if let Some(inner) = quoted.get_mut(1..25) {
            inner.copy_from_slice(&time.text());
        }
        self.name(name).extend_from_slice(&quoted);
    }

    fn time_if(&mut self, name: &str, time: Option<Timestamp>) {
        if let Some(time) = time {
            self.time(name, time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Every field, with texts that have something to escape and texts that have not.
    #[test]
    fn both_writers_write_the_same() {
        for text in [
            "plain",
            "",
            "with \"quotes\"",
            "line\nbreak\u{1}",
            "back\\slash",
            "नमस्ते 🙂 \u{7f}\u{2028}",
        ] {
            let event = event(text);
            let mut written = Vec::new();
            write(&event, &mut written);
            let derived = serde_json::to_string(&event).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), derived);
        }
    }

    fn event(text: &str) -> Event<'_> {
        let said = || Some(Cow::Borrowed(text));
        let raw = || Some(Raw::of("1.50"));
        let time = Timestamp::from_unix_ms(1_778_226_775_412);
        Event {
            id: text.into(),
            event_type: text.into(),
            schema_version: Event::SCHEMA_VERSION,
            call_id: text.into(),
            agent_id: said(),
            agent_name: said(),
            stage: Some(2),
            occurred_at: time,
            received_at: time,
            source: Source {
                webhook: text.into(),
                dialect: "envelope",
                origin: "webhook",
                event: said(),
                replaces: said(),
                url: said(),
                description: said(),
            },
            call: Some(Call {
                channel: said(),
                direction: Some("inbound"),
                from_number: said(),
                to_number: said(),
                user_number: said(),
                agent_number: said(),
                status: said(),
                disposition: said(),
                duration_seconds: raw(),
                created_at: Some(time),
                answered_at: Some(time),
                ended_at: Some(time),
                recording_url: said(),
                recording_dual_url: said(),
                end_reason: said(),
                failure_reason: said(),
                cost: raw(),
                is_test: Some(false),
                retry_call_id: said(),
                retry_attempt: raw(),
            }),
            transcript: Some(vec![
                Turn {
                    role: said(),
                    content: said(),
                    timestamp: Some(time),
                },
                Turn::default(),
            ]),
            variables: Some(Raw::of(r#"{"a":null}"#)),
            analytics: Some(Analytics {
                summary: said(),
                metrics: Some(vec![
                    Metric {
                        identifier: said(),
                        category: Some("success"),
                        metric_type: said(),
                        value: raw(),
                        value_text: said(),
                        confidence: raw(),
                        reasoning: said(),
                        prompt: said(),
                    },
                    Metric::default(),
                ]),
            }),
            tags: Some(vec![text.into(), "b".into()]),
            unmapped: BTreeMap::from([
                (format!("/{text}"), Raw::of("[1,{}]")),
                ("/b".to_owned(), Raw::of("null")),
            ]),
        }
    }
}
