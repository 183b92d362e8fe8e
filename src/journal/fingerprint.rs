//! Which bodies are the same: 128 bits of XXH3, which costs a tenth of SHA-256 over the same bytes.
//!
//! It only ever compares deliveries of one webhook under one id, all of them signed. Two bodies that meet in it by chance are as
//! good as impossible; who can make some on purpose can sign, and would lose a delivery of his own. What people see of a hash,
//! in ids, is SHA-256 and computed when it is needed.

use sha2::{Digest, Sha256};
use twox_hash::XxHash3_128;

/// A body's fingerprint, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; LENGTH]);

impl Fingerprint {
    pub(super) fn of(body: &[u8]) -> Self {
        let mut stored = [KIND; LENGTH];
        let hash = XxHash3_128::oneshot(body).to_be_bytes();
        if let Some((_, rest)) = stored.split_first_mut() {
            rest.copy_from_slice(&hash);
        }
        Self(stored)
    }

    pub(super) fn stored(&self) -> &[u8] {
        &self.0
    }

    /// Whether what is stored is of this body, of which this is the fingerprint.
    pub(super) fn is_stored(&self, stored: &[u8], body: &[u8]) -> bool {
        if stored.len() == OLD_LENGTH {
            return sha256(body).starts_with(stored);
        }
        stored == self.0
    }
}

/// As `seen` has it, from what its delivery has: the whole, or the half of what the first formats stored.
pub(super) fn in_seen(of_delivery: &[u8]) -> &[u8] {
    if of_delivery.len() == 2 * OLD_LENGTH {
        return of_delivery.split_at(OLD_LENGTH).0;
    }
    of_delivery
}

/// The hash that ids are made with.
pub(super) fn sha256(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// Before the hash, so that another kind can follow.
const KIND: u8 = 1;
const LENGTH: usize = 17;
/// The first formats had half of the SHA-256.
const OLD_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_known_by_either_kind_and_no_other_body_is() {
        let print = Fingerprint::of(b"one");
        let old = sha256(b"one");
        assert!(print.is_stored(print.stored(), b"one"));
        assert!(print.is_stored(in_seen(&old), b"one"));
        let other = Fingerprint::of(b"another");
        assert!(!other.is_stored(print.stored(), b"another"));
        assert!(!other.is_stored(in_seen(&old), b"another"));
        assert!(!print.is_stored(b"", b"one"));
        assert_eq!(in_seen(print.stored()), print.stored());
    }

    /// What is on disk must mean the same to every version, and on every processor.
    #[test]
    fn the_hash_is_xxh3() {
        let body: Vec<u8> = (0..=255).cycle().take(6000).collect();
        assert_eq!(
            hex::encode(Fingerprint::of(b"").stored()),
            "0199aa06d3014798d86001c324468d497f"
        );
        assert_eq!(Fingerprint::of(&body), Fingerprint::of(&body.clone()));
    }
}
