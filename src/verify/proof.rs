//! What a refused request showed to prove itself, in a form that can be kept and judged again.
//!
//! Signatures are kept as they were sent: they are no secrets. Of every other header that might be a second factor only a
//! keyed hash is kept, so that a value which was nearly right cannot be read from a file.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::SecondFactor;
use super::signature::{Claimed, HEADERS};

/// What a request showed, as it came; for memory only.
#[derive(Clone, Default)]
pub struct Proof {
    signatures: Vec<(String, String)>,
    /// Names, and the hashes of their values.
    factors: Vec<(String, [u8; 32])>,
    looks_signed: bool,
}

impl Proof {
    /// Takes what there is: signatures, and every header that is not known to be something else.
    pub fn of(headers: &HeaderMap) -> Self {
        let signatures = HEADERS
            .iter()
            .flat_map(|name| {
                headers
                    .get_all(*name)
                    .iter()
                    .map(move |value| (name, value))
            })
            .take(MOST_SIGNATURES)
            .map(|(name, value)| ((*name).to_owned(), cut(value)));
        let factors = headers
            .iter()
            .filter(|(name, _)| may_be_factor(name))
            .take(MOST_FACTORS)
            .map(|(name, value)| {
                let hash = Sha256::digest(value.as_bytes());
                (name.as_str().to_owned(), hash.into())
            });
        Self {
            signatures: signatures.collect(),
            factors: factors.collect(),
            looks_signed: Claimed::read(headers).is_readable(),
        }
    }

    /// Whether any signature has the form of one: without, no secret could ever have made it.
    pub fn looks_signed(&self) -> bool {
        self.looks_signed
    }

    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        let signatures = self.signatures.iter();
        let signatures = signatures.map(|(name, value)| name.len() + value.len() + PAIR_BYTES);
        let factors = self.factors.iter().map(|(name, _)| name.len() + PAIR_BYTES);
        signatures.sum::<usize>() + factors.sum::<usize>()
    }

    /// The form that may lie in a file beside its key.
    pub fn keep(&self, key: &ProofKey) -> KeptProof {
        let keyed = |(name, hash): &(String, [u8; 32])| (name.clone(), key.hash(name, hash));
        KeptProof {
            signatures: self.signatures.clone(),
            factors: self.factors.iter().map(keyed).collect(),
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

/// What a request showed, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptProof {
    /// The signature headers, as sent.
    #[serde(rename = "s")]
    signatures: Vec<(String, String)>,
    /// Names of other headers, and keyed hashes of their values in hex.
    #[serde(rename = "f")]
    factors: Vec<(String, String)>,
}

impl KeptProof {
    pub(super) fn claimed(&self) -> Claimed {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.signatures {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.append(name, value);
            }
        }
        Claimed::read(&headers)
    }

    pub(super) fn shows(&self, factor: &SecondFactor, key: &ProofKey) -> bool {
        let expected = key.hash(&factor.name, &factor.value_hash);
        let of_name = self.factors.iter().filter(|(name, _)| *name == factor.name);
        of_name.fold(false, |any, (_, kept)| {
            any | bool::from(kept.as_bytes().ct_eq(expected.as_bytes()))
        })
    }
}

/// The random key of the kept hashes.
#[derive(Clone, PartialEq, Eq)]
pub struct ProofKey([u8; 32]);

impl ProofKey {
    /// A key that was kept.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn hash(&self, name: &str, value_hash: &[u8; 32]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(name.as_bytes());
        mac.update(b"\0");
        mac.update(value_hash);
        hex::encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn cut(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    let kept = bytes.get(..SIGNATURE_BYTES).unwrap_or(bytes);
    String::from_utf8_lossy(kept).into_owned()
}

/// Everything but what HTTP, proxies and the bridge itself use.
fn may_be_factor(name: &HeaderName) -> bool {
    let name = name.as_str();
    !HEADERS.contains(&name)
        && !KNOWN.contains(&name)
        && !KNOWN_STARTS.iter().any(|start| name.starts_with(start))
}

const KNOWN: [&str; 14] = [
    "accept",
    "connection",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
const KNOWN_STARTS: [&str; 3] = ["accept-", "content-", "x-forwarded-"];
/// More than are read.
const MOST_SIGNATURES: usize = 8;
/// What a pair takes beside its texts.
const PAIR_BYTES: usize = 64;
/// Eight values with their scheme, and some room.
const SIGNATURE_BYTES: usize = 1024;
/// The sender attaches ten at most.
const MOST_FACTORS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_kept_proof_says_the_same_as_the_request() {
        let sent = headers(&[
            ("x-signature", "no hex"),
            (
                "x-atoms-signature",
                "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            ("x-api-key", "open sesame"),
        ]);
        let proof = Proof::of(&sent);
        assert!(proof.looks_signed());
        let kept = proof.keep(&ProofKey::new([7; 32]));
        assert_eq!(kept.claimed(), Claimed::read(&sent));
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("sesame"), "{text}");
        assert_eq!(serde_json::from_str::<KeptProof>(&text).unwrap(), kept);
        let hash = Sha256::digest(b"open sesame");
        assert!(!text.contains(&hex::encode(hash)), "{text}");
    }

    #[test]
    fn only_the_same_name_value_and_key_show_a_second_factor() {
        let key = ProofKey::new([7; 32]);
        let kept = Proof::of(&headers(&[
            ("x-api-key", "no"),
            ("x-api-key", "open sesame"),
        ]));
        let kept = kept.keep(&key);
        let factor = |name: &str, value: &str| SecondFactor {
            name: name.to_owned(),
            value_hash: Sha256::digest(value.as_bytes()).into(),
        };
        assert!(kept.shows(&factor("x-api-key", "open sesame"), &key));
        assert!(!kept.shows(&factor("x-api-key", "open"), &key));
        assert!(!kept.shows(&factor("x-other", "open sesame"), &key));
        let other_key = ProofKey::new([8; 32]);
        assert!(!kept.shows(&factor("x-api-key", "open sesame"), &other_key));
    }

    #[test]
    fn what_has_no_form_of_a_signature_does_not_look_signed() {
        for pairs in [&[][..], &[("x-signature", "abc")], &[("x-other", "00")]] {
            assert!(!Proof::of(&headers(pairs)).looks_signed(), "{pairs:?}");
        }
    }
}
