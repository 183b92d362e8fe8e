//! The delivery's own id and the event's id, both from the delivery alone.
//!
//! The same bytes always give the same id: duplicates are recognised by it, across restarts and bridges. A body whose
//! encoding is to be undone first is looked into only where that gives little, and only one at a time, so that what it
//! takes of memory stays small, however many come and however well they are compressed.

use std::sync::{Mutex, PoisonError};

use crate::dialect::encoding;
use crate::event::json::peek_id;

/// The delivery's own id: the body's top-level `id` if it can be seen and fits, else one made from the hash of the body as
/// it was sent.
pub(super) fn own_id(body: &[u8], encodings: Option<&str>, hash: &[u8; 32]) -> String {
    let seen = if encodings.is_some_and(encoding::is_encoded) {
        let _alone = PEEK.lock().unwrap_or_else(PoisonError::into_inner);
        let decoded = encoding::decode(body, encodings, MOST_DECODED_BYTES);
        decoded.ok().and_then(|decoded| peek_id(&decoded))
    } else {
        peek_id(body)
    };
    seen.unwrap_or_else(|| {
        let digits = hash.split_at(16).0;
        format!("sha256-{}", hex::encode(digits))
    })
}

/// The event's id when another body came under the same delivery id before.
pub(super) fn with_hash(own_id: &str, hash: &[u8; 32]) -> String {
    format!("{own_id}-{}", hex::encode(hash.split_at(4).0))
}

/// The delivery's own id again, from an event id that [`with_hash`] may have made.
pub(super) fn without_hash<'a>(event_id: &'a str, hash: &[u8]) -> Option<&'a str> {
    let suffix = hex::encode(hash.get(..4)?);
    event_id.strip_suffix(&suffix)?.strip_suffix('-')
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
        let hash = [0xab; 32];
        let made = format!("sha256-{}", "ab".repeat(16));
        for (body, expected) in [
            (
                r#"{"id":"69fd96578d7c3809f58ce555"}"#,
                "69fd96578d7c3809f58ce555",
            ),
            (r#"{"x":{"id":"inner"},"id":"a b"}"#, "a b"),
            (r#"{"id":"first","id":"last"}"#, "last"),
            (r#"{"x":{"id":"inner"}}"#, made.as_str()),
            (r#"{"id":7}"#, &made),
            (r#"{"id":""}"#, &made),
            (r#"{"id":"ä"}"#, &made),
            (r#"{"id":"a\nb"}"#, &made),
            ("not json", &made),
            ("", &made),
        ] {
            assert_eq!(own_id(body.as_bytes(), None, &hash), expected, "{body}");
        }
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(129));
        assert_eq!(own_id(long.as_bytes(), None, &hash), made);
    }

    #[test]
    fn an_id_is_seen_through_an_encoding_that_gives_little() {
        let hash = [0xab; 32];
        let made = format!("sha256-{}", "ab".repeat(16));
        let plain = br#"{"id":"x"}"#.to_vec();
        let filled = |length: usize| format!(r#"{{"id":"x"{}}}"#, " ".repeat(length - 10));
        let most = filled(MOST_DECODED_BYTES).into_bytes();
        let more = filled(MOST_DECODED_BYTES + 1).into_bytes();
        for (body, encodings, expected) in [
            (plain.clone(), "identity", "x"),
            (plain.clone(), "", "x"),
            (plain.clone(), " Identity , ", "x"),
            (more.clone(), "identity", "x"),
            (gzip(&plain), "gzip", "x"),
            (gzip(&gzip(&plain)), "gzip, x-gzip", "x"),
            (gzip(&most), "gzip", "x"),
            (gzip(&more), "gzip", &made),
            (plain.clone(), "gzip", &made),
            (plain, "br", &made),
        ] {
            assert_eq!(
                own_id(&body, Some(encodings), &hash),
                expected,
                "{encodings}"
            );
        }
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_hash_can_be_taken_off_again() {
        let hash = [0xab; 32];
        let id = with_hash("call-1", &hash);
        assert_eq!(id, "call-1-abababab");
        assert_eq!(without_hash(&id, &hash), Some("call-1"));
        assert_eq!(without_hash("call-1", &hash), None);
    }
}
