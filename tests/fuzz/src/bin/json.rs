//! What is JSON for us is JSON for serde_json, and the other way round; written again, it stays what it was.
#![no_main]

use fuzz::event::json::{Document, peek_id};
use serde_json::value::RawValue;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let _id = peek_id(body);
    let ours = Document::parse(body);
    let without_mark = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let theirs = serde_json::from_slice::<&RawValue>(without_mark);
    assert_eq!(
        ours.is_ok(),
        theirs.is_ok(),
        "{:?} {:?}",
        ours.err(),
        theirs.err()
    );
    let Ok(document) = ours else { return };
    let (mut once, mut broken) = (String::new(), Vec::new());
    document.root().write("", &mut once, &mut broken);
    let again = Document::parse(once.as_bytes()).expect("what we write is JSON");
    let mut twice = String::new();
    again.root().write("", &mut twice, &mut Vec::new());
    assert_eq!(once, twice);
});
