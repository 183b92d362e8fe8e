//! The part of `verify` that reads what a sender claims.

#[path = "../../../../src/verify/secret.rs"]
pub mod secret;
#[path = "../../../../src/verify/signature.rs"]
mod signature;

use hyper::HeaderMap;

/// Whether a request with these headers is signed with this secret.
pub fn is_signed(headers: &HeaderMap, body: &[u8], secret: &secret::Secret) -> bool {
    let keys = signature::Keys::new(std::slice::from_ref(secret));
    let claimed = signature::Claimed::read(headers);
    keys.signer(body, &claimed).is_some()
}
