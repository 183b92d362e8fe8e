//! What the files of tests about the configuration share.

mod atoms;
mod complaints;
mod layers;
mod secrets;

use std::path::Path;

use super::*;

const SECRET: (&str, &str) = ("ATOMS_WEBHOOK_SECRET", "0123456789abcdef");
const KAFKA: (&str, &str) = ("ATOMS_BRIDGE__KAFKA__BOOTSTRAP_SERVERS", "k:9092");

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load_layers(
        Some((Path::new("bridge.toml"), text)),
        Environment::new(variables),
    )
}

fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    lines(load(text, variables).unwrap_err())
}

fn unmet(text: &str, variables: &[(&str, &str)], needs: &[Need]) -> Vec<String> {
    let loaded = load(text, variables).unwrap();
    lines(loaded.require(needs).unwrap_err())
}

fn lines(error: ConfigError) -> Vec<String> {
    match error {
        ConfigError::Invalid(problems) => problems.iter().map(Problem::to_string).collect(),
        ConfigError::Unreadable { .. } | ConfigError::NotToml { .. } => vec![error.to_string()],
    }
}

fn webhook<'a>(config: &'a Config, name: &str) -> &'a Webhook {
    config.webhooks.get(name).unwrap()
}

fn exposed(webhook: &Webhook) -> Vec<&[u8]> {
    webhook.secrets.iter().map(|s| s.expose()).collect()
}
