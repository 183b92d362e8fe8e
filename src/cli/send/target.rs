//! One URL that deliveries are posted to, signed as the sender's platform signs them.
//!
//! Redirects are not followed and nothing is tried again, as the platform does neither.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect};
use sha2::Sha256;

use crate::cli::UsageError;
use crate::cli::output::printable;
use crate::config::Webhook;
use crate::receive::delivery::WebhookName;
use crate::verify::secret::Secret;

/// A URL, and what a delivery to it is signed and accompanied with.
#[derive(Debug, Clone)]
pub struct Target {
    client: Client,
    url: Url,
    secret: Secret,
    headers: HeaderMap,
}

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The bridge's own word: `stored`, `duplicate`, or the title of a problem; empty when it says none.
    pub word: String,
    /// The id that the bridge gave the delivery.
    pub id: Option<String>,
}

impl Target {
    /// Signs with the first secret of `webhook` and adds its second factor; a URL without a path gets the webhook's.
    ///
    /// # Errors
    ///
    /// The URL is none, the webhook has no secret, or no HTTP client can be had.
    pub fn new(url: impl AsRef<str>, webhook: &Webhook) -> anyhow::Result<Self> {
        let url = complete(url.as_ref(), &webhook.name)?;
        let secret = webhook.secrets.first();
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent(concat!("atoms-kafka-bridge/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&url) {
            // A proxy from the environment cannot know what this machine's own address means.
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build().context("cannot make an HTTP client")?,
            url,
            secret: secret.context("the webhook has no secret")?.clone(),
            headers: second_factor(webhook)?,
        })
    }

    /// Adds headers; one of the same name as the second factor takes its place.
    #[must_use]
    pub fn with_headers(mut self, given: &[(HeaderName, HeaderValue)]) -> Self {
        for (name, _) in given {
            self.headers.remove(name);
        }
        for (name, value) in given {
            self.headers.append(name, value.clone());
        }
        self
    }
}

fn second_factor(webhook: &Webhook) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(factor) = &webhook.header {
        let mut value = HeaderValue::from_bytes(factor.value.expose())
            .with_context(|| format!("the value of header {} cannot be sent", factor.name))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(factor.name.as_bytes())?, value);
    }
    Ok(headers)
}

/// Signs a body and posts it.
///
/// # Errors
///
/// There is no whole answer in 30 s. The error does not name the URL, in which owners put secrets.
pub async fn post(target: &Target, body: Vec<u8>) -> Result<Answer, reqwest::Error> {
    let request = target
        .client
        .post(target.url.clone())
        .header(CONTENT_TYPE, "application/json")
        .header("x-signature", signature(&target.secret, &body))
        .headers(target.headers.clone())
        .body(body);
    let answer = async {
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok(Answer::read(status, &response.bytes().await?))
    };
    answer.await.map_err(reqwest::Error::without_url)
}

impl Answer {
    fn read(status: u16, body: &[u8]) -> Self {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| Some(body.get(name)?.as_str()?.to_owned());
        Self {
            status,
            word: text("status").or_else(|| text("title")).unwrap_or_default(),
            id: text("id"),
        }
    }

    /// Whether the sender's platform would call it delivered.
    pub fn is_taken(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// The hex HMAC-SHA256 that the platform sends as `X-Signature`.
fn signature(secret: &Secret, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes keys of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// How the receiver that listens there is reached from this machine.
pub(super) fn receiver(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port()).to_string()
}

/// Completes a URL: http where no scheme is given, the webhook's path where there is none.
fn complete(text: &str, name: &WebhookName) -> anyhow::Result<Url> {
    let wrong = || {
        UsageError(format!(
            "{}: write a URL such as https://bridge.example.com or http://127.0.0.1:8080/webhooks/default",
            printable(text)
        ))
    };
    let spelled = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let mut url = Url::parse(&spelled).map_err(|_| wrong())?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(wrong().into());
    }
    if url.path() == "/" {
        url.set_path(&format!("/webhooks/{name}"));
    }
    Ok(url)
}

fn is_this_machine(url: &Url) -> bool {
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

    fn name() -> WebhookName {
        WebhookName::parse("default").unwrap()
    }

    #[test]
    fn a_url_is_completed_where_it_says_too_little() {
        for (text, expected) in [
            (
                "http://127.0.0.1:8080",
                "http://127.0.0.1:8080/webhooks/default",
            ),
            ("127.0.0.1:8080/", "http://127.0.0.1:8080/webhooks/default"),
            ("https://x.example/hook?a=b", "https://x.example/hook?a=b"),
            (
                "https://x.example?a=b",
                "https://x.example/webhooks/default?a=b",
            ),
        ] {
            assert_eq!(complete(text, &name()).unwrap().as_str(), expected);
        }
        for text in ["ftp://x", "http://", "", "a b"] {
            assert!(complete(text, &name()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_receiver_on_any_address_is_reached_on_this_machine() {
        for (listen, expected) in [
            ("0.0.0.0:1", "http://127.0.0.1:1/webhooks/default"),
            ("[::]:2", "http://[::1]:2/webhooks/default"),
            ("10.0.0.7:3", "http://10.0.0.7:3/webhooks/default"),
        ] {
            let url = complete(&receiver(listen.parse().unwrap()), &name()).unwrap();
            assert_eq!(url.as_str(), expected);
            assert_eq!(is_this_machine(&url), !listen.starts_with("10."));
        }
    }

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
        let said = Answer::read(200, br#"{"status":"stored","id":"7"}"#);
        assert_eq!(
            (said.word.as_str(), said.id.as_deref()),
            ("stored", Some("7"))
        );
        let problem = Answer::read(401, br#"{"title":"Unauthorized","status":401}"#);
        assert_eq!(problem.word, "Unauthorized");
        assert_eq!(Answer::read(502, b"<html>").word, "");
    }
}
