//! Turns a [`Delivery`] into a [`VerifiedDelivery`], or says that it is none.
//!
//! Pure: bytes, headers and secrets in, a verdict out. Why a delivery was refused is for the log alone; every refusal is
//! answered alike.

pub mod proof;
pub mod secret;
mod signature;
pub mod verifiers;

use hyper::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::atoms::answers::FetchedCall;
use crate::config::{StaticHeader, Webhook};
use crate::dialect::api;
use crate::event::{Origin, Stage};
use crate::receive::delivery::{Delivery, KeptHeaders, WebhookName};
use crate::time::Timestamp;
use proof::{KeptProof, ProofKey};
use signature::{Claimed, Keys};

/// What a webhook's deliveries are verified with: its secrets, keyed, and its second factor.
#[derive(Clone)]
pub struct Verifier {
    keys: Keys,
    second_factor: Option<SecondFactor>,
}

impl Verifier {
    /// Keys the secrets of a webhook.
    pub fn new(webhook: &Webhook) -> Self {
        Self {
            keys: Keys::new(&webhook.secrets),
            second_factor: webhook.header.as_ref().map(SecondFactor::new),
        }
    }
}

/// Accepts a delivery that any of the secrets signed and that carries the second factor, if there is one.
///
/// # Errors
///
/// Says what was missing or wrong, and gives the delivery back.
pub fn verify(
    delivery: Delivery,
    headers: &HeaderMap,
    verifier: &Verifier,
) -> Result<VerifiedDelivery, Box<Refused>> {
    let shows = |factor: &SecondFactor| factor.is_in(headers);
    judge(delivery, &Claimed::read(headers), verifier, shows)
}

/// [`verify`] for a delivery that was refused before, by what was kept of its headers.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_again(
    delivery: Delivery,
    (proof, key): (&KeptProof, &ProofKey),
    verifier: &Verifier,
) -> Result<VerifiedDelivery, Box<Refused>> {
    let shows = |factor: &SecondFactor| proof.shows(factor, key);
    judge(delivery, &proof.claimed(), verifier, shows)
}

fn judge(
    delivery: Delivery,
    claimed: &Claimed,
    verifier: &Verifier,
    shows: impl FnOnce(&SecondFactor) -> bool,
) -> Result<VerifiedDelivery, Box<Refused>> {
    let refused = |delivery, refusal| Err(Box::new(Refused { delivery, refusal }));
    if !claimed.any {
        return refused(delivery, Refusal::NoSignature);
    }
    let Some(secret_place) = verifier.keys.signer(&delivery.body, claimed) else {
        return refused(delivery, Refusal::WrongSignature);
    };
    match &verifier.second_factor {
        Some(factor) if !shows(factor) => refused(delivery, Refusal::SecondFactor),
        Some(_) | None => Ok(VerifiedDelivery {
            delivery,
            voucher: Voucher::Signature { secret_place },
        }),
    }
}

/// A delivery that was refused, and why.
#[derive(Debug)]
pub struct Refused {
    /// The delivery, as untrusted as before.
    pub delivery: Delivery,
    /// What was missing or wrong.
    pub refusal: Refusal,
}

/// Why a delivery was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither signature header has a value.
    #[error("no signature: look whether the sender signs and whether a proxy drops x-signature")]
    NoSignature,
    /// No secret made any of the values.
    #[error("wrong signature: compare the configured secret with the sender's")]
    WrongSignature,
    /// The signature is right, the configured header is missing or has another value.
    #[error("missing or wrong second factor: compare the configured header with the sender's")]
    SecondFactor,
}

impl Refusal {
    /// A stable word for it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoSignature => "no-signature",
            Self::WrongSignature => "wrong-signature",
            Self::SecondFactor => "second-factor",
        }
    }
}

/// A delivery that is the sender's word: its signature matched, or its API gave it to us. Only this module makes one.
#[derive(Debug)]
pub struct VerifiedDelivery {
    delivery: Delivery,
    voucher: Voucher,
}

/// Why a delivery is the sender's word.
#[derive(Debug)]
enum Voucher {
    /// A secret of the webhook made its signature: the one in this place.
    Signature { secret_place: usize },
    /// The API answered it to our own key, as the event of this stage.
    Answer { id: String, stage: Stage },
}

impl VerifiedDelivery {
    /// What the API answered about a call, as the event of a stage that a webhook should have brought.
    pub fn of_answer(
        call: &FetchedCall,
        stage: Stage,
        webhook: WebhookName,
        received_at: Timestamp,
    ) -> Self {
        let delivery = Delivery {
            webhook,
            received_at,
            headers: KeptHeaders::default(),
            body: call.body().clone(),
        };
        let id = api::id(call.call_id(), stage);
        Self {
            delivery,
            voucher: Voucher::Answer { id, stage },
        }
    }

    #[cfg(test)]
    pub(crate) fn for_test(delivery: Delivery) -> Self {
        Self {
            delivery,
            voucher: Voucher::Signature { secret_place: 0 },
        }
    }

    /// How it came here.
    pub fn origin(&self) -> Origin {
        match &self.voucher {
            Voucher::Signature { .. } => Origin::Webhook,
            Voucher::Answer { stage, .. } => Origin::Reconcile(*stage),
        }
    }

    /// The event's id, where that is no part of the body: of what the API answered.
    pub fn answered_id(&self) -> Option<&str> {
        match &self.voucher {
            Voucher::Signature { .. } => None,
            Voucher::Answer { id, .. } => Some(id),
        }
    }

    /// The webhook that it was posted to.
    pub fn webhook(&self) -> &WebhookName {
        &self.delivery.webhook
    }

    /// When its body was complete.
    pub fn received_at(&self) -> Timestamp {
        self.delivery.received_at
    }

    /// Headers worth keeping.
    pub fn headers(&self) -> &KeptHeaders {
        &self.delivery.headers
    }

    /// Lets the trace go on from another place than the sender named; no signature covers that header.
    pub fn continue_trace(&mut self, traceparent: String) {
        self.delivery.headers.traceparent = Some(traceparent);
    }

    /// The raw body, as signed.
    pub fn body(&self) -> &bytes::Bytes {
        &self.delivery.body
    }

    /// Which of the webhook's secrets matched, counted from 0: after a rotation the old one should fall silent. `None` where
    /// nothing was signed.
    pub fn secret_place(&self) -> Option<usize> {
        match &self.voucher {
            Voucher::Signature { secret_place } => Some(*secret_place),
            Voucher::Answer { .. } => None,
        }
    }
}

/// A header with a fixed value; of the value only the hash is kept, so that not even its length shows in a comparison.
#[derive(Clone)]
struct SecondFactor {
    name: String,
    value_hash: [u8; 32],
}

impl SecondFactor {
    fn new(header: &StaticHeader) -> Self {
        Self {
            name: header.name.clone(),
            value_hash: Sha256::digest(header.value.expose()).into(),
        }
    }

    fn is_in(&self, headers: &HeaderMap) -> bool {
        headers.get_all(&self.name).iter().any(|value| {
            let hash: [u8; 32] = Sha256::digest(value.as_bytes()).into();
            hash.ct_eq(&self.value_hash).into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::secret::Secret;
    use super::*;
    use crate::config::Ack;
    use hyper::header::HeaderValue;

    const SIGNATURE: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    fn webhook(header: Option<(&str, &str)>) -> Webhook {
        Webhook {
            name: WebhookName::parse("default").unwrap(),
            secrets: vec![
                Secret::new(b"other").unwrap(),
                Secret::new(b"Jefe").unwrap(),
            ],
            header: header.map(|(name, value)| StaticHeader {
                name: name.into(),
                value: Secret::new(value.as_bytes()).unwrap(),
            }),
            topic_prefix: None,
            ack: Ack::Journal,
        }
    }

    fn verdict(
        webhook: &Webhook,
        pairs: &[(&'static str, &'static str)],
    ) -> Result<usize, Refusal> {
        let delivery = Delivery {
            webhook: webhook.name.clone(),
            received_at: Timestamp::from_unix_ms(0),
            headers: KeptHeaders::default(),
            body: bytes::Bytes::from_static(b"what do ya want for nothing?"),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let verifier = Verifier::new(webhook);
        let key = ProofKey::new([1; 32]);
        let kept = proof::Proof::of(&headers).keep(&key);
        let copy = Delivery {
            webhook: delivery.webhook.clone(),
            received_at: delivery.received_at,
            headers: KeptHeaders::default(),
            body: delivery.body.clone(),
        };
        let told = |result: Result<VerifiedDelivery, Box<Refused>>| {
            result
                .map(|verified| verified.secret_place().unwrap())
                .map_err(|refused| refused.refusal)
        };
        let at_once = told(verify(delivery, &headers, &verifier));
        let later = told(verify_again(copy, (&kept, &key), &verifier));
        assert_eq!(at_once, later, "what was kept tells something else");
        at_once
    }

    #[test]
    fn a_signature_is_enough_where_no_second_factor_is_configured() {
        let webhook = webhook(None);
        assert_eq!(verdict(&webhook, &[("x-signature", SIGNATURE)]), Ok(1));
        assert_eq!(verdict(&webhook, &[]), Err(Refusal::NoSignature));
        assert_eq!(
            verdict(&webhook, &[("x-signature", "00")]),
            Err(Refusal::WrongSignature)
        );
    }

    #[test]
    fn a_second_factor_must_be_there_and_equal() {
        let webhook = webhook(Some(("x-api-key", "open sesame")));
        for (pairs, expected) in [
            (&[("x-api-key", "open sesame")][..], Ok(1)),
            (&[("x-api-key", "no"), ("x-api-key", "open sesame")], Ok(1)),
            (&[], Err(Refusal::SecondFactor)),
            (&[("x-api-key", "")], Err(Refusal::SecondFactor)),
            (&[("x-api-key", "open")], Err(Refusal::SecondFactor)),
            (&[("x-api-key", "open sesame!")], Err(Refusal::SecondFactor)),
            (&[("x-api-kez", "open sesame")], Err(Refusal::SecondFactor)),
        ] {
            let pairs = [&[("x-signature", SIGNATURE)], pairs].concat();
            assert_eq!(verdict(&webhook, &pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_second_factor_does_not_replace_a_signature() {
        let webhook = webhook(Some(("x-api-key", "open sesame")));
        let factor_only = [("x-api-key", "open sesame")];
        assert_eq!(verdict(&webhook, &factor_only), Err(Refusal::NoSignature));
    }
}
