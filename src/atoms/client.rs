//! A client of the API: each call of the contract as a function.
//!
//! A question waits for its turn and is asked again where that can help: after an answer of 429 or 5xx, a broken one, or
//! none. What would be done twice by asking twice is asked again only when it surely was not done. The key is in no error
//! and no log, and goes nowhere else: redirects are not followed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answers::{
    Agent, AgentsPage, CallDetail, CallsPage, ListedCall, OneOrMany, RawPage, RawRetries,
    RemoteWebhook, Subscription,
};
use super::contract::{self, Call, Repeatable};
use super::error::AtomsError;
use super::pace::{Pace, pause};
use crate::config::Atoms;
use crate::event::Stage;

/// A client of the API. Clones share its pace.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    /// Marked as sensitive, so that `Debug` does not show it.
    key: HeaderValue,
    /// The same, to take it out of what the API says.
    key_text: Arc<Redacted>,
    pace: Arc<Pace>,
    timeout: Duration,
    tries: u32,
}

/// A webhook to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWebhook {
    /// Where it is to deliver to.
    pub url: String,
    /// A label.
    pub description: String,
    /// Who subscribes to what.
    pub events: Vec<(String, Stage)>,
}

struct Redacted(String);

impl std::fmt::Debug for Redacted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Client {
    /// A client of the configured API.
    ///
    /// # Errors
    ///
    /// There is no key, or none that can be sent, or the system gives no client.
    pub fn new(config: &Atoms) -> Result<Self, AtomsError> {
        let secret = config.api_key.as_ref().ok_or(AtomsError::NoKey)?;
        let text = std::str::from_utf8(secret.expose()).map_err(|_| AtomsError::KeyUnfit)?;
        let mut key =
            HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| AtomsError::KeyUnfit)?;
        key.set_sensitive(true);
        let base = Url::parse(&config.base_url).map_err(|_| AtomsError::BaseUrl)?;
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(config.timeout.min(CONNECT_TIMEOUT))
            .timeout(config.timeout)
            .user_agent(concat!("atoms-kafka-bridge/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&base) {
            // A proxy from the environment cannot know what this machine's own address means.
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| AtomsError::Client(innermost(&error)))?;
        Ok(Self {
            http,
            base,
            key,
            key_text: Arc::new(Redacted(text.to_owned())),
            pace: Arc::new(Pace::new(config.requests_per_second)),
            timeout: config.timeout,
            tries: TRIES,
        })
    }

    /// The same client that asks so often at most; once for whoever rather hears at once how things stand.
    pub fn with_tries(self, tries: u32) -> Self {
        Self { tries, ..self }
    }

    /// Whether the API takes the key: the cheapest question that there is.
    ///
    /// # Errors
    ///
    /// It does not, or it cannot be asked.
    pub async fn check_key(&self) -> Result<(), AtomsError> {
        let query = [("page", "1".to_owned()), ("offset", "1".to_owned())];
        let _page: AgentsPage = self.ask(&contract::AGENTS, &[], &query).await?;
        Ok(())
    }

    /// All webhooks.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn webhooks(&self) -> Result<Vec<RemoteWebhook>, AtomsError> {
        let found: OneOrMany = self.ask(&contract::WEBHOOKS, &[], &[]).await?;
        Ok(found.into())
    }

    /// One webhook; `None` when there is none of that id.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn webhook(&self, id: &str) -> Result<Option<RemoteWebhook>, AtomsError> {
        let query = [("webhookId", id.to_owned())];
        let asked = self.ask(&contract::WEBHOOKS, &[], &query).await;
        let found: Option<OneOrMany> = unless_missing(asked)?;
        let found = found.map(Vec::from).unwrap_or_default();
        Ok(found.into_iter().find(|webhook| webhook.id == id))
    }

    /// Makes a webhook and gives back its id.
    ///
    /// # Errors
    ///
    /// No answer that helps. Where there was none at all it may have been made: look.
    pub async fn create_webhook(&self, webhook: &NewWebhook) -> Result<String, AtomsError> {
        let event = |(agent, stage): &(String, Stage)| json!({ "agentId": agent, "eventType": stage.name() });
        let body = json!({
            "endpoint": webhook.url,
            "description": webhook.description,
            "events": webhook.events.iter().map(event).collect::<Vec<_>>(),
        });
        self.tell(&contract::CREATE_WEBHOOK, &[], &body).await
    }

    /// Replaces all static headers of a webhook.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn set_headers(
        &self,
        webhook_id: &str,
        headers: &BTreeMap<String, String>,
    ) -> Result<(), AtomsError> {
        let body = json!({ "headers": headers });
        let _id: String = self
            .tell(&contract::UPDATE_WEBHOOK, &[webhook_id], &body)
            .await?;
        Ok(())
    }

    /// What an agent subscribes to.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn subscriptions(&self, agent_id: &str) -> Result<Vec<Subscription>, AtomsError> {
        self.ask(&contract::SUBSCRIPTIONS, &[agent_id], &[]).await
    }

    /// Subscribes an agent to these types of one webhook. **Every other webhook loses this agent.**
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn replace_subscriptions(
        &self,
        agent_id: &str,
        webhook_id: &str,
        stages: &[Stage],
    ) -> Result<(), AtomsError> {
        let types: Vec<&str> = stages.iter().map(|stage| stage.name()).collect();
        let body = json!({ "webhookId": webhook_id, "eventTypes": types });
        let _rows: Value = self.tell(&contract::SUBSCRIBE, &[agent_id], &body).await?;
        Ok(())
    }

    /// All agents that are not archived.
    ///
    /// # Errors
    ///
    /// No answer that helps, or fewer agents than the API says that there are.
    pub async fn agents(&self) -> Result<Vec<Agent>, AtomsError> {
        let mut agents: BTreeMap<String, Agent> = BTreeMap::new();
        for page in 1.. {
            let query = [
                ("page", page.to_string()),
                ("offset", AGENTS_A_PAGE.to_string()),
            ];
            let found: AgentsPage = self.ask(&contract::AGENTS, &[], &query).await?;
            let before = agents.len();
            let of_page = found.agents.into_iter();
            agents.extend(of_page.map(|agent| (agent.id.clone(), agent)));
            if agents.len() as u64 >= found.total {
                break;
            }
            if agents.len() == before {
                let departure = format!("{} of {} agents", agents.len(), found.total);
                return Err(self.not_the_api(&what(&contract::AGENTS), departure));
            }
        }
        Ok(agents.into_values().collect())
    }

    /// A page of the list of calls, from 1, the call that changed last first. Further tries are listed too, where the API
    /// lists them at all.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn calls(&self, page: u32, limit: u32) -> Result<CallsPage, AtomsError> {
        let query = [
            ("page", page.to_string()),
            ("limit", limit.min(contract::LARGEST_PAGE).to_string()),
            ("callAttemptFilter", "all".to_owned()),
        ];
        let found: RawPage = self.ask(&contract::CALLS, &[], &query).await?;
        found
            .read()
            .map_err(|error| self.not_the_api(&what(&contract::CALLS), departure(&error)))
    }

    /// The further tries of a call.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn retries(&self, call_id: &str) -> Result<Vec<ListedCall>, AtomsError> {
        let found: RawRetries = self.ask(&contract::RETRIES, &[call_id], &[]).await?;
        found
            .read()
            .map_err(|error| self.not_the_api(&what(&contract::RETRIES), departure(&error)))
    }

    /// All that is known of a call; `None` when the API does not know it.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn call(&self, call_id: &str) -> Result<Option<CallDetail>, AtomsError> {
        let asked = self.ask(&contract::CALL, &[call_id], &[]).await;
        let found: Option<Box<RawValue>> = unless_missing(asked)?;
        Ok(found.map(CallDetail))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        call: &Call,
        ids: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, AtomsError> {
        let request = self.request(call, ids, query)?;
        self.done(call, &request).await
    }

    async fn tell<T: DeserializeOwned>(
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
            let failure = match self.once(call, request).await {
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
    pub(super) fn words(&self, call: &Call, answer: &Failed) -> String {
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

    fn not_the_api(&self, what: &str, departure: String) -> AtomsError {
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
pub(super) struct Failed {
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

/// `None` for what is not there.
fn unless_missing<T>(asked: Result<T, AtomsError>) -> Result<Option<T>, AtomsError> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(AtomsError::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The call by method and path, without ids.
fn what(call: &Call) -> String {
    format!("{} {}", call.method, call.path)
}

/// The parser's own message may quote what it read.
fn departure(error: &serde_json::Error) -> String {
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

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let ip = host.parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// What the system said, without the layers that only say that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

const TRIES: u32 = 6;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than the API asks anyone to wait; whoever waits that long is told so instead.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// A page of the largest size, with room.
const LARGEST_ANSWER: usize = 64 << 20;
const AGENTS_A_PAGE: u32 = 100;
const LONGEST_WORDS: usize = 300;
