//! The delivery's own id and the event's id, both from the delivery alone.
//!
//! The same bytes always give the same id: duplicates are recognised by it, across restarts and bridges. A body whose
//! encoding is to be undone first is looked into only where that gives little, and only one at a time, so that what it
//! takes of memory stays small, however many come and however well they are compressed.

use std::sync::{Mutex, PoisonError};

use super::fingerprint::sha256;
use crate::dialect::encoding;
use crate::event::json::Document;

/// The delivery's own id: the body's top-level `id` if it fits, else one made from the hash of the body as it was sent. A body
/// that is no JSON has no document.
pub(super) fn own_id(document: Option<&Document<'_>>, body: &[u8]) -> String {
    document.and_then(Document::id).unwrap_or_else(|| {
        let hash = sha256(body);
        format!("sha256-{}", hex::encode(hash.split_at(16).0))
    })
}

/// As [`own_id`], of a body whose encoding is to be undone first.
pub(super) fn own_id_within(encodings: Option<&str>, body: &[u8]) -> String {
    let _alone = PEEK.lock().unwrap_or_else(PoisonError::into_inner);
    let decoded = encoding::decode(body, encodings, MOST_DECODED_BYTES);
    let document = decoded
        .as_ref()
        .ok()
        .and_then(|decoded| Document::parse(decoded).ok());
    own_id(document.as_ref(), body)
}

/// The event's id when another body came under the same delivery id before.
pub(super) fn with_hash(own_id: &str, body: &[u8]) -> String {
    format!("{own_id}-{}", hex::encode(sha256(body).split_at(4).0))
}

/// The delivery's own id again, from an event id that [`with_hash`] may have made.
pub(super) fn without_hash(event_id: &str) -> Option<&str> {
    let (own_id, hash) = event_id.rsplit_once('-')?;
    let is_hex = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    (hash.len() == 8 && hash.bytes().all(is_hex)).then_some(own_id)
}

/// What is decoded to look for an id; an ordinary call has about 6 KiB.
const MOST_DECODED_BYTES: usize = 1024 * 1024;
static PEEK: Mutex<()> = Mutex::new(());

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn only_a_printable_top_level_id_is_taken() {
        for (body, expected) in [
            (
                r#"{"id":"69fd96578d7c3809f58ce555"}"#,
                Some("69fd96578d7c3809f58ce555"),
            ),
            (r#"{"x":{"id":"inner"},"id":"a b"}"#, Some("a b")),
            (r#"{"id":"first","id":"last"}"#, Some("last")),
            (r#"{"x":{"id":"inner"}}"#, None),
            (r#"{"id":7}"#, None),
            (r#"{"id":""}"#, None),
            (r#"{"id":"ä"}"#, None),
            (r#"{"id":"a\nb"}"#, None),
            (&format!(r#"{{"id":"{}"}}"#, "x".repeat(129)), None),
            ("not json", None),
            ("", None),
        ] {
            let document = Document::parse(body.as_bytes()).ok();
            let expected = expected.map_or_else(|| made(body.as_bytes()), str::to_owned);
            assert_eq!(
                own_id(document.as_ref(), body.as_bytes()),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn an_id_is_seen_through_an_encoding_that_gives_little() {
        let plain = br#"{"id":"x"}"#.to_vec();
        let filled = |length: usize| format!(r#"{{"id":"x"{}}}"#, " ".repeat(length - 10));
        let most = filled(MOST_DECODED_BYTES).into_bytes();
        let more = filled(MOST_DECODED_BYTES + 1).into_bytes();
        for (body, encodings, expected) in [
            (gzip(&plain), "gzip", Some("x")),
            (gzip(&gzip(&plain)), "gzip, x-gzip", Some("x")),
            (gzip(&most), "gzip", Some("x")),
            (gzip(&more), "gzip", None),
            (plain.clone(), "gzip", None),
            (plain, "br", None),
        ] {
            assert!(encoding::is_encoded(encodings));
            let expected = expected.map_or_else(|| made(&body), str::to_owned);
            assert_eq!(
                own_id_within(Some(encodings), &body),
                expected,
                "{encodings}"
            );
        }
        for encodings in ["identity", "", " Identity , "] {
            assert!(!encoding::is_encoded(encodings), "{encodings:?}");
        }
    }

    fn made(body: &[u8]) -> String {
        format!("sha256-{}", &hex::encode(sha256(body))[..32])
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_hash_can_be_taken_off_again() {
        let id = with_hash("call-1", b"body");
        assert_eq!(id, format!("call-1-{}", &hex::encode(sha256(b"body"))[..8]));
        assert_eq!(without_hash(&id), Some("call-1"));
        for other in ["call-1", "call-1-abababa", "call-1-ABABABAB", "abababab"] {
            assert_eq!(without_hash(other), None, "{other}");
        }
    }
}
