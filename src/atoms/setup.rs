//! What it takes to have agents' events delivered to an address, and what that would cost others. Pure.
//!
//! A subscription to an existing webhook takes the agent away from every other one; a webhook that is made together with
//! its subscriptions does not. So the second is done wherever it can be, and what the first would cost is told before.

use std::collections::BTreeSet;

use reqwest::Url;

use super::answers::{Agent, RemoteWebhook, Subscription};
use crate::event::Stage;
use crate::receive::delivery::WebhookName;

/// An agent, and all that it subscribes to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// The agent.
    pub agent: Agent,
    /// Its subscriptions, to whichever webhook.
    pub subscriptions: Vec<Subscription>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// There is no webhook for the address: it is made, with all subscriptions. Nobody loses anything.
    Create,
    /// There is one; these agents are to subscribe to it, each for itself.
    Subscribe {
        /// The webhook.
        webhook_id: String,
        /// Whoever does not subscribe to all of it yet; nobody when all is as it should be.
        steps: Vec<Step>,
    },
}

/// An agent that is to subscribe to an existing webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The agent.
    pub agent: Agent,
    /// What it will subscribe to, with what it does already.
    pub stages: Vec<Stage>,
    /// What it will no longer subscribe to.
    pub costs: Vec<Cost>,
}

/// A subscription that is taken away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// The agent.
    pub agent_id: String,
    /// The webhook that will not hear of its calls any more.
    pub webhook_id: String,
    /// The type, in Atoms' word.
    pub event_type: String,
}

/// What is to be done so that these agents' events of these types are delivered to `url`.
pub fn plan(
    webhooks: &[RemoteWebhook],
    subscribers: &[Subscriber],
    url: &Url,
    stages: &[Stage],
) -> Plan {
    let Some(webhook) = at(webhooks, url) else {
        return Plan::Create;
    };
    let steps = subscribers
        .iter()
        .filter_map(|subscriber| step(subscriber, &webhook.id, stages));
    Plan::Subscribe {
        webhook_id: webhook.id.clone(),
        steps: steps.collect(),
    }
}

/// The webhook's name that an address means by its path.
pub fn name_of(url: &str) -> Option<WebhookName> {
    let url = Url::parse(url).ok()?;
    let (before, name) = url.path().trim_end_matches('/').rsplit_once('/')?;
    before
        .ends_with("/webhooks")
        .then(|| WebhookName::parse(name))?
}

/// The webhook that delivers to an address.
pub fn at<'w>(webhooks: &'w [RemoteWebhook], url: &Url) -> Option<&'w RemoteWebhook> {
    let is_there = |webhook: &&RemoteWebhook| Url::parse(&webhook.url).is_ok_and(|of| of == *url);
    webhooks.iter().find(is_there)
}

/// What these agents subscribed to before and do not any more.
pub fn lost(before: &[Subscriber], after: &[Subscriber]) -> Vec<Cost> {
    let costs = |subscribers: &[Subscriber]| -> BTreeSet<Cost> {
        let rows = subscribers.iter().flat_map(|subscriber| {
            let agent = &subscriber.agent;
            subscriber.subscriptions.iter().map(|row| cost(agent, row))
        });
        rows.collect()
    };
    let after = costs(after);
    costs(before)
        .into_iter()
        .filter(|cost| !after.contains(cost))
        .collect()
}

/// Which of the stages an agent does not subscribe to at a webhook.
pub fn missing(subscriber: &Subscriber, webhook_id: &str, stages: &[Stage]) -> Vec<Stage> {
    let has = of_webhook(subscriber, webhook_id);
    let missing = stages.iter().filter(|stage| !has.contains(stage));
    missing.copied().collect()
}

fn step(subscriber: &Subscriber, webhook_id: &str, stages: &[Stage]) -> Option<Step> {
    if missing(subscriber, webhook_id, stages).is_empty() {
        return None;
    }
    let has = of_webhook(subscriber, webhook_id);
    let wanted = |stage: &Stage| stages.contains(stage) || has.contains(stage);
    let others = subscriber.subscriptions.iter();
    let others = others.filter(|row| row.webhook_id != webhook_id);
    Some(Step {
        agent: subscriber.agent.clone(),
        stages: Stage::ALL.into_iter().filter(wanted).collect(),
        costs: others.map(|row| cost(&subscriber.agent, row)).collect(),
    })
}

fn of_webhook(subscriber: &Subscriber, webhook_id: &str) -> Vec<Stage> {
    let rows = subscriber.subscriptions.iter();
    rows.filter(|row| row.webhook_id == webhook_id)
        .filter_map(Subscription::stage)
        .collect()
}

fn cost(agent: &Agent, row: &Subscription) -> Cost {
    Cost {
        agent_id: agent.id.clone(),
        webhook_id: row.webhook_id.clone(),
        event_type: row.event_type.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://bridge.example.com/webhooks/default";

    fn webhook(id: &str, url: &str) -> RemoteWebhook {
        let row = serde_json::json!({ "_id": id, "url": url, "status": "enabled" });
        serde_json::from_value(row).unwrap()
    }

    fn subscriber(subscriptions: &[(&str, Stage)]) -> Subscriber {
        let agent = Agent {
            id: "a".to_owned(),
            name: String::new(),
        };
        let row = |(webhook, stage): &(&str, Stage)| Subscription {
            webhook_id: (*webhook).to_owned(),
            agent: Some(agent.clone()),
            event_type: stage.name().to_owned(),
        };
        Subscriber {
            subscriptions: subscriptions.iter().map(row).collect(),
            agent: agent.clone(),
        }
    }

    fn planned(webhooks: &[RemoteWebhook], of: &Subscriber, stages: &[Stage]) -> Plan {
        plan(
            webhooks,
            std::slice::from_ref(of),
            &Url::parse(URL).unwrap(),
            stages,
        )
    }

    #[test]
    fn without_a_webhook_for_the_address_one_is_made_and_nobody_loses() {
        let elsewhere = [webhook("w", "https://other.example.com/webhooks/default")];
        let subscribed = subscriber(&[("w", Stage::PreConversation)]);
        assert_eq!(planned(&elsewhere, &subscribed, &Stage::ALL), Plan::Create);
    }

    #[test]
    fn an_agent_that_subscribes_already_is_left_alone() {
        let webhooks = [webhook("w", URL)];
        let all = Stage::ALL.map(|stage| ("w", stage));
        let Plan::Subscribe { steps, .. } = planned(&webhooks, &subscriber(&all), &Stage::ALL)
        else {
            panic!("there is a webhook");
        };
        assert_eq!(steps, []);
    }

    #[test]
    fn what_a_subscription_would_cost_is_told_and_what_there_is_stays() {
        let webhooks = [
            webhook("w", URL),
            webhook("o", "https://other.example.com/"),
        ];
        let of = subscriber(&[
            ("w", Stage::PreConversation),
            ("o", Stage::AnalyticsCompleted),
        ]);
        let wanted = [Stage::PostConversation];
        let Plan::Subscribe { webhook_id, steps } = planned(&webhooks, &of, &wanted) else {
            panic!("there is a webhook");
        };
        assert_eq!(webhook_id, "w");
        assert_eq!(
            steps[0].stages,
            [Stage::PreConversation, Stage::PostConversation]
        );
        let cost = Cost {
            agent_id: "a".to_owned(),
            webhook_id: "o".to_owned(),
            event_type: "analytics-completed".to_owned(),
        };
        assert_eq!(steps[0].costs, std::slice::from_ref(&cost));
        let after = subscriber(&[
            ("w", Stage::PreConversation),
            ("w", Stage::PostConversation),
        ]);
        assert_eq!(lost(&[of], &[after]), [cost]);
    }
}
