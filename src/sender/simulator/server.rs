//! The API over HTTP: key, faults, the table, and the verdict on every exchange.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Extracted};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, Response};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::api::{self, Fitting};
use super::faults::Fault;
use super::{KEY, Shared};
use crate::atoms::contract::{self, Exchange};

/// Where the API's paths begin, as the real one's do.
pub(super) const ROOT: &str = "/atoms/v1";

/// A request as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Method and path of the table.
    pub what: String,
    /// The query's parameters.
    pub query: Vec<(String, String)>,
}

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new().fallback(handle).with_state(shared);
    // It ends when the simulator does.
    let _ = axum::serve(listener, router).await;
}

/// A request, read.
struct Read {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

async fn handle(Extracted(shared): Extracted<Arc<Shared>>, request: Request) -> Response<Body> {
    let read = Read::of(request).await;
    let call = contract::find(&read.method, &read.path);
    let path = call.map_or("", |call| call.path);
    let fault = {
        let mut state = shared.state();
        state.asked.push(Asked {
            what: format!("{} {path}", read.method),
            query: read.query.clone(),
        });
        state.faults.take(path)
    };
    let answer = match fault {
        None => done(&shared, &read),
        Some(Fault::Slow(pause)) => {
            tokio::time::sleep(pause).await;
            done(&shared, &read)
        }
        Some(Fault::DoneBut(status)) => {
            done(&shared, &read);
            failed(status, "Something went wrong")
        }
        Some(Fault::Status(status)) => failed(status, "Something went wrong"),
        Some(Fault::TooMany { header, body }) => too_many(header, body),
        Some(Fault::BrokenJson) => {
            let mut answer = done(&shared, &read);
            answer.body.truncate(answer.body.len() / 2);
            return answer.into_response();
        }
        Some(Fault::Html) => {
            let mut answer = failed(502, "");
            answer.body = b"<html>Bad gateway</html>".to_vec();
            return answer.into_response();
        }
        Some(Fault::Silence) => {
            tokio::time::sleep(LONG).await;
            failed(504, "")
        }
    };
    let departures = contract::judge(&Exchange {
        method: &read.method,
        path: &read.path,
        query: &read.query,
        sent: &read.body,
        status: answer.status,
        answered: &answer.body,
    });
    let what = format!("{} {path}", read.method);
    let told = departures.into_iter().map(|told| format!("{what}: {told}"));
    shared.state().departures.extend(told);
    answer.into_response()
}

fn done(shared: &Shared, read: &Read) -> Answer {
    let key = read.headers.get(AUTHORIZATION);
    if key.is_none_or(|key| key.as_bytes() != format!("Bearer {KEY}").as_bytes()) {
        return failed(401, "Unauthorized");
    }
    let call = contract::find(&read.method, &read.path);
    let Some((call, ids)) = call.and_then(|call| Some((call, call.ids(&read.path)?))) else {
        return failed(404, "Not found");
    };
    let body = serde_json::from_slice(&read.body).unwrap_or_default();
    let sent = |shape: &contract::Shape| shape.departures(&body, "").is_empty();
    if !call.body.as_ref().is_none_or(sent) {
        return failed(400, "Bad request");
    }
    let request = Fitting {
        call,
        ids,
        query: &read.query,
        body,
    };
    match api::answer(&mut shared.state().world, &request) {
        Ok(data) => Answer::json(call.done, &json!({ "status": true, "data": data })),
        Err((status, words)) => failed(status, words),
    }
}

fn failed(status: u16, words: &str) -> Answer {
    Answer::json(status, &json!({ "status": false, "errors": [words] }))
}

fn too_many(header: Option<u32>, body: Option<f64>) -> Answer {
    let mut answer = json!({ "status": false, "errors": ["Too many requests"] });
    if let (Some(seconds), Some(members)) = (body, answer.as_object_mut()) {
        members.insert("retry_after".into(), json!(seconds));
    }
    let mut answer = Answer::json(429, &answer);
    if let Some(seconds) = header {
        answer.headers.insert(RETRY_AFTER, seconds.into());
    }
    answer
}

impl Read {
    async fn of(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let path = path.strip_prefix(ROOT).unwrap_or("/outside");
        let spelled = format!(
            "http://simulator/?{}",
            parts.uri.query().unwrap_or_default()
        );
        let query = Url::parse(&spelled).map(|url| {
            let pairs = url.query_pairs();
            pairs
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect()
        });
        Self {
            method: parts.method.to_string(),
            path: path.to_owned(),
            query: query.unwrap_or_default(),
            headers: parts.headers,
            body: to_bytes(body, LARGEST_BODY)
                .await
                .unwrap_or_default()
                .to_vec(),
        }
    }
}

impl Answer {
    fn json(status: u16, body: &Value) -> Self {
        let mut headers = HeaderMap::new();
        let json = axum::http::HeaderValue::from_static("application/json");
        headers.insert(CONTENT_TYPE, json);
        Self {
            status,
            headers,
            body: body.to_string().into_bytes(),
        }
    }

    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status.try_into().unwrap_or_default();
        *response.headers_mut() = self.headers;
        response
    }
}

/// Longer than anybody waits.
const LONG: Duration = Duration::from_secs(3600);
const LARGEST_BODY: usize = 1 << 20;
