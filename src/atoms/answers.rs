//! What is read out of the API's answers: as little as is needed, by as few assumptions as there can be.
//!
//! A member that is missing costs what it says, not the answer; [`super::contract`] says what is always there.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::event::Stage;
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
    /// The whole row.
    pub row: Box<RawValue>,
}

/// The whole of what is known of a call, as it was sent. `Debug` shows nothing of its content.
#[derive(Clone)]
pub struct CallDetail(pub Box<RawValue>);

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
    let read = |row: Box<RawValue>| {
        let Row {
            call_id,
            status,
            retry_count,
        } = serde_json::from_str(row.get())?;
        Ok(ListedCall {
            call_id,
            status,
            retry_count: retry_count.unwrap_or_default(),
            row,
        })
    };
    rows.into_iter().map(read).collect()
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

impl fmt::Debug for CallDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallDetail({} bytes)", self.0.get().len())
    }
}
