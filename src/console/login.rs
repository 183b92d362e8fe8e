//! Asks for the token, and forgets whoever leaves.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use http_body_util::{BodyExt, Limited};
use maud::html;

use super::App;
use super::guard::COOKIE_NAME;
use super::page::{self, notice};
use crate::time::Timestamp;

/// A form's fields, or a query's; of repeated names all values.
pub(super) type Fields = BTreeMap<String, Vec<String>>;

pub(super) async fn ask(RawQuery(query): RawQuery) -> Response {
    let fields = fields(query.unwrap_or_default().as_bytes());
    form(StatusCode::OK, own_path(&fields), None)
}

pub(super) async fn log_in(State(shared): State<App>, body: Body) -> Response {
    let Some(fields) = posted(body).await else {
        return form(
            StatusCode::BAD_REQUEST,
            "/",
            Some("The form did not arrive whole."),
        );
    };
    let token = first(&fields, "token").unwrap_or_default();
    let next = own_path(&fields);
    let session = shared
        .guard
        .open_session(token.as_bytes(), Timestamp::now());
    let Some(cookie) = session
        .await
        .and_then(|cookie| HeaderValue::try_from(cookie).ok())
    else {
        tracing::warn!("console: a wrong token was tried");
        return form(
            StatusCode::UNAUTHORIZED,
            next,
            Some("That is not the token."),
        );
    };
    let mut response = Redirect::to(next).into_response();
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

pub(super) async fn log_out() -> Response {
    let mut response = Redirect::to("/login").into_response();
    let gone = format!("{COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    if let Ok(cookie) = HeaderValue::try_from(gone) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

fn form(status: StatusCode, next: &str, wrong: Option<&str>) -> Response {
    let body = html! {
        h1 { "Log in" }
        @if let Some(wrong) = wrong { (notice(wrong)) }
        form.login method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            label for="token" { "Token" }
            input id="token" name="token" type="password" required autofocus autocomplete="current-password";
            button { "Log in" }
        }
        p.muted { "It is what " code { "listen.console_token" } " names in the bridge's configuration." }
    };
    page::plain(status, "Log in", &body)
}

/// Where to go on: never to another host.
fn own_path(fields: &Fields) -> &str {
    first(fields, "next")
        .filter(|path| path.starts_with('/') && !path.starts_with("//"))
        .filter(|path| path.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b'\\'))
        .unwrap_or("/")
}

/// The fields of a form that was posted; `None` when it did not arrive whole or is too long.
pub(super) async fn posted(body: Body) -> Option<Fields> {
    let collected = Limited::new(body, FORM_BYTES).collect().await.ok()?;
    Some(fields(&collected.to_bytes()))
}

/// What is asked for by name and value.
pub(super) fn fields(text: &[u8]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in form_urlencoded::parse(text) {
        let values = fields.entry(name.into_owned()).or_default();
        values.push(value.into_owned());
    }
    fields
}

/// The first value of a name, less the white space around it.
pub(super) fn first<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    let value = fields.get(name)?.first()?.trim();
    (!value.is_empty()).then_some(value)
}

const FORM_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_host() {
        for (next, goes_to) in [
            ("next=/search?call%3DCALL-1", "/search?call=CALL-1"),
            ("next=//evil.example.com", "/"),
            ("next=/%5Cevil.example.com", "/"),
            ("next=/%09/evil.example.com", "/"),
            ("next=https://evil.example.com", "/"),
            ("", "/"),
        ] {
            assert_eq!(own_path(&fields(next.as_bytes())), goes_to, "{next}");
        }
    }
}
