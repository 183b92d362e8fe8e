//! `atoms webhooks` and `atoms agents`: what is there.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::{Side, name_of};
use crate::atoms::answers::{Agent, RemoteWebhook};
use crate::cli::Ended;
use crate::cli::output::{Mood, Output, Shown};
use crate::receive::delivery::WebhookName;

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A JSON object a line, for programs
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    agents: Vec<AgentEvents>,
    /// The configured webhook that the address means.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<String>,
    state: State,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentEvents {
    id: String,
    name: String,
    events: Vec<String>,
}

/// How a webhook there and the configuration here go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// It verifies.
    Ok,
    /// Its address means no webhook that is configured here.
    NotConfigured,
    /// None of the configured secrets is its own.
    OtherSecret,
    /// Atoms does not deliver to it.
    Disabled,
    /// It is configured here, and Atoms has none whose secret fits.
    Missing,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentLine {
    id: String,
    name: String,
    webhooks: Vec<Delivered>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Delivered {
    id: String,
    url: String,
    events: Vec<String>,
}

pub(super) async fn webhooks(
    output: &mut Output<impl Write>,
    side: &Side,
    args: &Args,
) -> anyhow::Result<Ended> {
    let found = side.client.webhooks().await?;
    let mut lines: Vec<WebhookLine> = found.iter().map(|webhook| line(side, webhook)).collect();
    let names = side.config.webhooks.keys();
    let unserved = names.filter(|name| !found.iter().any(|webhook| serves(side, webhook, name)));
    lines.extend(unserved.map(missing));
    let is_well = lines.iter().all(|line| line.state != State::Missing);
    if args.json {
        lines.iter().try_for_each(|line| output.json(line))?;
    } else {
        let header = ["ID", "URL", "STATUS", "AGENTS", "WEBHOOK", "STATE"];
        output.table(&header, lines.iter().map(webhook_row))?;
    }
    Ok(if is_well { Ended::Done } else { Ended::Finding })
}

pub(super) async fn agents(
    output: &mut Output<impl Write>,
    side: &Side,
    args: &Args,
) -> anyhow::Result<Ended> {
    let (agents, webhooks) = (side.client.agents().await?, side.client.webhooks().await?);
    let lines = agents.into_iter().map(|agent| AgentLine {
        webhooks: delivered(&agent, &webhooks),
        id: agent.id,
        name: agent.name,
    });
    if args.json {
        for line in lines {
            output.json(&line)?;
        }
        return Ok(Ended::Done);
    }
    let rows = lines.flat_map(|line| {
        let row = |url: &str, events: &str| {
            let texts = [&line.id, &line.name, url, events];
            texts.map(Shown::text).to_vec()
        };
        if line.webhooks.is_empty() {
            return vec![row("-", "-")];
        }
        let rows = line.webhooks.iter();
        rows.map(|to| row(&to.url, &to.events.join(" "))).collect()
    });
    output.table(&["ID", "NAME", "DELIVERED TO", "EVENTS"], rows)?;
    Ok(Ended::Done)
}

fn line(side: &Side, webhook: &RemoteWebhook) -> WebhookLine {
    let name = name_of(&webhook.url);
    let configured = name.filter(|name| side.config.webhooks.contains_key(name));
    let state = match &configured {
        None => State::NotConfigured,
        Some(_) if !webhook.is_enabled() => State::Disabled,
        Some(name) if side.verifies(webhook, name) => State::Ok,
        Some(_) => State::OtherSecret,
    };
    WebhookLine {
        id: Some(webhook.id.clone()),
        url: Some(webhook.url.clone()),
        description: Some(webhook.description.clone()),
        status: Some(webhook.status.clone()),
        agents: agents_of(webhook),
        webhook: configured.map(|name| name.to_string()),
        state,
    }
}

fn missing(name: &WebhookName) -> WebhookLine {
    WebhookLine {
        id: None,
        url: None,
        description: None,
        status: None,
        agents: Vec::new(),
        webhook: Some(name.to_string()),
        state: State::Missing,
    }
}

/// A proxy may give a webhook any address: what counts is that its deliveries verify.
fn serves(side: &Side, webhook: &RemoteWebhook, name: &WebhookName) -> bool {
    webhook.is_enabled() && side.verifies(webhook, name)
}

fn agents_of(webhook: &RemoteWebhook) -> Vec<AgentEvents> {
    let mut agents: BTreeMap<String, AgentEvents> = BTreeMap::new();
    for row in &webhook.subscriptions {
        let Some(agent) = &row.agent else { continue };
        let of_agent = agents
            .entry(agent.id.clone())
            .or_insert_with(|| AgentEvents {
                id: agent.id.clone(),
                name: agent.name.clone(),
                events: Vec::new(),
            });
        of_agent.events.push(row.event_type.clone());
    }
    agents.into_values().collect()
}

fn delivered(agent: &Agent, webhooks: &[RemoteWebhook]) -> Vec<Delivered> {
    let of_webhook = |webhook: &RemoteWebhook| {
        let rows = webhook.subscriptions.iter();
        let own = rows.filter(|row| row.is_of(&agent.id));
        let events: Vec<String> = own.map(|row| row.event_type.clone()).collect();
        (!events.is_empty()).then(|| Delivered {
            id: webhook.id.clone(),
            url: webhook.url.clone(),
            events,
        })
    };
    webhooks.iter().filter_map(of_webhook).collect()
}

fn webhook_row(line: &WebhookLine) -> Vec<Shown> {
    let or_dash = |text: &Option<String>| Shown::text(text.as_deref().unwrap_or("-"));
    let agents: Vec<String> = line
        .agents
        .iter()
        .map(|agent| format!("{}:{}", agent.id, agent.events.join("+")))
        .collect();
    let agents = if agents.is_empty() {
        "-".to_owned()
    } else {
        agents.join(" ")
    };
    let (word, mood) = match line.state {
        State::Ok => ("ok", Mood::Well),
        State::NotConfigured => ("not configured here", Mood::Waits),
        State::OtherSecret => ("has another secret", Mood::Ill),
        State::Disabled => ("disabled there", Mood::Ill),
        State::Missing => ("no webhook with its secret there", Mood::Ill),
    };
    vec![
        or_dash(&line.id),
        or_dash(&line.url),
        or_dash(&line.status),
        Shown::text(agents),
        or_dash(&line.webhook),
        Shown::Word(word.to_owned(), mood),
    ]
}
