//! What the platform holds: agents, webhooks, subscriptions and calls. Pure but for the ids it gives.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::Listed;
use super::platform::Due;
use crate::event::Stage;
use crate::sender::samples::api::Recorded;

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) agents: BTreeMap<String, String>,
    pub(super) webhooks: Vec<Webhook>,
    pub(super) subscriptions: Vec<Subscribed>,
    calls: HashMap<String, KnownCall>,
    /// Calls by their last change.
    changed: BTreeSet<(u64, String)>,
    changes: u64,
    ids: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Webhook {
    pub(super) id: String,
    pub(super) url: String,
    pub(super) description: String,
    pub(super) secret: String,
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub(super) struct Subscribed {
    pub(super) id: String,
    pub(super) webhook_id: String,
    pub(super) agent_id: String,
    pub(super) stage: Stage,
}

#[derive(Debug)]
struct KnownCall {
    recorded: Recorded,
    listed: Listed,
    reached: Option<Stage>,
    retries: Vec<String>,
    change: u64,
}

impl World {
    pub(super) fn add_agent(&mut self, id: &str, name: &str) {
        self.agents.insert(id.to_owned(), name.to_owned());
    }

    pub(super) fn add_webhook(
        &mut self,
        url: &str,
        description: &str,
        events: &[(&str, Stage)],
    ) -> String {
        let id = self.id();
        self.webhooks.push(Webhook {
            id: id.clone(),
            url: url.to_owned(),
            description: description.to_owned(),
            secret: format!("whsec_{}", uuid::Uuid::new_v4().simple()),
            headers: BTreeMap::new(),
        });
        for (agent_id, stage) in events {
            self.subscribe(agent_id, &id, *stage);
        }
        id
    }

    pub(super) fn subscribe(&mut self, agent_id: &str, webhook_id: &str, stage: Stage) {
        let id = self.id();
        self.subscriptions.push(Subscribed {
            id,
            webhook_id: webhook_id.to_owned(),
            agent_id: agent_id.to_owned(),
            stage,
        });
    }

    pub(super) fn webhook(&mut self, id: &str) -> Option<&mut Webhook> {
        self.webhooks.iter_mut().find(|webhook| webhook.id == id)
    }

    pub(super) fn secret_of(&self, webhook_id: &str) -> Option<String> {
        let mut webhooks = self.webhooks.iter();
        let found = webhooks.find(|webhook| webhook.id == webhook_id)?;
        Some(found.secret.clone())
    }

    pub(super) fn headers_of(&self, webhook_id: &str) -> BTreeMap<String, String> {
        let mut webhooks = self.webhooks.iter();
        let found = webhooks.find(|webhook| webhook.id == webhook_id);
        found.map(|found| found.headers.clone()).unwrap_or_default()
    }

    pub(super) fn subscriptions_of(&self, agent_id: &str) -> Vec<(String, Stage)> {
        let of_agent = |row: &&Subscribed| row.agent_id == agent_id;
        let rows = self.subscriptions.iter().filter(of_agent);
        rows.map(|row| (row.webhook_id.clone(), row.stage))
            .collect()
    }

    pub(super) fn add_call(&mut self, recorded: Recorded, listed: Listed) {
        let call_id = recorded.call_id.clone();
        let call = KnownCall {
            recorded,
            listed,
            reached: None,
            retries: Vec::new(),
            change: 0,
        };
        self.calls.insert(call_id.clone(), call);
        self.touch(&call_id);
    }

    pub(super) fn link_retry(&mut self, of: &str, retry: &str) {
        if let Some(call) = self.calls.get_mut(of) {
            call.retries.push(retry.to_owned());
        }
        self.touch(of);
    }

    /// The call comes to a stage; gives back who is to be told.
    pub(super) fn advance(&mut self, call_id: &str, stage: Stage) -> Vec<Due> {
        let Some(call) = self.calls.get_mut(call_id) else {
            return Vec::new();
        };
        call.reached = Some(stage);
        let agent_id = call.recorded.agent_id.clone();
        let mut deliveries = call.recorded.deliveries.iter();
        let told = deliveries.find(|sample| sample.stage == stage);
        let body = told.map(|sample| sample.body.clone());
        self.touch(call_id);
        let Some(body) = body else {
            return Vec::new();
        };
        let wants = |row: &&Subscribed| row.agent_id == agent_id && row.stage == stage;
        let rows = self.subscriptions.iter().filter(wants);
        rows.filter_map(|row| {
            let mut webhooks = self.webhooks.iter();
            let webhook = webhooks.find(|webhook| webhook.id == row.webhook_id)?;
            Some(Due {
                webhook_id: webhook.id.clone(),
                url: webhook.url.clone(),
                secret: webhook.secret.clone(),
                headers: webhook.headers.clone(),
                body: body.clone(),
            })
        })
        .collect()
    }

    /// A page of rows, the call that changed last first, and whether there are older ones.
    pub(super) fn page(&self, page: usize, limit: usize) -> (Vec<Value>, bool) {
        let listed = |(_, call_id): &&(u64, String)| {
            let call = self.calls.get(call_id);
            call.is_some_and(|call| call.listed == Listed::First)
        };
        let mut newest = self.changed.iter().rev().filter(listed);
        let skipped = page.saturating_sub(1).saturating_mul(limit);
        let rows: Vec<Value> = newest
            .by_ref()
            .skip(skipped)
            .take(limit)
            .filter_map(|(_, call_id)| self.row(call_id))
            .collect();
        (rows, newest.next().is_some())
    }

    pub(super) fn row(&self, call_id: &str) -> Option<Value> {
        let call = self.calls.get(call_id)?;
        let mut row = call.recorded.row.clone();
        row.insert("retryCount".into(), call.retries.len().into());
        if !call.is_over() {
            under_way(&mut row, call.reached);
        }
        Some(row.into())
    }

    pub(super) fn detail(&self, call_id: &str) -> Option<Value> {
        let call = self.calls.get(call_id)?;
        let mut detail = call.recorded.detail.clone();
        if !call.is_over() {
            under_way(&mut detail, call.reached);
        }
        if call.reached != Some(Stage::AnalyticsCompleted) {
            detail.remove("postCallAnalytics");
        }
        Some(detail.into())
    }

    /// The further tries of a call; `None` when there is no such call.
    pub(super) fn retries(&self, call_id: &str) -> Option<Vec<Value>> {
        let call = self.calls.get(call_id)?;
        Some(call.retries.iter().filter_map(|id| self.row(id)).collect())
    }

    /// 24 hex digits.
    fn id(&mut self) -> String {
        self.ids += 1;
        format!("6a01c0de{:016x}", self.ids)
    }

    fn touch(&mut self, call_id: &str) {
        if let Some(call) = self.calls.get_mut(call_id) {
            self.changed.remove(&(call.change, call_id.to_owned()));
            self.changes += 1;
            call.change = self.changes;
            self.changed.insert((self.changes, call_id.to_owned()));
        }
    }
}

impl KnownCall {
    fn is_over(&self) -> bool {
        matches!(
            self.reached,
            Some(Stage::PostConversation | Stage::AnalyticsCompleted)
        )
    }
}

/// What is not known yet of a call that goes on.
fn under_way(of: &mut Map<String, Value>, reached: Option<Stage>) {
    let status = if reached.is_some() {
        "active"
    } else {
        "in_queue"
    };
    of.insert("status".into(), json!(status));
    for later in [
        "duration",
        "disconnectionReason",
        "recordingUrl",
        "recordingDualUrl",
        "transcript",
    ] {
        of.remove(later);
    }
}
