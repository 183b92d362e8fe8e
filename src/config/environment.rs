//! Environment variables: as settings (`ATOMS_BRIDGE__SECTION__KEY`), and as the place where `env:` secrets are.
//!
//! Holds secrets, so nothing here derives `Debug`.

use std::collections::BTreeMap;

use super::kafka;
use super::keys::WEBHOOK_KEYS;
use super::problem::{Problem, ProblemKind};
use super::settings::{Origin, Setting, Settings, Value};

/// The process's variables in the form that [`super::Config::load`] takes.
///
/// A value that is not UTF-8 is left out, unless it is meant for the bridge: then it is read with replacement
/// characters, so that it fails where it is used instead of being passed over.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        match value.into_string() {
            Ok(value) => Some((name, value)),
            Err(value) if name.starts_with(PREFIX) => {
                Some((name, value.to_string_lossy().into_owned()))
            }
            Err(_) => None,
        }
    })
}

/// Variables by name.
pub(super) struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(super) fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        Self(variables.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Lays the bridge's own variables over `settings`.
    pub(super) fn overlay(&self, settings: &mut Settings, problems: &mut Vec<Problem>) {
        for (name, value) in &self.0 {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let key = key_of(&rest.to_ascii_lowercase());
            let origin = Origin::Env { name: name.clone() };
            let setting = Setting {
                value: Value::Scalar(value.clone()),
                origin: origin.clone(),
            };
            if let Some(first) = settings.set(key.clone(), setting) {
                let kind = ProblemKind::Twice(first.to_string());
                problems.push(Problem { key, origin, kind });
            }
        }
    }
}

/// The variable that sets a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

fn key_of(rest: &str) -> String {
    if let Some(property) = rest.strip_prefix("kafka__") {
        return kafka::one_name(format!("kafka.{}", kafka::property_of(property)));
    }
    rest.strip_prefix("webhooks__")
        .and_then(webhook_key_of)
        .unwrap_or_else(|| rest.replace("__", "."))
}

/// A webhook's name may itself hold `__`: it is what stands before the longest known key.
fn webhook_key_of(rest: &str) -> Option<String> {
    WEBHOOK_KEYS
        .iter()
        .filter_map(|key| {
            let spelled = format!("__{}", key.replace('.', "__"));
            let name = rest.strip_suffix(spelled.as_str())?;
            (!name.is_empty()).then_some((key.len(), format!("webhooks.{name}.{key}")))
        })
        .max()
        .map(|(_, key)| key)
}

const PREFIX: &str = "ATOMS_BRIDGE__";
