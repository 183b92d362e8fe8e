//! The schema registry: reached, and our schemas under the subjects where consumers look for them.

use super::finding::Finding;
use crate::config::{Config, SchemaId};
use crate::registry::client::{Client, Patience, RegistryError};
use crate::registry::{Subject, subjects};

/// What was found, and by how much this machine's clock is ahead of the registry's.
#[derive(Debug, Default)]
pub(super) struct FoundRegistry {
    pub(super) findings: Vec<Finding>,
    pub(super) ahead_ms: Option<i64>,
}

/// Asks for every subject.
pub(super) async fn registry(config: &Config) -> FoundRegistry {
    let Some(registry) = &config.registry else {
        let none = Finding::ok("registry", "none is configured: records carry no schema id");
        return FoundRegistry {
            findings: vec![none],
            ahead_ms: None,
        };
    };
    let client = match Client::new(registry, Patience::Once) {
        Ok(client) => client,
        Err(error) => return failed(&error),
    };
    match compared(&client, &subjects(config), registry.schema_id).await {
        Ok(findings) => FoundRegistry {
            findings,
            ahead_ms: client.ahead_ms().await,
        },
        Err(error) => failed(&error),
    }
}

fn failed(error: &RegistryError) -> FoundRegistry {
    let finding = Finding::of_text("registry", &error.to_string());
    FoundRegistry {
        findings: vec![finding.or_do("see the registry's own log")],
        ahead_ms: None,
    }
}

async fn compared(
    client: &Client,
    subjects: &[Subject],
    schema_id: SchemaId,
) -> Result<Vec<Finding>, RegistryError> {
    let mut findings = Vec::new();
    for subject in subjects {
        if client
            .look_up(&subject.name, &subject.schema)
            .await?
            .is_some()
        {
            continue;
        }
        let versions = client.versions(&subject.name).await?;
        let (what, todo) = match versions.last() {
            None => (
                format!("{} is not registered", subject.name),
                "run `schemas register`",
            ),
            Some(last) => (
                format!(
                    "{}: version {last} there is not this program's schema",
                    subject.name
                ),
                "run `schemas register`, which first tells whether ours may follow it",
            ),
        };
        findings.push(match schema_id {
            SchemaId::None => Finding::warning("registry", what, todo),
            SchemaId::Header => {
                Finding::failure("registry", format!("{what}: records carry no id"), todo)
            }
            SchemaId::Prefix => {
                Finding::failure("registry", format!("{what}: its events wait"), todo)
            }
        });
    }
    if findings.is_empty() {
        let what = format!("reached, all {} schemas registered", subjects.len());
        findings.push(Finding::ok("registry", what));
    }
    Ok(findings)
}
