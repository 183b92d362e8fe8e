//! Configuration and secrets: what is wrong by file and line, and which secrets are there, by their length alone.

use crate::cli::Common;
use crate::config::{
    Config, ConfigError, Credentials, Loaded, Need, Origin, Problem, ProblemKind, SecretState,
    Webhook,
};
use crate::verify::secret::Secret;

use super::finding::Finding;

/// What the later probes can rest on.
pub(super) struct Setup {
    pub(super) findings: Vec<Finding>,
    /// `None` when it could not be read.
    pub(super) config: Option<Config>,
    /// Whether everything about Kafka is set.
    pub(super) knows_kafka: bool,
    pub(super) knows_registry: bool,
    pub(super) knows_api: bool,
    /// Whether the public listener has the certificate that it is to have.
    pub(super) can_listen: bool,
    /// Whether every webhook has its secrets.
    pub(super) can_sign: bool,
}

/// Reads the configuration.
pub(super) fn read(common: &Common) -> Setup {
    match common.load_quietly() {
        Ok(loaded) => of_loaded(&loaded),
        Err(error) => Setup {
            findings: of_error(&error),
            config: None,
            knows_kafka: false,
            knows_registry: false,
            knows_api: false,
            can_listen: false,
            can_sign: false,
        },
    }
}

fn of_loaded(loaded: &Loaded) -> Setup {
    let (kafka, registry, atoms, listener, console, webhooks) = (
        loaded.require(&[Need::Kafka]),
        loaded.require(&[Need::Registry]),
        loaded.require(&[Need::Atoms]),
        loaded.require(&[Need::Listener]),
        loaded.require(&[Need::Console]),
        loaded.require(&[Need::Webhooks]),
    );
    let errors = [&kafka, &registry, &atoms, &listener, &console, &webhooks];
    let mut findings: Vec<Finding> = errors
        .into_iter()
        .filter_map(|needed| needed.as_ref().err())
        .flat_map(of_error)
        .collect();
    let warnings = loaded.warnings.iter();
    findings.extend(warnings.map(|warning| {
        Finding::warning(
            check_of_warning(warning),
            warning.clone(),
            "see to it; it works as it is",
        )
    }));
    if findings.iter().all(|found| found.check != CONFIGURATION) {
        findings.insert(0, Finding::ok(CONFIGURATION, sources(loaded)));
    }
    let configured = loaded.config.webhooks.values();
    let told = configured.filter(|webhook| !webhook.secrets.is_empty());
    findings.extend(told.map(|webhook| Finding::ok(SECRETS, lengths(webhook))));
    findings.extend(others(loaded).map(|told| Finding::ok(SECRETS, told)));
    findings.sort_by_key(|found| found.check);
    Setup {
        config: Some(loaded.config.clone()),
        knows_kafka: kafka.is_ok(),
        knows_registry: registry.is_ok(),
        knows_api: atoms.is_ok(),
        can_listen: listener.is_ok(),
        can_sign: webhooks.is_ok(),
        findings,
    }
}

fn of_error(error: &ConfigError) -> Vec<Finding> {
    match error {
        ConfigError::Invalid(problems) => problems.iter().map(of_problem).collect(),
        ConfigError::Unreadable { .. } | ConfigError::NotToml { .. } => {
            let finding = Finding::of_error(CONFIGURATION, error);
            vec![finding.or_do("mend the file, or name another with --config")]
        }
    }
}

fn of_problem(problem: &Problem) -> Finding {
    let is_of_secret = matches!(
        &problem.kind,
        ProblemKind::NoSecrets
            | ProblemKind::SecretSpelling
            | ProblemKind::SecretUnset(_)
            | ProblemKind::SecretEmpty(_)
            | ProblemKind::SecretFile { .. }
            | ProblemKind::SecretNotText(_)
    );
    let check = if is_of_secret { SECRETS } else { CONFIGURATION };
    let finding = Finding::of_text(check, &problem.to_string());
    finding.or_do("`config show` tells each value and where it comes from")
}

fn check_of_warning(warning: &str) -> &'static str {
    if warning.contains("secret(s)") {
        SECRETS
    } else {
        CONFIGURATION
    }
}

/// From where settings come.
fn sources(loaded: &Loaded) -> String {
    let (mut file, mut variables) = (None, 0);
    for setting in loaded.shown() {
        match setting.origin {
            Origin::Default => {}
            Origin::File { path, .. } => file = Some(path),
            Origin::Env { .. } => variables += 1,
        }
    }
    let file = file.map_or("no file".to_owned(), |path| path.display().to_string());
    format!("{file}, {variables} set in the environment")
}

fn lengths(webhook: &Webhook) -> String {
    let bytes = |secret: &Secret| match secret.expose().len() {
        1 => "1 byte".to_owned(),
        count => format!("{count} bytes"),
    };
    let secrets: Vec<String> = webhook.secrets.iter().map(bytes).collect();
    let mut told = format!("webhooks.{}: {}", webhook.name, secrets.join(", "));
    if let Some(header) = &webhook.header {
        told.push_str(&format!(
            "; header {}: {}",
            header.name,
            bytes(&header.value)
        ));
    }
    told
}

/// Secrets of Kafka, the registry and Atoms' API.
fn others(loaded: &Loaded) -> impl Iterator<Item = String> {
    let length = |key: &str| match (key, &loaded.config.registry) {
        ("registry.password" | "registry.token", Some(registry)) => {
            registry.credentials.as_ref().map(|known| match known {
                Credentials::Basic { password, .. } => password.expose().len(),
                Credentials::Bearer(token) => token.expose().len(),
            })
        }
        ("atoms.api_key", _) => {
            let key = loaded.config.atoms.api_key.as_ref();
            key.map(|key| key.expose().len())
        }
        _ => {
            let property = key.strip_prefix("kafka.")?;
            loaded.config.kafka.get(property).map(String::len)
        }
    };
    let shown = loaded.shown().into_iter();
    let secrets = shown.filter(|setting| setting.secrets.contains(&SecretState::Set));
    secrets.filter_map(move |setting| {
        let length = length(&setting.key)?;
        Some(format!("{}: {length} bytes", setting.key))
    })
}

const CONFIGURATION: &str = "configuration";
const SECRETS: &str = "secrets";

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(variables: &[(&str, &str)]) -> Setup {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        match Config::load(None, variables) {
            Ok(loaded) => of_loaded(&loaded),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn secrets_are_told_by_their_length() {
        let setup = setup(&[
            ("ATOMS_WEBHOOK_SECRET", "twelve bytes"),
            ("ATOMS_BRIDGE__KAFKA__BOOTSTRAP_SERVERS", "x:1"),
        ]);
        let told = format!("{:?}", setup.findings);
        assert!(told.contains("webhooks.default: 12 bytes"), "{told}");
        assert!(told.contains("shorter than 16"), "{told}");
        assert!(!told.contains("twelve"), "{told}");
        assert!(setup.knows_kafka && setup.can_sign);
    }

    #[test]
    fn what_one_part_misses_does_not_hide_the_others() {
        let setup = setup(&[("ATOMS_WEBHOOK_SECRET", "a secret that is long enough")]);
        assert!(setup.can_sign && setup.knows_registry && !setup.knows_kafka);
        assert_eq!(setup.findings[0].check, CONFIGURATION);
        assert!(setup.findings[0].is_failure());
    }
}
