//! HMAC-SHA256 over the raw body: which values a request claims, and whether one of them is right.
//!
//! Comparisons take the same time wherever they differ. A secret is keyed once, when the configuration is read, and its
//! MAC computed once for a request, however many values the request claims.

use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::secret::Secret;

/// The MAC of each secret, keyed, in the order of the configuration.
#[derive(Clone)]
pub(super) struct Keys(Vec<Hmac<Sha256>>);

impl Keys {
    pub(super) fn new(secrets: &[Secret]) -> Self {
        let keyed = |secret: &Secret| {
            Hmac::new_from_slice(secret.expose()).expect("HMAC takes keys of any length")
        };
        Self(secrets.iter().map(keyed).collect())
    }

    /// The place of the first secret that made any of the claimed values.
    pub(super) fn signer(&self, body: &[u8], claimed: &Claimed) -> Option<usize> {
        if claimed.values.is_empty() {
            return None;
        }
        self.0.iter().position(|key| {
            let mut mac = key.clone();
            mac.update(body);
            let expected = mac.finalize().into_bytes();
            claimed.contain(&expected)
        })
    }
}

/// The signatures that a request claims.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Claimed {
    /// Whether there was any value, readable or not.
    pub(super) any: bool,
    /// The readable ones.
    values: Vec<[u8; 32]>,
}

impl Claimed {
    /// Reads both headers, each repeated or with a comma-separated list; values after the eighth are ignored.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut claimed = Self::default();
        let values = HEADERS
            .iter()
            .flat_map(|name| headers.get_all(*name))
            .flat_map(|list| list.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|value| !value.is_empty());
        for value in values.take(MOST_VALUES) {
            claimed.any = true;
            claimed.values.extend(read_value(value));
        }
        claimed
    }

    /// Whether any value has the form of a signature.
    pub(super) fn is_readable(&self) -> bool {
        !self.values.is_empty()
    }

    /// Compares with every value, whichever matches.
    fn contain(&self, expected: &[u8]) -> bool {
        let matches = |value: &[u8; 32]| value.as_slice().ct_eq(expected);
        self.values
            .iter()
            .map(matches)
            .fold(subtle::Choice::from(0), |any, this| any | this)
            .into()
    }
}

/// 64 hex digits in either case, with or without `sha256=`.
fn read_value(value: &[u8]) -> Option<[u8; 32]> {
    let digits = match value.split_at_checked(SCHEME.len()) {
        Some((scheme, digits)) if scheme.eq_ignore_ascii_case(SCHEME) => digits,
        Some(_) | None => value,
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

/// The current header first, then the older guide's.
pub(super) const HEADERS: [&str; 2] = ["x-signature", "x-atoms-signature"];
const SCHEME: &[u8] = b"sha256=";
/// A sender that rotates needs two; a flood of values must not cost.
const MOST_VALUES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    const JEFE: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const JEFE_BODY: &[u8] = b"what do ya want for nothing?";

    fn keys(secrets: &[&[u8]]) -> Keys {
        let secrets: Vec<_> = secrets.iter().map(|s| Secret::new(s).unwrap()).collect();
        Keys::new(&secrets)
    }

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &[u8])| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_bytes(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    fn signer(keys: &Keys, body: &[u8], pairs: &[(&'static str, &[u8])]) -> Option<usize> {
        keys.signer(body, &Claimed::read(&headers(pairs)))
    }

    #[test]
    fn vectors_of_rfc_4231_are_accepted() {
        let long_key = [0xaa; 131];
        let vectors: [(&[u8], &[u8], &str); 6] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (b"Jefe", JEFE_BODY, JEFE),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &hex::decode("0102030405060708090a0b0c0d0e0f10111213141516171819").unwrap(),
                &[0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (
                &long_key,
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &long_key,
                b"This is a test using a larger than block-size key and a larger than block-size data. \
                  The key needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (secret, body, signature) in vectors {
            let claimed = [("x-signature", signature.as_bytes())];
            assert_eq!(
                signer(&keys(&[secret]), body, &claimed),
                Some(0),
                "{signature}"
            );
        }
    }

    #[test]
    fn every_spelling_of_a_right_value_is_accepted_and_no_other() {
        let keys = keys(&[b"Jefe"]);
        let right = JEFE.to_owned();
        let cases: [(&str, Vec<u8>, bool); 14] = [
            ("x-signature", right.clone().into(), true),
            ("x-atoms-signature", right.clone().into(), true),
            ("x-atoms-signature", format!("sha256={right}").into(), true),
            ("x-signature", format!("sha256={right}").into(), true),
            ("x-signature", right.to_uppercase().into(), true),
            (
                "x-signature",
                format!("SHA256={}", right.to_uppercase()).into(),
                true,
            ),
            (
                "x-signature",
                format!("{}, {right}", "0".repeat(64)).into(),
                true,
            ),
            (
                "x-signature",
                format!(",, nonsense ,\t{right} ,").into(),
                true,
            ),
            ("x-signature", right[..62].into(), false),
            ("x-signature", right[..63].into(), false),
            ("x-signature", format!("{right}00").into(), false),
            ("x-signature", format!("sha1={right}").into(), false),
            ("x-signature", Vec::new(), false),
            ("x-signature", b"\xff\xfe\xc3\xa9".repeat(16), false),
        ];
        for (name, value, accepted) in cases {
            let signed = signer(&keys, JEFE_BODY, &[(name, &value)]);
            assert_eq!(
                signed.is_some(),
                accepted,
                "{name}: {}",
                value.escape_ascii()
            );
        }
    }

    #[test]
    fn another_body_is_refused() {
        let claimed = [("x-signature", JEFE.as_bytes())];
        assert_eq!(
            signer(&keys(&[b"Jefe"]), b"what do ya want?", &claimed),
            None
        );
    }

    #[test]
    fn either_secret_of_a_rotation_accepts_and_is_named_by_its_place() {
        let claimed = [("x-signature", JEFE.as_bytes())];
        for (secrets, place) in [
            (&[&b"Jefe"[..], b"new"][..], Some(0)),
            (&[b"new", b"Jefe"], Some(1)),
            (&[b"new", b"newer"], None),
            (&[], None),
        ] {
            assert_eq!(signer(&keys(secrets), JEFE_BODY, &claimed), place);
        }
    }

    #[test]
    fn the_ninth_value_is_ignored() {
        let wrong = "0".repeat(64);
        for (wrong_values, accepted) in [(7, true), (8, false)] {
            let mut claimed = vec![("x-signature", wrong.as_bytes()); wrong_values];
            claimed.push(("x-atoms-signature", JEFE.as_bytes()));
            let signed = signer(&keys(&[b"Jefe"]), JEFE_BODY, &claimed);
            assert_eq!(signed.is_some(), accepted, "after {wrong_values} others");
        }
    }

    #[test]
    fn a_claim_that_cannot_be_read_is_still_a_claim() {
        assert!(Claimed::read(&headers(&[("x-signature", b"zz")])).any);
        assert!(!Claimed::read(&headers(&[("x-signature", b" , ")])).any);
        assert!(!Claimed::read(&HeaderMap::new()).any);
    }
}
