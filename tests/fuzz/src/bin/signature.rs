//! Whatever a request claims as its signature: nobody signs without the secret, and nothing panics.
#![no_main]

use fuzz::verify::{is_signed, secret::Secret};
use hyper::HeaderMap;
use hyper::header::HeaderValue;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut headers = HeaderMap::new();
    for (at, value) in input.split(|byte| *byte == b'\n').enumerate() {
        let name = if at % 2 == 0 {
            "x-signature"
        } else {
            "x-atoms-signature"
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let secret = Secret::new(b"nobody guesses this secret").expect("it is not empty");
    assert!(!is_signed(&headers, b"{}", &secret));
});
