//! The delivery's own id and the event's id, both from the raw body alone.
//!
//! Pure. The same bytes always give the same id: duplicates are recognised by it, across restarts and bridges.

use super::fingerprint::sha256;
use crate::event::json::Document;

/// The delivery's own id: the body's top-level `id` if it fits, else one made from the body's hash. A body that is no JSON, or
/// cannot be looked into before its encoding is undone, has no document.
pub(super) fn own_id(document: Option<&Document<'_>>, body: &[u8]) -> String {
    document.and_then(Document::id).unwrap_or_else(|| {
        let hash = sha256(body);
        format!("sha256-{}", hex::encode(hash.split_at(16).0))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_printable_top_level_id_is_taken() {
        let made = |body: &str| format!("sha256-{}", &hex::encode(sha256(body.as_bytes()))[..32]);
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
            let expected = expected.map_or_else(|| made(body), str::to_owned);
            assert_eq!(
                own_id(document.as_ref(), body.as_bytes()),
                expected,
                "{body}"
            );
        }
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
