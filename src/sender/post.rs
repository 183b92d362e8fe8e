//! One URL that deliveries are posted to, signed as the sender's platform signs them.
//!
//! Redirects are not followed and nothing is tried again, as the platform does neither.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, ClientBuilder, Url, redirect};
use sha2::Sha256;

use crate::verify::secret::Secret;

/// Signs bodies and posts them to one URL.
#[derive(Debug, Clone)]
pub struct Poster {
    client: Client,
    url: Url,
    secret: Secret,
    headers: HeaderMap,
}

/// What came of one delivery.
#[derive(Debug)]
pub struct Answer {
    /// What the receiver answered, or why there is no answer.
    pub outcome: Result<Said, reqwest::Error>,
    /// How long it took.
    pub took: Duration,
}

/// A receiver's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// The bridge's own word: `stored`, `duplicate`, or the title of a problem; empty when it says none.
    pub word: String,
    /// The id that the bridge gave the delivery.
    pub id: Option<String>,
}

impl Poster {
    /// Makes a client of its own for a URL.
    ///
    /// # Errors
    ///
    /// No TLS, or no client can be had.
    pub fn new(url: Url, secret: Secret, headers: HeaderMap) -> Result<Self, reqwest::Error> {
        Self::with_client(Client::builder(), url, secret, headers)
    }

    /// As [`Poster::new`] for this machine's own listener, which is met at an address that its certificate need not name.
    ///
    /// # Errors
    ///
    /// As [`Poster::new`].
    pub fn to_own_listener(
        url: Url,
        secret: Secret,
        headers: HeaderMap,
    ) -> Result<Self, reqwest::Error> {
        let client = Client::builder().tls_danger_accept_invalid_certs(true);
        Self::with_client(client, url, secret, headers)
    }

    fn with_client(
        client: ClientBuilder,
        url: Url,
        secret: Secret,
        headers: HeaderMap,
    ) -> Result<Self, reqwest::Error> {
        let mut client = client
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("atoms-kafka-bridge/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&url) {
            // A proxy from the environment cannot know what this machine's own address means.
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build()?,
            url,
            secret,
            headers,
        })
    }

    /// Signs a body and posts it.
    pub async fn post(&self, body: Vec<u8>) -> Answer {
        let begun = Instant::now();
        let signature = signature(&self.secret, &body);
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("x-signature", signature)
            .headers(self.headers.clone())
            .body(body);
        let outcome = match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                response.bytes().await.map(|body| Said::read(status, &body))
            }
            Err(error) => Err(error),
        };
        Answer {
            outcome: outcome.map_err(reqwest::Error::without_url),
            took: begun.elapsed(),
        }
    }
}

impl Answer {
    /// Whether the sender's platform would call it delivered.
    pub fn is_taken(&self) -> bool {
        let said = self.outcome.as_ref();
        said.is_ok_and(|said| (200..300).contains(&said.status))
    }
}

impl Said {
    fn read(status: u16, body: &[u8]) -> Self {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| Some(body.get(name)?.as_str()?.to_owned());
        let word = text("status").or_else(|| text("title")).unwrap_or_default();
        Self {
            status,
            // Whoever answers is not to move a terminal's cursor.
            word: word.chars().filter(|c| !c.is_control()).collect(),
            id: text("id"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(said) => write!(f, "{} {}", said.status, said.word),
            Err(error) => write!(f, "no answer: {}", innermost(error)),
        }
    }
}

/// What the system said, without the layers that only say that a request failed.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The hex HMAC-SHA256 that the platform sends as `X-Signature`.
fn signature(secret: &Secret, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes keys of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

pub(crate) fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    host == "localhost" || bare.parse().is_ok_and(loopback)
}

/// How long the sender's platform waits.
const TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_the_platforms() {
        let secret = Secret::new(b"Jefe").unwrap();
        assert_eq!(
            signature(&secret, b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn an_answer_says_the_bridges_word() {
        let said = Said::read(200, br#"{"status":"stored","id":"7"}"#);
        assert_eq!(
            (said.word.as_str(), said.id.as_deref()),
            ("stored", Some("7"))
        );
        let problem = Said::read(401, br#"{"title":"Unauthorized","status":401}"#);
        assert_eq!(problem.word, "Unauthorized");
        assert_eq!(Said::read(502, b"<html>").word, "");
        assert_eq!(Said::read(200, br#"{"status":"a\u001b[2J"}"#).word, "a[2J");
    }
}
