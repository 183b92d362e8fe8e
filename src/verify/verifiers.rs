//! The verifiers of all webhooks, for whoever verifies again what was refused before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Verifier;
use crate::config::Webhook;
use crate::receive::delivery::WebhookName;

/// A verifier for each configured webhook. Clones see the same, also after [`Verifiers::replace`].
#[derive(Clone)]
pub struct Verifiers(Arc<ArcSwap<BTreeMap<WebhookName, Verifier>>>);

impl Verifiers {
    /// Those of these webhooks.
    pub fn new(webhooks: &BTreeMap<WebhookName, Webhook>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(keyed(webhooks))))
    }

    /// Goes on with those of other webhooks.
    pub fn replace(&self, webhooks: &BTreeMap<WebhookName, Webhook>) {
        self.0.store(Arc::new(keyed(webhooks)));
    }

    /// That of one webhook, if it is configured.
    pub fn of(&self, webhook: &WebhookName) -> Option<Verifier> {
        self.0.load().get(webhook).cloned()
    }
}

fn keyed(webhooks: &BTreeMap<WebhookName, Webhook>) -> BTreeMap<WebhookName, Verifier> {
    let keyed = |(name, webhook): (&WebhookName, _)| (name.clone(), Verifier::new(webhook));
    webhooks.iter().map(keyed).collect()
}
