//! Who may look, and what a browser may do with what it gets.
//!
//! Every request passes here. Its `Host` must be one that this console goes by, since a stranger's name that was pointed at
//! this address is how web pages reach consoles that are not theirs. With a token, whoever does not know it sees the login
//! page and nothing else. What changes something must come from a page of this very origin. And every answer says that
//! nothing in it may run, load or be framed but the console's own files.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CONTENT_SECURITY_POLICY, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{App, page};
use crate::config;
use crate::time::Timestamp;

/// What is asked of a request.
pub(super) struct Guard {
    /// The token's hash: equally long whatever was tried.
    token: Option<[u8; 32]>,
    /// Signs sessions; of this process, so that a restart ends them.
    key: [u8; 32],
    hosts: Vec<String>,
    beyond_loopback: bool,
    /// One wrong token at a time.
    patience: tokio::sync::Mutex<()>,
}

impl Guard {
    pub(super) fn new(console: &config::Console) -> Self {
        let random = || *uuid::Uuid::new_v4().as_bytes();
        let mut key = [0; 32];
        for (byte, random) in key.iter_mut().zip(random().into_iter().chain(random())) {
            *byte = random;
        }
        Self {
            token: console.token.as_ref().map(|token| hash(token.expose())),
            key,
            hosts: console.hosts.clone(),
            beyond_loopback: !console.address.ip().is_loopback(),
            patience: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn asks_for_token(&self) -> bool {
        self.token.is_some()
    }

    /// A session's cookie for whoever knows the token; after a wrong one, a while later, none.
    pub(super) async fn open_session(&self, token: &[u8], now: Timestamp) -> Option<String> {
        if !self.knows(token) {
            let patience = self.patience.lock().await;
            tokio::time::sleep(AFTER_WRONG_TOKEN).await;
            drop(patience);
            return None;
        }
        let until = now.unix_ms() / 1000 + SESSION_SECONDS;
        let value = format!("{until}-{}", self.sign(until));
        Some(format!(
            "{COOKIE_NAME}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={SESSION_SECONDS}"
        ))
    }

    fn knows(&self, token: &[u8]) -> bool {
        self.token
            .is_some_and(|known| bool::from(known.ct_eq(&hash(token))))
    }

    fn sign(&self, until: i64) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        mac.update(&until.to_be_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// Whether a request may see what is here.
    fn lets_in(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        self.token.is_none() || self.has_session(headers, now) || self.bears_token(headers)
    }

    fn has_session(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        let cookies = headers.get_all(COOKIE).into_iter();
        let mut cookies = cookies.filter_map(|value| value.to_str().ok());
        cookies.any(|line| {
            line.split(';').any(|cookie| {
                let value = cookie.trim().strip_prefix(COOKIE_NAME);
                value
                    .and_then(|value| value.strip_prefix('='))
                    .is_some_and(|value| self.is_session(value, now))
            })
        })
    }

    fn is_session(&self, value: &str, now: Timestamp) -> bool {
        let Some((until, signature)) = value.split_once('-') else {
            return false;
        };
        let Ok(until) = until.parse::<i64>() else {
            return false;
        };
        let expected = self.sign(until);
        until > now.unix_ms() / 1000 && bool::from(expected.as_bytes().ct_eq(signature.as_bytes()))
    }

    /// For programs; no page can have a browser send it.
    fn bears_token(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        value
            .and_then(|value| value.strip_prefix(b"Bearer "))
            .is_some_and(|token| self.knows(token))
    }

    /// Whether this console goes by that name. No stranger's name can be a plain address.
    fn goes_by(&self, host: &Authority) -> bool {
        let name = host.host().to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => self.beyond_loopback || address.is_loopback(),
            Err(_) => name == "localhost" || self.hosts.contains(&name),
        }
    }

    /// Whether a change is asked for by a page of this origin, or by a program.
    fn is_own(&self, headers: &HeaderMap, host: &Authority) -> bool {
        let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
        if site.is_some_and(|site| site != b"same-origin") {
            return false;
        }
        match headers.get(ORIGIN).map(HeaderValue::to_str) {
            Some(Ok(origin)) => origin
                .split_once("://")
                .is_some_and(|(_, from)| from.eq_ignore_ascii_case(host.as_str())),
            Some(Err(_)) => false,
            None => site.is_some() || self.bears_token(headers),
        }
    }
}

/// Lets a request pass, or answers it.
pub(super) async fn guard(State(shared): State<App>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&shared.guard, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refusal(guard: &Guard, request: &Request) -> Option<Response> {
    let Some(host) = host(request).filter(|host| guard.goes_by(host)) else {
        return Some(page::said(
            StatusCode::MISDIRECTED_REQUEST,
            "Another host",
            "this console does not go by that name; if it should, add the name to listen.console_hosts",
        ));
    };
    let changes = ![Method::GET, Method::HEAD].contains(request.method());
    if changes && !guard.is_own(request.headers(), &host) {
        return Some(page::said(
            StatusCode::FORBIDDEN,
            "Refused",
            "changes are taken from the console's own pages only",
        ));
    }
    let path = request.uri().path();
    if OPEN.contains(&path) || guard.lets_in(request.headers(), Timestamp::now()) {
        return None;
    }
    if changes || path == "/live" {
        let mut refused = page::said(StatusCode::UNAUTHORIZED, "Log in", "the token is asked for");
        let bearer = HeaderValue::from_static("Bearer");
        refused.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        return Some(refused);
    }
    let wanted = request
        .uri()
        .path_and_query()
        .map_or("/", |wanted| wanted.as_str());
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("next", wanted)
        .finish();
    Some(Redirect::to(&format!("/login?{query}")).into_response())
}

/// What the browser believes to talk to.
fn host(request: &Request) -> Option<Authority> {
    let named = request.headers().get(HOST).map(HeaderValue::as_bytes);
    named
        .and_then(|host| Authority::try_from(host).ok())
        .or_else(|| request.uri().authority().cloned())
        .filter(|host| !host.as_str().contains('@'))
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// What is seen without a token: the page that asks for it, and what makes it look well.
const OPEN: [&str; 4] = ["/login", "/console.css", "/console.js", "/icon.svg"];

const HEADERS: [(HeaderName, &str); 7] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // Not `no-referrer`: with it a browser hides from us that a form is our own.
    (REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    ),
];
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
pub(super) const COOKIE_NAME: &str = "atoms-bridge-console";
const SESSION_SECONDS: i64 = 12 * 3600;
const AFTER_WRONG_TOKEN: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;
