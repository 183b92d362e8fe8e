//! The effective settings for people and programs: secrets by their source, never by their text.

use super::console;
use super::environment::Environment;
use super::kafka;
use super::reader::list_of;
use super::registry;
use super::secret_source::SecretSource;
use super::settings::{Origin, Setting, Settings, Value, strip_section};
use super::webhooks;

/// One effective setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownSetting {
    /// The dotted key.
    pub key: String,
    /// Its value; of a secret only where it is.
    pub value: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is known of the secrets in it; empty for anything else.
    pub secrets: Vec<SecretState>,
}

/// Whether a secret is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretState {
    /// It can be resolved.
    Set,
    /// It cannot, for this reason.
    Missing(String),
}

pub(super) fn shown(settings: &Settings, environment: &Environment) -> Vec<ShownSetting> {
    settings
        .iter()
        .map(|(key, setting)| shown_one(key, setting, environment))
        .collect()
}

fn shown_one(key: &str, setting: &Setting, environment: &Environment) -> ShownSetting {
    let (value, secrets) = match secrets_in(key, setting) {
        Some(sources) => {
            let shown: Vec<String> = sources.iter().map(shown_source).collect();
            let states = sources
                .iter()
                .flatten()
                .map(|source| state(source, environment));
            (shown.join(", "), states.collect())
        }
        None => (plain(key, &setting.value), Vec::new()),
    };
    ShownSetting {
        key: key.to_owned(),
        value,
        origin: setting.origin.clone(),
        secrets,
    }
}

/// The sources of the secrets that a setting holds; `None` when it holds none. A plain Kafka password has no source.
pub(super) fn secrets_in(key: &str, setting: &Setting) -> Option<Vec<Option<SecretSource>>> {
    if let Some(property) = strip_section(key, "kafka") {
        let source = match &setting.value {
            Value::Scalar(text) => SecretSource::parse(text),
            Value::List(_) | Value::Other(_) => None,
        };
        return (source.is_some() || kafka::is_sensitive(property)).then(|| vec![source]);
    }
    let webhook_key = strip_section(key, "webhooks").and_then(webhooks::split);
    let is_secret = key == "atoms.api_key"
        || registry::is_secret(key)
        || console::is_secret(key)
        || matches!(webhook_key, Some((_, "secrets" | "header.value")));
    let texts = match (&setting.value, webhook_key) {
        (_, Some((_, "secrets"))) => list_of(setting).unwrap_or_default(),
        (Value::Scalar(text), _) => vec![text.clone()],
        (Value::List(_) | Value::Other(_), _) => Vec::new(),
    };
    is_secret.then(|| texts.iter().map(|text| SecretSource::parse(text)).collect())
}

fn shown_source(source: &Option<SecretSource>) -> String {
    match source {
        Some(SecretSource::Literal(_)) => "literal:***".to_owned(),
        Some(source) => format!("{source} ***"),
        None => "***".to_owned(),
    }
}

fn state(source: &SecretSource, environment: &Environment) -> SecretState {
    match source.resolve(environment) {
        Ok(_) => SecretState::Set,
        Err(problem) => SecretState::Missing(problem.to_string()),
    }
}

fn plain(key: &str, value: &Value) -> String {
    match value {
        Value::Scalar(text) if key == "registry.url" || key == "atoms.base_url" => {
            without_userinfo(text)
        }
        Value::Scalar(text) => text.clone(),
        Value::List(items) => items.join(","),
        Value::Other(name) => (*name).to_owned(),
    }
}

/// An address without the password that may stand before its host.
fn without_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest
        .get(..authority_end)
        .and_then(|authority| authority.rfind('@'))
    {
        Some(at) => format!("{scheme}://***{}", rest.get(at..).unwrap_or_default()),
        None => url.to_owned(),
    }
}
