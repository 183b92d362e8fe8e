//! What differs between the configuration in force and a newer one: what can be gone on with, and what waits for a restart.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::secret_source::SecretSource;
use super::settings::strip_section;
use super::{Config, Credentials, DEFAULT_FILE, Loaded, listen, show};

/// What a newer configuration changes, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// What counts from now on.
    pub applied: Vec<String>,
    /// Keys whose new value counts after a restart.
    pub waiting: Vec<String>,
}

impl Config {
    /// This configuration, with what can be changed under way from a newer one.
    pub fn with_changes(&self, newer: &Self) -> Self {
        let mut config = self.clone();
        config.webhooks = newer.webhooks.clone();
        config.listen.proxies = newer.listen.proxies.clone();
        if config.listen.tls.is_some() && newer.listen.tls.is_some() {
            config.listen.tls = newer.listen.tls.clone();
        }
        config
    }
}

impl Changes {
    /// From `current`, which is in force, to `newer`. What needs a restart is compared with what the process began with.
    pub fn between(
        (current, newer): (&Config, &Config),
        (began, read): (&Loaded, &Loaded),
    ) -> Self {
        Self {
            applied: applied(current, newer),
            waiting: waiting(began, read),
        }
    }
}

impl Loaded {
    /// Every file that the configuration stands in: its own, and those of secrets and the certificate. Some may not exist.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let own = self.file.clone().unwrap_or_else(|| DEFAULT_FILE.into());
        let tls = self.config.listen.tls.iter();
        let tls = tls.flat_map(|tls| [tls.cert.clone(), tls.key.clone()]);
        let secrets = self.settings.iter().flat_map(|(key, setting)| {
            let sources = show::secrets_in(key, setting).unwrap_or_default();
            sources.into_iter().flatten().filter_map(file_of)
        });
        std::iter::once(own).chain(tls).chain(secrets).collect()
    }
}

fn file_of(source: SecretSource) -> Option<PathBuf> {
    match source {
        SecretSource::File(path) => Some(path.into()),
        SecretSource::Env(_) | SecretSource::Literal(_) => None,
    }
}

fn applied(current: &Config, newer: &Config) -> Vec<String> {
    let mut applied = Vec::new();
    for (name, webhook) in &newer.webhooks {
        match current.webhooks.get(name) {
            None => applied.push(format!("webhook {name} is new")),
            Some(old) if old.secrets != webhook.secrets => applied.push(format!(
                "webhook {name} has other secrets ({})",
                webhook.secrets.len()
            )),
            Some(old) if old != webhook => applied.push(format!("webhook {name} is changed")),
            Some(_) => {}
        }
    }
    let gone = current.webhooks.keys();
    let gone = gone.filter(|name| !newer.webhooks.contains_key(*name));
    applied.extend(gone.map(|name| format!("webhook {name} is gone")));
    if let (Some(old), Some(new)) = (&current.listen.tls, &newer.listen.tls)
        && old != new
    {
        applied.push("another certificate".to_owned());
    }
    if current.listen.proxies != newer.listen.proxies {
        applied.push("other trusted proxies".to_owned());
    }
    applied
}

fn waiting(began: &Loaded, read: &Loaded) -> Vec<String> {
    let value = |loaded: &Loaded, key: &str| loaded.settings.get(key).map(|set| set.value.clone());
    let keys = began.settings.iter().chain(read.settings.iter());
    let mut waiting: BTreeSet<String> = keys
        .map(|(key, _)| key)
        .filter(|key| !is_changeable(key) && value(began, key) != value(read, key))
        .map(str::to_owned)
        .collect();
    let (old, new) = (&began.config, &read.config);
    if old.listen.tls.is_some() != new.listen.tls.is_some() {
        waiting.insert("listen.tls".to_owned());
    }
    // A secret may be another one although its place is the same.
    let properties = old.kafka.keys().chain(new.kafka.keys());
    let properties = properties.filter(|name| old.kafka.get(*name) != new.kafka.get(*name));
    waiting.extend(properties.map(|name| format!("kafka.{name}")));
    let credentials = |config: &Config| -> Option<Credentials> {
        config.registry.as_ref().and_then(|r| r.credentials.clone())
    };
    if credentials(old) != credentials(new) {
        waiting.insert("the registry's credentials".to_owned());
    }
    waiting.into_iter().collect()
}

fn is_changeable(key: &str) -> bool {
    let keys = [
        listen::CERT,
        listen::KEY,
        listen::TRUSTED_PROXIES,
        listen::CLIENT_HEADER,
    ];
    strip_section(key, "webhooks").is_some() || keys.contains(&key)
}
