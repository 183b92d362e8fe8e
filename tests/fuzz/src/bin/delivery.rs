//! Any body, in any encoding, becomes an event that is whole JSON, or is told apart as unreadable.
#![no_main]

use fuzz::dialect::{Arrival, encoding, parse};
use fuzz::event::json::Document;
use fuzz::event::{Origin, Stage};
use fuzz::time::Timestamp;
use serde_json::value::RawValue;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else {
        return;
    };
    let encodings = [
        None,
        None,
        None,
        Some("gzip"),
        Some("deflate"),
        Some("gzip, deflate"),
    ];
    let encoding = encodings[usize::from(*choice % 64) % encodings.len()];
    let Ok(body) = encoding::decode(body, encoding, 1 << 20) else {
        return;
    };
    let Ok(document) = Document::parse(&body) else {
        return;
    };
    let received_at = Timestamp::from_unix_ms(1_778_226_775_412);
    let arrival = Arrival {
        webhook: "default",
        id: "69fd96578d7c3809f58ce555",
        received_at,
        origin: Stage::of_number(choice / 64).map_or(Origin::Webhook, Origin::Reconcile),
    };
    let Ok(event) = parse(&document, &arrival) else {
        return;
    };
    assert!(!event.call_id.is_empty());
    let json = serde_json::to_vec(&event).expect("an event is written");
    // Both readers take it: ours, and one that refuses what is not whole.
    Document::parse(&json).expect("our own reader takes it");
    serde_json::from_slice::<&RawValue>(&json).expect("another reader takes it");
    assert!(std::str::from_utf8(&json).is_ok_and(|text| !text.contains('\n')));
});
