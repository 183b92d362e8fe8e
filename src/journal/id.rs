//! The delivery's own id and the event's id, both from the raw body alone.
//!
//! Pure. The same bytes always give the same id: duplicates are recognised by it, across restarts and bridges.

use crate::event::json::peek_id;

/// The delivery's own id: the body's top-level `id` if it fits, else one made from the body's hash.
pub(super) fn own_id(body: &[u8], hash: &[u8; 32]) -> String {
    peek_id(body).unwrap_or_else(|| {
        let digits = hash.split_at(16).0;
        format!("sha256-{}", hex::encode(digits))
    })
}

/// An id made from the hash, for a body that cannot be looked into before its encoding is undone.
pub(super) fn hash_id(hash: &[u8; 32]) -> String {
    own_id(&[], hash)
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

#[cfg(test)]
mod tests {
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
            assert_eq!(own_id(body.as_bytes(), &hash), expected, "{body}");
        }
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(129));
        assert_eq!(own_id(long.as_bytes(), &hash), made);
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
