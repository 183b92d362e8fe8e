//! What the load generator sends: bodies like the sender's, each with an id and a call of its own, signed for next to nothing.
//!
//! All but the last hundred bytes of a body are the same each time, and hashed once: signing a request anew costs the
//! generator a fraction of a microsecond, of which a machine with few cores has none to spare. To the receiver the place of
//! the ids makes no difference, since it must hash and read the whole.

use atoms_kafka_bridge::event::Stage;
use atoms_kafka_bridge::sender::samples::{Dialect, call};
use atoms_kafka_bridge::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::bridge::SECRET;

/// A request that is the same each time but for its ids.
#[derive(Clone)]
pub(crate) struct Template {
    /// The body without its end.
    pub(crate) fixed: Vec<u8>,
    signing: Hmac<Sha256>,
}

/// What is different in each request.
pub(crate) struct Own {
    /// The request's header.
    pub(crate) head: String,
    /// The end of the body.
    pub(crate) end: String,
    pub(crate) signature: String,
}

impl Template {
    /// A delivery of this kind whose body has about so many bytes; at least what the sample has by itself.
    pub(crate) fn new(stage: Stage, bytes: usize) -> Self {
        let fixed = fixed(stage, bytes.saturating_sub(END_BYTES));
        let mut signing =
            Hmac::new_from_slice(SECRET.as_bytes()).expect("HMAC takes keys of any length");
        signing.update(&fixed);
        Self { fixed, signing }
    }

    /// The request of this number.
    pub(crate) fn request(&self, number: u64, call: u64, now_ms: i64) -> Own {
        let second = now_ms / 1000;
        let end = format!(
            r#""callId":"CALL-{now_ms:013}-{call:012x}"}},"id":"{second:08x}{number:016x}"}}"#
        );
        let mut signing = self.signing.clone();
        signing.update(end.as_bytes());
        let signature = hex::encode(signing.finalize().into_bytes());
        let length = self.fixed.len() + end.len();
        let head = format!(
            "POST /webhooks/default HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
             user-agent: Atoms-Webhook/1.0\r\nx-signature: {signature}\r\ncontent-length: {length}\r\n\r\n"
        );
        Own {
            head,
            end,
            signature,
        }
    }
}

/// The body up to the ids: an object that is open in `metadata`.
fn fixed(stage: Stage, bytes: usize) -> Vec<u8> {
    let samples = call(Dialect::Envelope, 0, Timestamp::now());
    let sample = samples.iter().find(|sample| sample.stage == stage);
    let sample = sample.expect("the envelope has all three");
    let mut body: Value = serde_json::from_str(&sample.body).expect("a sample is JSON");
    let mut metadata = body.get_mut("metadata").expect("metadata").take();
    let outer = body.as_object_mut().expect("an object");
    outer.remove("id");
    outer.remove("metadata");
    metadata
        .as_object_mut()
        .expect("an object")
        .remove("callId");
    let outer = body.to_string();
    let missing = bytes.saturating_sub(outer.len() + metadata.to_string().len());
    if let Some(transcript) = metadata.get_mut("transcript") {
        lengthen(transcript, missing);
    }
    let open = |object: String| object.trim_end_matches('}').to_owned();
    let metadata = metadata.to_string();
    let inner = metadata.get(1..metadata.len() - 1).expect("braces");
    format!(r#"{},"metadata":{{{inner},"#, open(outer)).into_bytes()
}

/// More of the conversation, turn by turn, and the last one cut to fit.
fn lengthen(transcript: &mut Value, missing: usize) {
    let turns = transcript.as_array_mut().expect("a list");
    let said = turns.clone();
    let mut left = missing;
    for turn in said.iter().cycle() {
        let bytes = turn.to_string().len() + 1;
        if left < bytes {
            break;
        }
        left -= bytes;
        turns.push(turn.clone());
    }
    let shortest = json!({"content": "", "role": "agent"}).to_string().len() + 1;
    if left > shortest {
        turns.push(json!({"content": "a".repeat(left - shortest), "role": "agent"}));
    }
}

/// About what the ids take.
const END_BYTES: usize = 85;
