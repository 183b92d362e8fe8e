//! A client of the API: each call of the contract as a function.
//!
//! A question waits for its turn and is asked again where that can help: after an answer of 429 or 5xx, a broken one, or
//! none. What would be done twice by asking twice is asked again only when it surely was not done. The key is in no error
//! and no log, and goes nowhere else: redirects are not followed.

mod asking;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Url, redirect};
use serde_json::value::RawValue;
use serde_json::{Value, json};

#[cfg(test)]
pub(super) use self::asking::Failed;
use self::asking::{departure, innermost, what};
use super::answers::{
    Agent, AgentsPage, CallsPage, FetchedCall, ListedCall, OneOrMany, RawFound, RawPage,
    RawRetries, RemoteWebhook, Subscription,
};
use super::contract;
use super::error::AtomsError;
use super::pace::Pace;
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
    requests: Arc<Requests>,
    timeout: Duration,
    tries: u32,
}

/// Requests so far, by what became of them.
#[derive(Debug, Default)]
pub struct Requests {
    pub(super) answered: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Requests {
    /// Those that were answered as they should be, or with a refusal of what was asked for.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Those that came too fast.
    pub fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// Those that had no answer that helps.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.answered() + self.throttled() + self.failed()
    }

    pub(super) fn count(&self, outcome: Result<(), &AtomsError>) {
        let counter = match outcome {
            Err(AtomsError::TooMany { .. }) => &self.throttled,
            Err(error) if error.may_pass() => &self.failed,
            Ok(()) | Err(_) => &self.answered,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
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
            requests: Arc::default(),
            timeout: config.timeout,
            tries: TRIES,
        })
    }

    /// The same client that asks so often at most; once for whoever rather hears at once how things stand.
    pub fn with_tries(self, tries: u32) -> Self {
        Self { tries, ..self }
    }

    /// The requests of this client and its clones.
    pub fn requests(&self) -> &Arc<Requests> {
        &self.requests
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

    /// The rows of calls by their ids, at most [`contract::MOST_SEARCHED`]; those that the API does not know are left out.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn search(&self, call_ids: &[String]) -> Result<Vec<ListedCall>, AtomsError> {
        let body = json!({ "callIds": call_ids });
        let found: RawFound = self.tell(&contract::SEARCH_CALLS, &[], &body).await?;
        found
            .read()
            .map_err(|error| self.not_the_api(&what(&contract::SEARCH_CALLS), departure(&error)))
    }

    /// All that is known of a listed call; `None` when the API does not know it any more.
    ///
    /// # Errors
    ///
    /// No answer that helps.
    pub async fn call(&self, listed: &ListedCall) -> Result<Option<FetchedCall>, AtomsError> {
        let asked = self.ask(&contract::CALL, &[&listed.call_id], &[]).await;
        let found: Option<Box<RawValue>> = unless_missing(asked)?;
        let Some(detail) = found else {
            return Ok(None);
        };
        let fetched = FetchedCall::of(&detail, listed);
        let departure = || "no object".to_owned();
        fetched
            .map(Some)
            .ok_or_else(|| self.not_the_api(&what(&contract::CALL), departure()))
    }
}

/// `None` for what is not there.
fn unless_missing<T>(asked: Result<T, AtomsError>) -> Result<Option<T>, AtomsError> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(AtomsError::Refused { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let ip = host.parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

const TRIES: u32 = 6;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const AGENTS_A_PAGE: u32 = 100;
