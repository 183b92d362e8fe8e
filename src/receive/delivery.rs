//! One request to a webhook as it came: untrusted bytes and the few headers that matter later.
//!
//! Only `receive` makes a [`Delivery`]; only `verify` turns it into something that the rest of the road accepts.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::time::Timestamp;

/// The name of a configured webhook: `[a-z0-9_]+`, so that it can be spelled in an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookName(Arc<str>);

impl WebhookName {
    /// Reads a name; `None` when a character is outside `[a-z0-9_]` or there is none.
    pub fn parse(name: &str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        (!name.is_empty() && name.bytes().all(fits)).then(|| Self(name.into()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebhookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for WebhookName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The request headers that are kept with a delivery, each absent or as sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptHeaders {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`: undone after the append, since the signature covers the encoded bytes.
    pub content_encoding: Option<String>,
    /// W3C `traceparent`, carried on to Kafka.
    pub traceparent: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
}

/// One request with a complete body, not yet verified.
#[derive(Debug)]
pub struct Delivery {
    /// The webhook that it was posted to.
    pub webhook: WebhookName,
    /// When its body was complete.
    pub received_at: Timestamp,
    /// Headers worth keeping.
    pub headers: KeptHeaders,
    /// The raw body, as signed.
    pub body: Bytes,
}
