//! The pure parts of the road, each as something that can be done again and again: verify, peek, parse, serialize.
//!
//! Bodies are recorded ones of the fixtures, so that each is the same at every run; the one of 6 KiB is a recorded one with
//! more of the same conversation.

use std::hint::black_box;
use std::path::Path;

use atoms_kafka_bridge::config::{Ack, Webhook};
use atoms_kafka_bridge::dialect::{self, Arrival};
use atoms_kafka_bridge::event::Origin;
use atoms_kafka_bridge::event::json::Document;
use atoms_kafka_bridge::receive::delivery::{Delivery, KeptHeaders, WebhookName};
use atoms_kafka_bridge::route::{self, Place};
use atoms_kafka_bridge::time::Timestamp;
use atoms_kafka_bridge::verify::secret::Secret;
use atoms_kafka_bridge::verify::{VerifiedDelivery, Verifier, verify};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;

/// A part of the road with a body.
pub(crate) struct Piece {
    /// What is done.
    pub(crate) part: &'static str,
    /// With which body.
    pub(crate) body: &'static str,
    /// How long that is.
    pub(crate) bytes: usize,
    run: Box<dyn Fn()>,
}

impl Piece {
    /// Does it once.
    pub(crate) fn run(&self) {
        (self.run)();
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Piece> {
    let bodies = [
        ("6 KiB", six_kib()),
        ("pre-conversation", recorded("envelope/pre-conversation")),
        ("envelope", recorded("envelope/post-conversation")),
        ("two-event", recorded("two-event/analytics-completed")),
        ("settings", recorded("settings/end")),
        ("flat", recorded("flat/call-end")),
    ];
    bodies
        .iter()
        .flat_map(|(name, body)| pieces(name, body))
        .collect()
}

fn pieces(name: &'static str, body: &Bytes) -> Vec<Piece> {
    let piece = |part, run| Piece {
        part,
        body: name,
        bytes: body.len(),
        run,
    };
    let signed = Signed::new(body.clone());
    let [peeked, parsed, serialized] = [body.clone(), body.clone(), body.clone()];
    let arrival = Arrival {
        webhook: "default",
        id: "69fd96578d7c3809f58ce555",
        received_at: Timestamp::from_unix_ms(1_778_226_775_412),
        origin: Origin::Webhook,
    };
    let scan = move || {
        let document = Document::parse(black_box(&peeked)).expect("JSON");
        black_box(document.id());
    };
    let found = |body: &[u8]| Document::parse(body).expect("JSON").into_scanned();
    let (scanned, scanned_too) = (found(body), found(body));
    let parse = move || {
        let document = Document::again(black_box(&parsed), &scanned).expect("JSON");
        black_box(dialect::parse(&document, &arrival).expect("an event"));
    };
    let road = move || {
        let document = Document::again(black_box(&serialized), &scanned_too).expect("JSON");
        let event = dialect::parse(&document, &arrival).expect("an event");
        black_box(route::event(&event, "atoms.", &PLACE, None));
    };
    vec![
        piece("verify", Box::new(move || drop(black_box(signed.verify())))),
        piece("scan, and the id", Box::new(scan)),
        piece("parse", Box::new(parse)),
        piece("parse, serialize, headers", Box::new(road)),
    ]
}

/// A delivery that proves itself.
pub(crate) struct Signed {
    verifier: Verifier,
    headers: HeaderMap,
    body: Bytes,
}

impl Signed {
    pub(crate) fn new(body: Bytes) -> Self {
        let webhook = Webhook {
            name: name(),
            secrets: vec![Secret::new(SECRET).expect("not empty")],
            header: None,
            topic_prefix: None,
            ack: Ack::Journal,
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any length");
        mac.update(&body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let mut headers = HeaderMap::new();
        headers.insert("x-signature", signature.parse().expect("hex"));
        Self {
            verifier: Verifier::new(&webhook),
            headers,
            body,
        }
    }

    pub(crate) fn verify(&self) -> VerifiedDelivery {
        let delivery = Delivery {
            webhook: name(),
            received_at: Timestamp::from_unix_ms(1_778_226_775_412),
            headers: KeptHeaders::default(),
            body: self.body.clone(),
        };
        verify(delivery, black_box(&self.headers), &self.verifier).expect("it is signed")
    }
}

fn name() -> WebhookName {
    WebhookName::parse("default").expect("a name")
}

/// A recorded body.
pub(crate) fn recorded(case: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(case);
    std::fs::read(path.join("body.json"))
        .expect("a fixture")
        .into()
}

/// A recorded call of ordinary size.
pub(crate) fn six_kib() -> Bytes {
    let recorded = recorded("envelope/post-conversation");
    let mut body: Value = serde_json::from_slice(&recorded).expect("JSON");
    let turns = body
        .pointer_mut("/metadata/transcript")
        .and_then(Value::as_array_mut);
    let turns = turns.expect("a transcript");
    let said = turns.clone();
    let missing = 6 * 1024 - recorded.len();
    let bytes: usize = said.iter().map(|turn| turn.to_string().len() + 1).sum();
    turns.extend(
        said.iter()
            .cycle()
            .take(said.len() * missing / bytes)
            .cloned(),
    );
    body.to_string().into()
}

const SECRET: &[u8] = b"a secret for benchmarks, long enough";
const PLACE: Place = Place {
    journal: Uuid::from_u128(1),
    out_seq: 42,
    partitions: 6,
};
