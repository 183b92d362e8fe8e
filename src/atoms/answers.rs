//! What is read out of the API's answers: as little as is needed, by as few assumptions as there can be.
//!
//! A member that is missing costs what it says, not the answer; [`super::contract`] says what is always there.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::dialect::api::{self, Glance};
use crate::dialect::made_at;
use crate::event::Stage;
use crate::time::Timestamp;
use crate::verify::secret::Secret;

/// A webhook as Atoms knows it.
#[derive(Debug, Clone, Deserialize)]
pub struct RemoteWebhook {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Where it delivers to.
    pub url: String,
    /// The owner's label.
    #[serde(default, deserialize_with = "text_or_nothing")]
    pub description: String,
    /// `enabled` or `disabled`.
    #[serde(default)]
    pub status: String,
    /// Who subscribes to what, a row for each agent and type.
    #[serde(default)]
    pub subscriptions: Vec<Subscription>,
    /// What it signs with, if the answer says it.
    #[serde(default, rename = "decryptedSecretKey", deserialize_with = "secret")]
    pub secret: Option<Secret>,
}

/// An agent's subscription to one type of event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// The webhook that delivers.
    pub webhook_id: String,
    /// The agent whose calls are told; `None` of one that is gone.
    #[serde(default, rename = "agentId", deserialize_with = "agent")]
    pub agent: Option<Agent>,
    /// The type, in Atoms' word.
    pub event_type: String,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Agent {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its name, where the answer says it.
    #[serde(default, deserialize_with = "text_or_nothing")]
    pub name: String,
}

/// A page of agents.
#[derive(Debug, Deserialize)]
pub(super) struct AgentsPage {
    pub(super) agents: Vec<Agent>,
    pub(super) total: u64,
}

/// A page of the list of calls.
#[derive(Debug)]
pub struct CallsPage {
    /// The calls, the one that changed last first.
    pub calls: Vec<ListedCall>,
    /// Whether there are older ones.
    pub has_more: bool,
}

/// A row of a list of calls. `Debug` shows nothing of its content.
#[derive(Clone)]
pub struct ListedCall {
    /// The call.
    pub call_id: String,
    /// How it stands, in Atoms' word.
    pub status: String,
    /// How often it was tried again.
    pub retry_count: u64,
    /// The agent that holds it, if the row says it.
    pub agent_id: Option<String>,
    /// When it was made or queued, if row or id say it.
    pub created_at: Option<Timestamp>,
    /// How long it lasted, if the row says it.
    pub duration: Option<Duration>,
    /// The whole row.
    pub row: Box<RawValue>,
}

/// A call as the API told it when it was asked for it: detail and row in one body. Only the client makes one, so whoever
/// has one knows that it is the sender's word. `Debug` shows nothing of its content.
#[derive(Clone)]
pub struct FetchedCall {
    call_id: String,
    body: Bytes,
    glance: Glance,
}

impl FetchedCall {
    /// `None` when the detail is no JSON object.
    pub(super) fn of(detail: &RawValue, listed: &ListedCall) -> Option<Self> {
        let body = Bytes::from(api::merged(detail.get(), Some(listed.row.get()))?);
        Some(Self {
            call_id: listed.call_id.clone(),
            glance: Glance::at(&body),
            body,
        })
    }

    #[cfg(test)]
    pub(crate) fn for_test(call_id: &str, body: &str) -> Self {
        Self {
            call_id: call_id.to_owned(),
            body: Bytes::from(body.to_owned()),
            glance: Glance::at(body.as_bytes()),
        }
    }

    /// The call.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// All that is known of it, without what is no part of a delivery.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// What decides whether it is time to make events of it.
    pub fn glance(&self) -> &Glance {
        &self.glance
    }
}

impl RemoteWebhook {
    /// Whether it delivers.
    pub fn is_enabled(&self) -> bool {
        self.status != "disabled"
    }
}

impl Subscription {
    /// Whether it is this agent's.
    pub fn is_of(&self, agent_id: &str) -> bool {
        self.agent
            .as_ref()
            .is_some_and(|agent| agent.id == agent_id)
    }

    /// The type, if it is one of the three.
    pub fn stage(&self) -> Option<Stage> {
        Stage::parse(&self.event_type)
    }
}

#[derive(Deserialize)]
pub(super) struct RawPage {
    logs: Vec<Box<RawValue>>,
    pagination: Pagination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pagination {
    has_more: bool,
}

#[derive(Deserialize)]
pub(super) struct RawFound {
    logs: Vec<Box<RawValue>>,
}

impl RawFound {
    pub(super) fn read(self) -> Result<Vec<ListedCall>, serde_json::Error> {
        rows(self.logs)
    }
}

#[derive(Deserialize)]
pub(super) struct RawRetries {
    retries: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    call_id: String,
    #[serde(default, deserialize_with = "text_or_nothing")]
    status: String,
    #[serde(default)]
    retry_count: Option<u64>,
    #[serde(default)]
    agent_id: Option<Box<RawValue>>,
    #[serde(default)]
    created_at: Option<Box<RawValue>>,
    #[serde(default)]
    duration: Option<Box<RawValue>>,
}

impl RawPage {
    pub(super) fn read(self) -> Result<CallsPage, serde_json::Error> {
        Ok(CallsPage {
            calls: rows(self.logs)?,
            has_more: self.pagination.has_more,
        })
    }
}

impl RawRetries {
    pub(super) fn read(self) -> Result<Vec<ListedCall>, serde_json::Error> {
        rows(self.retries)
    }
}

fn rows(rows: Vec<Box<RawValue>>) -> Result<Vec<ListedCall>, serde_json::Error> {
    rows.into_iter().map(ListedCall::read).collect()
}

impl ListedCall {
    /// Reads a row.
    ///
    /// # Errors
    ///
    /// It says no call.
    pub fn read(row: Box<RawValue>) -> Result<Self, serde_json::Error> {
        let read: Row = serde_json::from_str(row.get())?;
        let created_at: Option<String> = if_it_fits(read.created_at.as_deref());
        let created_at = created_at.and_then(|text| Timestamp::parse(&text));
        let seconds: Option<f64> = if_it_fits(read.duration.as_deref());
        let agent = read.agent_id.as_deref();
        Ok(Self {
            status: read.status,
            retry_count: read.retry_count.unwrap_or_default(),
            agent_id: if_it_fits::<String>(agent)
                .or_else(|| if_it_fits::<AgentId>(agent).map(|agent| agent.id)),
            created_at: created_at.or_else(|| made_at(&read.call_id)),
            duration: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            call_id: read.call_id,
            row,
        })
    }
}

#[derive(Deserialize)]
struct AgentId {
    #[serde(rename = "_id")]
    id: String,
}

/// What is of another type costs what it says, not the row.
fn if_it_fits<T: DeserializeOwned>(value: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(value?.get()).ok()
}

/// One or many: the API gives an object where one was asked for, or a list all the same.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    Many(Vec<RemoteWebhook>),
    One(Box<RemoteWebhook>),
}

impl From<OneOrMany> for Vec<RemoteWebhook> {
    fn from(found: OneOrMany) -> Self {
        match found {
            OneOrMany::Many(many) => many,
            OneOrMany::One(one) => vec![*one],
        }
    }
}

/// An agent as an object, by its id alone, or none.
fn agent<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Agent>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Told {
        Whole(Agent),
        Id(String),
        Nothing(()),
    }
    Ok(match Told::deserialize(from)? {
        Told::Whole(agent) => Some(agent),
        Told::Id(id) => Some(Agent {
            id,
            name: String::new(),
        }),
        Told::Nothing(()) => None,
    })
}

fn text_or_nothing<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    Ok(text.and_then(|text| Secret::new(text.as_bytes())))
}

impl fmt::Debug for ListedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedCall")
            .field("call_id", &self.call_id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FetchedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FetchedCall({}, {} bytes)",
            self.call_id,
            self.body.len()
        )
    }
}
