//! What `atoms connect` says: what it did, or would do, what that costs others, and what is left to configure.

use std::io::Write;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Serialize;

use crate::atoms::answers::Agent;
use crate::atoms::setup::Cost;
use crate::cli::output::{Output, OutputError, printable};
use crate::event::Stage;
use crate::receive::delivery::WebhookName;

/// What was done, or would be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) action: Action,
    pub(super) url: String,
    pub(super) webhook: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) webhook_id: Option<String>,
    pub(super) agents: Vec<String>,
    pub(super) events: Vec<&'static str>,
    /// What other webhooks lose by it, or would.
    pub(super) costs: Vec<Told>,
    /// What should be there now and is not.
    pub(super) missing: Vec<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
    /// Whether the configuration has that secret already.
    pub(super) is_configured: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    Refused,
    WouldCreate,
    WouldSubscribe,
    Created,
    Subscribed,
    Unchanged,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    pub(super) agent_id: String,
    pub(super) webhook_id: String,
    pub(super) event: String,
}

impl Report {
    pub(super) fn new(
        (url, webhook): (&Url, &WebhookName),
        agents: &[Agent],
        stages: &[Stage],
        costs: &[Cost],
    ) -> Self {
        Self {
            action: Action::Refused,
            url: url.to_string(),
            webhook: webhook.to_string(),
            webhook_id: None,
            agents: agents.iter().map(|agent| agent.id.clone()).collect(),
            events: stages.iter().map(|stage| stage.name()).collect(),
            costs: costs.iter().map(Told::from).collect(),
            missing: Vec::new(),
            secret_file: None,
            secret: None,
            is_configured: false,
            note: None,
        }
    }

    pub(super) fn write(
        &self,
        output: &mut Output<impl Write>,
        json: bool,
    ) -> Result<(), OutputError> {
        if json {
            return output.json(self);
        }
        let id = self.webhook_id.as_deref().unwrap_or_default();
        let (url, events) = (printable(&self.url), self.events.join(", "));
        output.line(&match self.action {
            Action::Refused => format!("refused    {url} has a webhook, and a subscription to it takes agents away from others"),
            Action::WouldCreate => format!("would make a webhook for {url}"),
            Action::WouldSubscribe => format!("would subscribe agents to the webhook of {url}"),
            Action::Created => format!("webhook    {id} made for {url}"),
            Action::Subscribed => format!("webhook    {id} of {url} was there; agents were subscribed to it"),
            Action::Unchanged => format!("webhook    of {url}: nothing to change"),
        })?;
        for agent in &self.agents {
            output.line(&format!("agent      {agent}: {events}"))?;
        }
        for Told {
            agent_id,
            webhook_id,
            event,
        } in &self.costs
        {
            let event = printable(event);
            output.line(&format!(
                "costs      {agent_id} is no longer told to webhook {webhook_id}: {event}"
            ))?;
        }
        for Told {
            agent_id,
            webhook_id,
            event,
        } in &self.missing
        {
            let event = printable(event);
            output.line(&format!(
                "MISSING    {agent_id} is not told to webhook {webhook_id}: {event}"
            ))?;
        }
        if self.action == Action::Refused {
            output.line("do         give --replace to do it all the same, or another --url, such as one that ends in /webhooks/NAME")?;
        }
        if let Some(note) = &self.note {
            output.line(&format!("note       {note}"))?;
        }
        self.write_secret(output)
    }

    fn write_secret(&self, output: &mut Output<impl Write>) -> Result<(), OutputError> {
        if let Some(secret) = &self.secret {
            output.line(&format!("secret     {}", printable(secret)))?;
        }
        if let Some(path) = &self.secret_file {
            output.line(&format!("secret     {} (mode 0600)", path.display()))?;
            self.write_setting(output, path)?;
        }
        if self.is_configured {
            output.line(&format!(
                "configured webhooks.{} verifies with its secret",
                self.webhook
            ))?;
        }
        Ok(())
    }

    /// What to configure, unless that is done.
    fn write_setting(
        &self,
        output: &mut Output<impl Write>,
        path: &Path,
    ) -> Result<(), OutputError> {
        if self.is_configured {
            return Ok(());
        }
        let (name, path) = (&self.webhook, path.display());
        output.line(&format!("configure  [webhooks.{name}]"))?;
        output.line(&format!("           secrets = [\"file:{path}\"]"))?;
        output.line("then       atoms-kafka-bridge check")
    }
}

impl From<&Cost> for Told {
    fn from(cost: &Cost) -> Self {
        Self {
            agent_id: cost.agent_id.clone(),
            webhook_id: cost.webhook_id.clone(),
            event: cost.event_type.clone(),
        }
    }
}
