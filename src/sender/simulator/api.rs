//! What each call of the contract's table does with the world.

use serde_json::{Value, json};

use super::world::World;
use crate::atoms::contract::{self, Call};
use crate::event::Stage;

/// A request that fits the table.
pub(super) struct Fitting<'a> {
    pub(super) call: &'static Call,
    pub(super) ids: Vec<&'a str>,
    pub(super) query: &'a [(String, String)],
    pub(super) body: Value,
}

/// A status, and `data` or the words of an error.
pub(super) type Result = std::result::Result<Value, (u16, &'static str)>;

pub(super) fn answer(world: &mut World, request: &Fitting<'_>) -> Result {
    let id = request.ids.first().copied().unwrap_or_default();
    let is = |call: &'static Call| std::ptr::eq(request.call, call);
    if is(&contract::WEBHOOKS) {
        webhooks(world, request.parameter("webhookId"))
    } else if is(&contract::CREATE_WEBHOOK) {
        create_webhook(world, &request.body)
    } else if is(&contract::UPDATE_WEBHOOK) {
        update_webhook(world, id, &request.body)
    } else if is(&contract::DELETE_WEBHOOK) {
        delete_webhook(world, id)
    } else if is(&contract::SUBSCRIPTIONS) {
        subscriptions(world, id)
    } else if is(&contract::SUBSCRIBE) {
        subscribe(world, id, &request.body)
    } else if is(&contract::UNSUBSCRIBE) {
        world.subscriptions.retain(|row| row.agent_id != id);
        Ok(json!(null))
    } else if is(&contract::AGENTS) {
        Ok(agents(world, request))
    } else if is(&contract::CALLS) {
        Ok(calls(world, request))
    } else if is(&contract::SEARCH_CALLS) {
        Ok(search(world, &request.body))
    } else if is(&contract::CALL) {
        world.detail(id).ok_or((404, "Conversation not found"))
    } else if is(&contract::RETRIES) {
        let retries = world.retries(id).ok_or((404, "Conversation not found"))?;
        Ok(json!({ "retries": retries }))
    } else {
        Err((501, "the simulator does not play this"))
    }
}

impl Fitting<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(of, _)| of == name);
        found.map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str, default: usize) -> usize {
        let value = self.parameter(name).and_then(|value| value.parse().ok());
        value.unwrap_or(default)
    }
}

fn webhooks(world: &World, id: Option<&str>) -> Result {
    let rows = world.webhooks.iter().map(|webhook| {
        let own = world.subscriptions.iter();
        let subscriptions: Vec<Value> = own
            .filter(|row| row.webhook_id == webhook.id)
            .map(|row| {
                let name = world.agents.get(&row.agent_id);
                let agent = name.map(|name| json!({ "_id": row.agent_id, "name": name }));
                json!({ "_id": row.id, "webhookId": row.webhook_id, "agentId": agent, "eventType": row.stage.name() })
            })
            .collect();
        let shown = json!({
            "_id": webhook.id,
            "url": webhook.url,
            "description": webhook.description,
            "status": "enabled",
            "subscriptions": subscriptions,
            "decryptedSecretKey": webhook.secret,
        });
        (webhook, shown)
    });
    match id {
        None => Ok(rows.map(|(_, shown)| shown).collect()),
        Some(id) => {
            let mut rows = rows.filter(|(webhook, _)| webhook.id == id);
            let found = rows.next().map(|(_, shown)| shown);
            found.ok_or((404, "Webhook not found"))
        }
    }
}

fn create_webhook(world: &mut World, body: &Value) -> Result {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let url = text("endpoint");
    if world.webhooks.iter().any(|webhook| webhook.url == url) {
        return Err((400, "A webhook with this URL already exists"));
    }
    let events = body.get("events").and_then(Value::as_array);
    let events: Vec<(&str, Stage)> = events
        .into_iter()
        .flatten()
        .filter_map(|event| {
            let agent = event.get("agentId")?.as_str()?;
            Some((agent, stage(event.get("eventType")?)?))
        })
        .collect();
    if events
        .iter()
        .any(|(agent, _)| !world.agents.contains_key(*agent))
    {
        return Err((400, "Agent not found"));
    }
    Ok(world.add_webhook(url, text("description"), &events).into())
}

fn update_webhook(world: &mut World, id: &str, body: &Value) -> Result {
    let webhook = world.webhook(id).ok_or((404, "Webhook not found"))?;
    let mut changed = false;
    if let Some(url) = body.get("endpoint").and_then(Value::as_str) {
        (webhook.url, changed) = (url.to_owned(), true);
    }
    if let Some(text) = body.get("description").and_then(Value::as_str) {
        (webhook.description, changed) = (text.to_owned(), true);
    }
    if let Some(headers) = body.get("headers").and_then(Value::as_object) {
        let value = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let headers = headers.iter().map(|(name, of)| (name.clone(), value(of)));
        (webhook.headers, changed) = (headers.collect(), true);
    }
    if changed {
        Ok(id.into())
    } else {
        Err((400, "Nothing to change"))
    }
}

fn delete_webhook(world: &mut World, id: &str) -> Result {
    if world.webhook(id).is_none() {
        return Err((404, "Webhook not found"));
    }
    if world.subscriptions.iter().any(|row| row.webhook_id == id) {
        return Err((400, "Webhook is assigned to agents"));
    }
    world.webhooks.retain(|webhook| webhook.id != id);
    Ok(json!(null))
}

fn subscriptions(world: &World, agent_id: &str) -> Result {
    if !world.agents.contains_key(agent_id) {
        return Err((404, "Agent not found"));
    }
    let own = world
        .subscriptions
        .iter()
        .filter(|row| row.agent_id == agent_id);
    let rows = own.map(|row| {
        json!({ "_id": row.id, "webhookId": row.webhook_id, "agentId": row.agent_id, "eventType": row.stage.name() })
    });
    Ok(rows.collect())
}

/// Takes the agent away from every other webhook, as the platform does.
fn subscribe(world: &mut World, agent_id: &str, body: &Value) -> Result {
    if !world.agents.contains_key(agent_id) {
        return Err((404, "Agent not found"));
    }
    let webhook_id = body.get("webhookId").and_then(Value::as_str);
    let webhook_id = webhook_id.unwrap_or_default().to_owned();
    if world.webhook(&webhook_id).is_none() {
        return Err((404, "Webhook not found"));
    }
    world.subscriptions.retain(|row| row.agent_id != agent_id);
    let types = body.get("eventTypes").and_then(Value::as_array);
    for stage in types.into_iter().flatten().filter_map(stage) {
        world.subscribe(agent_id, &webhook_id, stage);
    }
    subscriptions(world, agent_id)
}

fn agents(world: &World, request: &Fitting<'_>) -> Value {
    let (page, size) = (request.number("page", 1), request.number("offset", 5));
    let skipped = page.saturating_sub(1).saturating_mul(size);
    let of_page = world.agents.iter().skip(skipped).take(size);
    let rows: Vec<Value> = of_page
        .map(|(id, name)| json!({ "_id": id, "name": name, "globalPrompt": "…" }))
        .collect();
    json!({ "agents": rows, "total": world.agents.len() })
}

fn calls(world: &World, request: &Fitting<'_>) -> Value {
    let default = usize::try_from(contract::DEFAULT_PAGE).unwrap_or_default();
    let largest = usize::try_from(contract::LARGEST_PAGE).unwrap_or_default();
    let limit = request.number("limit", default).min(largest);
    let (rows, has_more) = world.page(request.number("page", 1), limit);
    json!({ "logs": rows, "pagination": { "hasMore": has_more } })
}

fn search(world: &World, body: &Value) -> Value {
    let ids = body.get("callIds").and_then(Value::as_array);
    let rows: Vec<Value> = ids
        .into_iter()
        .flatten()
        .filter_map(|id| world.row(id.as_str()?))
        .collect();
    json!({ "logs": rows })
}

fn stage(value: &Value) -> Option<Stage> {
    Stage::parse(value.as_str()?)
}
