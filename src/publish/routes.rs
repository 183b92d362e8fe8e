//! Which webhooks have topics of their own, while that changes.
//!
//! Whoever takes deliveries for a webhook by a new configuration changes the routes first. The publisher looks for a change
//! after it has read rows and before it makes records of them; so no row of a new webhook goes where nobody wanted it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::receive::delivery::WebhookName;

/// Where the events of each webhook go. Clones share it.
#[derive(Debug, Clone)]
pub struct Routes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// With every webhook that there ever was: what was taken for one that is gone still goes to its topics.
    config: Mutex<Config>,
    is_changed: AtomicBool,
}

impl Routes {
    pub(super) fn new(config: &Config) -> Self {
        Self(Arc::new(Shared {
            config: Mutex::new(config.clone()),
            is_changed: AtomicBool::new(false),
        }))
    }

    /// Goes on with the webhooks of another configuration; nothing else of it counts.
    pub fn replace(&self, config: &Config) {
        let mut current = self.config();
        let before = prefixes(&current);
        for (name, webhook) in &config.webhooks {
            current.webhooks.insert(name.clone(), webhook.clone());
        }
        if prefixes(&current) != before {
            self.0.is_changed.store(true, Ordering::Release);
        }
    }

    pub(super) fn is_changed(&self) -> bool {
        self.0.is_changed.load(Ordering::Acquire)
    }

    /// The configuration to go on with, when it has changed.
    pub(super) fn take_change(&self) -> Option<Config> {
        let current = self.config();
        let is_changed = self.0.is_changed.swap(false, Ordering::AcqRel);
        is_changed.then(|| current.clone())
    }

    fn config(&self) -> std::sync::MutexGuard<'_, Config> {
        // Each webhook in it is whole even if its holder panicked.
        self.0.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prefixes(config: &Config) -> BTreeMap<WebhookName, String> {
    let own = |(name, webhook): (&WebhookName, &crate::config::Webhook)| {
        Some((name.clone(), webhook.topic_prefix.clone()?))
    };
    config.webhooks.iter().filter_map(own).collect()
}
