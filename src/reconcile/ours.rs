//! Which of the webhooks at Atoms are ours, and so which events of which agents should be on the topics. Pure.
//!
//! An address alone does not tell: a test setup's and a production's webhooks may end alike. Where the API tells what a
//! webhook signs with, that decides; where it does not tell this key, the address has to do.

use std::collections::{BTreeMap, HashMap};

use crate::atoms::answers::RemoteWebhook;
use crate::atoms::setup::name_of;
use crate::config::Webhook;
use crate::event::{Stage, Stages};
use crate::receive::delivery::WebhookName;

/// What agents subscribe to at our webhooks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ours {
    /// How many webhooks are ours.
    webhooks: usize,
    agents: HashMap<String, Subscribed>,
}

/// By which webhook each of an agent's events comes.
type Subscribed = [Option<WebhookName>; 3];

impl Ours {
    /// Finds out which of `remote` deliver to `configured`.
    pub(super) fn of(
        remote: &[RemoteWebhook],
        configured: &BTreeMap<WebhookName, Webhook>,
    ) -> Self {
        let mut ours = Self::default();
        for webhook in remote {
            let Some(name) = ours_by(webhook, configured) else {
                continue;
            };
            ours.webhooks += 1;
            for row in &webhook.subscriptions {
                let (Some(agent), Some(stage)) = (&row.agent, row.stage()) else {
                    continue;
                };
                let subscribed = ours.agents.entry(agent.id.clone()).or_default();
                if let Some(by) = subscribed.get_mut(place(stage)) {
                    by.get_or_insert_with(|| name.clone());
                }
            }
        }
        ours
    }

    /// Whether no webhook is ours.
    pub(super) fn is_none(&self) -> bool {
        self.webhooks == 0
    }

    /// How many agents subscribe to something.
    pub(super) fn agents(&self) -> usize {
        self.agents.len()
    }

    /// Which events of an agent's calls should be there.
    pub(super) fn expected(&self, agent_id: &str) -> Stages {
        let subscribed = self.agents.get(agent_id);
        let by = |stage: &Stage| {
            subscribed.is_some_and(|by| by.get(place(*stage)).is_some_and(Option::is_some))
        };
        Stage::ALL.into_iter().filter(by).collect()
    }

    /// The webhook by which an agent's events of a stage come.
    pub(super) fn webhook(&self, agent_id: &str, stage: Stage) -> Option<&WebhookName> {
        self.agents.get(agent_id)?.get(place(stage))?.as_ref()
    }
}

/// The configured webhook that a webhook at Atoms delivers to; `None` of one that is somebody else's, or disabled.
fn ours_by(
    remote: &RemoteWebhook,
    configured: &BTreeMap<WebhookName, Webhook>,
) -> Option<WebhookName> {
    if !remote.is_enabled() {
        return None;
    }
    let named = name_of(&remote.url).filter(|name| configured.contains_key(name));
    let Some(secret) = &remote.secret else {
        return named;
    };
    let verifies = |name: &WebhookName| {
        let webhook = configured.get(name);
        webhook.is_some_and(|webhook| webhook.secrets.contains(secret))
    };
    // A proxy may give a webhook any address: what counts is that its deliveries verify.
    named
        .filter(|name| verifies(name))
        .or_else(|| configured.keys().find(|name| verifies(name)).cloned())
}

fn place(stage: Stage) -> usize {
    usize::from(stage.number() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Ack;
    use crate::verify::secret::Secret;
    use serde_json::json;

    fn configured(webhooks: &[(&str, &str)]) -> BTreeMap<WebhookName, Webhook> {
        let webhook = |(name, secret): &(&str, &str)| {
            let name = WebhookName::parse(name).unwrap();
            let webhook = Webhook {
                name: name.clone(),
                secrets: vec![Secret::new(secret.as_bytes()).unwrap()],
                header: None,
                topic_prefix: None,
                ack: Ack::Journal,
            };
            (name, webhook)
        };
        webhooks.iter().map(webhook).collect()
    }

    fn remote(url: &str, secret: Option<&str>, events: &[(&str, &str)]) -> RemoteWebhook {
        let row = |(agent, event): &(&str, &str)| json!({ "_id": "s", "webhookId": "w", "agentId": { "_id": agent }, "eventType": event });
        let rows: Vec<_> = events.iter().map(row).collect();
        let mut webhook =
            json!({ "_id": "w", "url": url, "status": "enabled", "subscriptions": rows });
        if let Some(secret) = secret {
            webhook["decryptedSecretKey"] = json!(secret);
        }
        serde_json::from_value(webhook).unwrap()
    }

    const END: &[(&str, &str)] = &[("a", "post-conversation")];

    fn by(remote: RemoteWebhook, configured: &BTreeMap<WebhookName, Webhook>) -> Option<String> {
        let ours = Ours::of(&[remote], configured);
        let name = ours.webhook("a", Stage::PostConversation);
        assert_eq!(ours.is_none(), name.is_none());
        name.map(ToString::to_string)
    }

    #[test]
    fn the_secret_decides_where_it_is_told_and_the_address_where_it_is_not() {
        let two = configured(&[("default", "one"), ("sales", "two")]);
        let url = "https://bridge.example.com/webhooks/default";
        for (url, secret, expected) in [
            (url, None, Some("default")),
            (
                "https://bridge.example.com/webhooks/default/",
                None,
                Some("default"),
            ),
            (url, Some("one"), Some("default")),
            // Another setup's, or one whose secret is not configured here.
            (url, Some("another"), None),
            // A proxy's own address.
            (
                "https://example.com/hooks/atoms",
                Some("two"),
                Some("sales"),
            ),
            ("https://example.com/hooks/atoms", None, None),
            ("https://bridge.example.com/webhooks/unknown", None, None),
        ] {
            let found = by(remote(url, secret, END), &two);
            assert_eq!(found.as_deref(), expected, "{url} {secret:?}");
        }
        let mut disabled = remote(url, Some("one"), END);
        disabled.status = "disabled".to_owned();
        assert_eq!(by(disabled, &two), None);
    }

    #[test]
    fn only_what_an_agent_subscribes_to_is_expected() {
        let two = configured(&[("default", "one"), ("sales", "two")]);
        let webhooks = [
            remote(
                "https://x/webhooks/default",
                Some("one"),
                &[
                    ("a", "pre-conversation"),
                    ("b", "analytics-completed"),
                    ("b", "something-new"),
                ],
            ),
            remote(
                "https://x/webhooks/sales",
                Some("two"),
                &[("a", "post-conversation"), ("a", "pre-conversation")],
            ),
            remote(
                "https://elsewhere/",
                None,
                &[("a", "analytics-completed"), ("c", "pre-conversation")],
            ),
        ];
        let ours = Ours::of(&webhooks, &two);
        let [pre, post, analytics] = Stage::ALL;
        assert_eq!(ours.expected("a"), [pre, post].into_iter().collect());
        assert_eq!(ours.expected("b"), Stages::NONE.with(analytics));
        assert_eq!(ours.expected("c"), Stages::NONE);
        assert_eq!(ours.webhook("a", pre).unwrap().as_str(), "default");
        assert_eq!(ours.webhook("a", post).unwrap().as_str(), "sales");
        assert_eq!(ours.webhook("a", analytics), None);
        assert_eq!(ours.agents(), 2);
    }
}
