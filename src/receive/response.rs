//! What became of a request, and the one place that says it in HTTP.
//!
//! An answer helps its sender without a word on which secret, header or byte was wrong.

use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body::BodyError;
use crate::journal::Appended;

/// How a request ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// On disk, now or before.
    Kept(Appended),
    /// Nothing listens under this path.
    NoSuchPath,
    /// The path is right, the method is not in this list.
    OtherMethod(&'static str),
    /// The body was not read to its end.
    NoBody(BodyError),
    /// Not shown to be from the sender.
    Unverified,
    /// The journal did not take it.
    NotKept,
    /// The journal would not take a delivery now.
    NotReady,
    /// The journal would take a delivery now.
    Ready,
}

impl Outcome {
    /// The answer to a request. Where a body comes that nobody reads, nothing may follow on the connection: what still
    /// comes of it would be taken for the next request, which then has only a header's time left.
    pub(super) fn into_response_to(self, has_body: bool) -> Response {
        let is_unread = match self {
            Self::NoSuchPath | Self::OtherMethod(_) | Self::NotReady | Self::Ready => has_body,
            Self::Kept(_) | Self::NoBody(_) | Self::Unverified | Self::NotKept => false,
        };
        let response = self.into_response();
        if is_unread {
            return closing(response);
        }
        response
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        match self {
            Self::Kept(appended) => kept(&appended),
            Self::NoSuchPath => problem(
                StatusCode::NOT_FOUND,
                "nothing is here; deliveries go to /webhooks/ and the name of a configured webhook",
            ),
            Self::OtherMethod(allowed) => with_header(
                problem(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "this path takes another method",
                ),
                (ALLOW, allowed),
            ),
            Self::NoBody(error) => no_body(error),
            Self::Unverified => problem(
                StatusCode::UNAUTHORIZED,
                "the delivery does not prove that it is from the configured sender",
            ),
            Self::NotKept => later("the delivery could not be stored and was not accepted"),
            Self::NotReady => later("deliveries cannot be stored now"),
            Self::Ready => json(StatusCode::OK, &Status { status: "ready" }),
        }
    }
}

fn kept(appended: &Appended) -> Response {
    let (status, id) = (appended.kind.word(), &appended.id);
    json(StatusCode::OK, &Kept { status, id })
}

fn no_body(error: BodyError) -> Response {
    match error {
        // The rest of these bodies may still come, and must not be taken for requests.
        BodyError::TooLarge => closing(problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than is accepted here",
        )),
        BodyError::TooSlow => closing(problem(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
        BodyError::Broken => closing(problem(
            StatusCode::BAD_REQUEST,
            "the body ended early or was not framed as its header said",
        )),
        BodyError::NoRoom => closing(later("too many large deliveries at once")),
    }
}

fn later(detail: &'static str) -> Response {
    let problem = problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    with_header(problem, (RETRY_AFTER, RETRY_AFTER_SECONDS))
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &'static str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let problem = Problem {
        kind: "about:blank",
        title,
        status: status.as_u16(),
        detail,
    };
    with_header(
        json(status, &problem),
        (CONTENT_TYPE, "application/problem+json"),
    )
}

fn closing(response: Response) -> Response {
    with_header(response, (CONNECTION, "close"))
}

/// A JSON body with its status.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("strings and numbers serialize");
    let content_type = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, content_type, body).into_response()
}

fn with_header(mut response: Response, (name, value): (HeaderName, &'static str)) -> Response {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
    response
}

#[derive(Serialize)]
struct Kept<'a> {
    status: &'static str,
    id: &'a str,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

#[derive(Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
}

const RETRY_AFTER_SECONDS: &str = "5";
