//! Where `send` and `dev` post to, and with which static headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::cli::UsageError;
use crate::cli::output::printable;
use crate::config::Webhook;
use crate::receive::delivery::WebhookName;

/// The configured second factor, and what the command line adds or sets otherwise.
pub fn headers(
    webhook: &Webhook,
    given: &[(HeaderName, HeaderValue)],
) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(factor) = &webhook.header {
        let mut value = HeaderValue::from_bytes(factor.value.expose())
            .with_context(|| format!("the value of header {} cannot be sent", factor.name))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(factor.name.as_bytes())?, value);
    }
    for (name, _) in given {
        headers.remove(name);
    }
    for (name, value) in given {
        headers.append(name, value.clone());
    }
    Ok(headers)
}

/// The receiver of `serve` on this machine.
///
/// # Errors
///
/// Never, for an address that was bound.
pub fn receiver(listen: SocketAddr, name: &WebhookName) -> anyhow::Result<Url> {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let address = SocketAddr::new(ip, listen.port());
    complete(&address.to_string(), name)
}

/// Completes a URL: http where no scheme is given, the webhook's path where there is none.
pub(super) fn complete(text: &str, name: &WebhookName) -> anyhow::Result<Url> {
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
            let url = receiver(listen.parse().unwrap(), &name()).unwrap();
            assert_eq!(url.as_str(), expected);
            assert_eq!(
                crate::sender::post::is_this_machine(&url),
                !listen.starts_with("10.")
            );
        }
    }
}
