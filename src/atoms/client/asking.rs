//! How the API is asked: each request in its turn, again where that can help, and what came of it.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Client;
use crate::atoms::contract::{self, Call, Repeatable};
use crate::atoms::error::AtomsError;
use crate::atoms::pace::pause;

impl Client {
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        call: &Call,
        ids: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, AtomsError> {
        let request = self.request(call, ids, query)?;
        self.done(call, &request).await
    }

    pub(super) async fn tell<T: DeserializeOwned>(
        &self,
        call: &Call,
        ids: &[&str],
        body: &Value,
    ) -> Result<T, AtomsError> {
        let mut request = self.request(call, ids, &[])?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.to_string().into());
        self.done(call, &request).await
    }

    fn request(
        &self,
        call: &Call,
        ids: &[&str],
        query: &[(&str, String)],
    ) -> Result<Request, AtomsError> {
        let mut path = call.path.to_owned();
        for id in ids {
            if !contract::is_id(id) {
                return Err(AtomsError::NotAnId);
            }
            if let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
                path.replace_range(from..=to, id);
            }
        }
        let mut url = self.base.clone();
        let root = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{root}{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let method = Method::from_bytes(call.method.as_bytes()).unwrap_or_default();
        let mut request = Request::new(method, url);
        request
            .headers_mut()
            .insert(AUTHORIZATION, self.key.clone());
        Ok(request)
    }

    /// Asks until there is an answer, or no hope of one.
    async fn done<T: DeserializeOwned>(
        &self,
        call: &Call,
        request: &Request,
    ) -> Result<T, AtomsError> {
        for again in 1.. {
            self.pace.turn().await;
            // Only a streamed body cannot be cloned.
            let request = request.try_clone().ok_or(AtomsError::BaseUrl)?;
            let answer = self.once(call, request).await;
            let outcome = answer
                .as_ref()
                .map(|_| ())
                .map_err(|failure| &failure.error);
            self.requests.count(outcome);
            let failure = match answer {
                Ok(data) => return Ok(data),
                Err(failure) => failure,
            };
            let hopeless = match failure.hope {
                Hope::None => true,
                Hope::NotDone => false,
                Hope::MayBeDone => call.repeatable == Repeatable::No,
            };
            let asked_for = failure.wait.unwrap_or_default();
            if hopeless || again >= self.tries || asked_for > LONGEST_WAIT {
                return Err(failure.error);
            }
            let pause = pause(again).max(asked_for);
            tracing::debug!(error = %failure.error, ?pause, "asking Atoms again");
            if asked_for.is_zero() {
                tokio::time::sleep(pause).await;
            } else {
                self.pace.hold(pause).await;
            }
        }
        // Not reached: the last try has returned.
        Err(AtomsError::BaseUrl)
    }

    async fn once<T: DeserializeOwned>(&self, call: &Call, request: Request) -> Result<T, Failure> {
        let mut response = match self.http.execute(request).await {
            Ok(response) => response,
            Err(error) => return Err(self.unreachable(&error)),
        };
        let status = response.status();
        let header_wait = retry_after(&response);
        let body = match whole(&mut response).await {
            Ok(body) => body,
            Err(Some(error)) => return Err(self.unreachable(&error)),
            Err(None) => {
                let departure = "more than anyone could mean".to_owned();
                return Err(Failure::last(self.not_the_api(&what(call), departure)));
            }
        };
        if status.is_success() {
            return self.read(call, status, &body);
        }
        Err(self.failure(call, status, header_wait, &body))
    }

    fn read<T: DeserializeOwned>(
        &self,
        call: &Call,
        status: StatusCode,
        body: &[u8],
    ) -> Result<T, Failure> {
        let answer: Result<Done, _> = serde_json::from_slice(body);
        let data = match answer {
            Ok(answer) => answer.data,
            // It broke off, or something between here and there answers in the API's place.
            Err(error) if error.is_eof() || error.is_syntax() => {
                return Err(Failure {
                    error: AtomsError::Unwell {
                        at: self.at(),
                        what: what(call),
                        status: status.as_u16(),
                    },
                    hope: Hope::MayBeDone,
                    wait: None,
                });
            }
            Err(error) => {
                return Err(Failure::last(
                    self.not_the_api(&what(call), departure(&error)),
                ));
            }
        };
        serde_json::from_str(data.get())
            .map_err(|error| Failure::last(self.not_the_api(&what(call), departure(&error))))
    }

    fn failure(
        &self,
        call: &Call,
        status: StatusCode,
        header_wait: Option<Duration>,
        body: &[u8],
    ) -> Failure {
        let answer: Failed = serde_json::from_slice(body).unwrap_or_default();
        let (at, what) = (self.at(), what(call));
        match status {
            StatusCode::UNAUTHORIZED => Failure::last(AtomsError::KeyRefused),
            StatusCode::FORBIDDEN => Failure::last(AtomsError::Forbidden { what }),
            StatusCode::TOO_MANY_REQUESTS => Failure {
                error: AtomsError::TooMany { at },
                hope: Hope::NotDone,
                wait: header_wait.or_else(|| answer.wait()),
            },
            _ if status.is_server_error() => Failure {
                error: AtomsError::Unwell {
                    at,
                    what,
                    status: status.as_u16(),
                },
                hope: Hope::MayBeDone,
                wait: header_wait,
            },
            _ if status.is_client_error() => Failure::last(AtomsError::Refused {
                words: self.words(call, &answer),
                what,
                status: status.as_u16(),
            }),
            _ => Failure::last(self.not_the_api(&what, format!("status {}", status.as_u16()))),
        }
    }

    /// What the API says, about webhooks and agents alone: about calls it may name people.
    pub(in crate::atoms) fn words(&self, call: &Call, answer: &Failed) -> String {
        if call.path.starts_with(contract::CALLS.path) {
            return String::new();
        }
        let words: Vec<String> = answer.errors.iter().filter_map(in_words).collect();
        let words = words.join("; ").replace(&self.key_text.0, "***");
        let shown = words.chars().filter(|c| !c.is_control());
        shown.take(LONGEST_WORDS).collect()
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let reason = if error.is_timeout() {
            format!("nothing within {:?}", self.timeout)
        } else {
            innermost(error)
        };
        Failure {
            error: AtomsError::Unreachable {
                at: self.at(),
                reason,
            },
            hope: if error.is_connect() {
                Hope::NotDone
            } else {
                Hope::MayBeDone
            },
            wait: None,
        }
    }

    pub(super) fn not_the_api(&self, what: &str, departure: String) -> AtomsError {
        AtomsError::NotTheApi {
            at: self.at(),
            what: what.to_owned(),
            departure,
        }
    }

    /// The API's address without what may stand before its host.
    fn at(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        let port = self.base.port().map(|port| format!(":{port}"));
        let (scheme, port) = (self.base.scheme(), port.unwrap_or_default());
        format!("{scheme}://{host}{port}{}", self.base.path())
    }
}

/// Why one try failed.
struct Failure {
    error: AtomsError,
    hope: Hope,
    /// How long the API asks to be left alone.
    wait: Option<Duration>,
}

/// Whether asking again can help.
enum Hope {
    None,
    /// It can, and nothing was done.
    NotDone,
    /// It can, but what was asked for may have been done.
    MayBeDone,
}

impl Failure {
    fn last(error: AtomsError) -> Self {
        Self {
            error,
            hope: Hope::None,
            wait: None,
        }
    }
}

#[derive(Deserialize)]
struct Done {
    data: Box<RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::atoms) struct Failed {
    errors: Vec<Value>,
    retry_after: Option<f64>,
}

impl Failed {
    fn wait(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.retry_after?).ok()
    }
}

/// An error of the API's: a text, or an object that has one.
fn in_words(error: &Value) -> Option<String> {
    let text = error.as_str().or_else(|| error.get("message")?.as_str());
    text.map(str::to_owned)
}

/// The call by method and path, without ids.
pub(super) fn what(call: &Call) -> String {
    format!("{} {}", call.method, call.path)
}

/// The parser's own message may quote what it read.
pub(super) fn departure(error: &serde_json::Error) -> String {
    format!("at line {}, column {}", error.line(), error.column())
}

/// The body, up to a size. `Err(None)`: beyond it.
async fn whole(response: &mut Response) -> Result<Vec<u8>, Option<reqwest::Error>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Some)? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let seconds: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// What the system said, without the layers that only say that a request failed.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Longer than the API asks anyone to wait; whoever waits that long is told so instead.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// A page of the largest size, with room.
const LARGEST_ANSWER: usize = 64 << 20;
const LONGEST_WORDS: usize = 300;
