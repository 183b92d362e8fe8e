//! File and environment → the checked [`Config`] that the rest of the program relies on.
//!
//! Three layers lie over one another, key by key: the defaults beside each section's fields, `bridge.toml`, and the
//! variables `ATOMS_BRIDGE__SECTION__KEY`. Each value remembers where it came from, so that every complaint names a
//! line or a variable, and all complaints are made at once. A key that nobody reads is an error, never ignored.
//!
//! A secret is resolved when the configuration is loaded, but missed only by a command that needs it
//! ([`Loaded::require`]), and it is never printed.

mod atoms;
mod changes;
mod console;
mod environment;
mod file;
mod journal;
mod kafka;
mod keys;
mod listen;
mod problem;
mod reader;
mod registry;
mod secret_source;
mod settings;
mod show;
#[cfg(test)]
mod tests;
mod topics;
mod values;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::publish::properties::try_together;
use crate::publish::topics::max_message_bytes;
use crate::receive::delivery::WebhookName;

pub use atoms::Atoms;
pub use changes::Changes;
pub use console::Console;
pub use environment::process_environment;
pub use journal::Journal;
pub use listen::{ClientHeader, Listen, Proxies, Tls};
pub use problem::{ConfigError, Problem, ProblemKind};
pub use registry::{Credentials, Registry, SchemaId};
pub use settings::Origin;
pub use show::{SecretState, ShownSetting};
pub use topics::{TOPIC_NAMES, TopicSettings, Topics};
pub use values::parse_duration;
pub use webhooks::{Ack, StaticHeader, Webhook};

use environment::Environment;
use reader::Reader;
use secret_source::SecretSource;
use settings::Settings;

/// Everything that the bridge is told from outside, checked. `Debug` shows no secret.
#[derive(Clone)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[webhooks.NAME]`
    pub webhooks: BTreeMap<WebhookName, Webhook>,
    /// `[journal]`
    pub journal: Journal,
    /// `[kafka]`: librdkafka's properties by their own names, their secrets resolved.
    pub kafka: BTreeMap<String, String>,
    /// `[topics]`
    pub topics: Topics,
    /// `[registry]`; absent without `registry.url`.
    pub registry: Option<Registry>,
    /// `[atoms]`
    pub atoms: Atoms,
}

/// A configuration without errors, in which some commands may yet miss something.
pub struct Loaded {
    /// What holds for commands that need neither Kafka nor a secret. A secret that cannot be resolved is left out.
    pub config: Config,
    /// What is odd but no error.
    pub warnings: Vec<String>,
    /// The file that it was read from; `None`: the default one, which does not exist.
    file: Option<PathBuf>,
    settings: Settings,
    environment: Environment,
    unmet: Vec<(Need, Problem)>,
}

/// What a command cannot do without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// `bootstrap.servers`, and every secret in `[kafka]`.
    Kafka,
    /// Every secret in `[registry]`.
    Registry,
    /// The console's token.
    Console,
    /// The key in `[atoms]`, if one is set.
    Atoms,
    /// The key in `[atoms]`, which must be set.
    ApiKey,
    /// The certificate of the public listener, if it has one.
    Listener,
    /// Every secret of every webhook.
    Webhooks,
    /// The secrets of one webhook, which must be configured.
    Webhook(WebhookName),
}

impl Config {
    /// Reads the configuration from `file`, or `bridge.toml` in the working directory if that is there, and from the
    /// environment, which wins.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with keys and values, together. What only some commands need is missed by
    /// [`Loaded::require`].
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let text = match file {
            Some(path) => Some((path, file::read(path)?)),
            None => file::read_if_present(Path::new(DEFAULT_FILE))?
                .map(|text| (Path::new(DEFAULT_FILE), text)),
        };
        let text = text.as_ref().map(|(path, text)| (*path, text.as_str()));
        let loaded = load_layers(text, Environment::new(environment))?;
        Ok(Loaded {
            file: text.map(|(path, _)| path.to_owned()),
            ..loaded
        })
    }

    /// The configuration that nobody has touched.
    ///
    /// # Errors
    ///
    /// None, as a test holds.
    pub fn defaults() -> Result<Self, ConfigError> {
        let nothing = Environment::new(std::iter::empty());
        Ok(load_layers(None, nothing)?.config)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Any property may have come from a secret: only their names are told.
        let kafka: Vec<&String> = self.kafka.keys().collect();
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("webhooks", &self.webhooks)
            .field("journal", &self.journal)
            .field("kafka", &kafka)
            .field("topics", &self.topics)
            .field("registry", &self.registry)
            .field("atoms", &self.atoms)
            .finish()
    }
}

impl Loaded {
    /// The configuration for a command with these needs.
    ///
    /// # Errors
    ///
    /// Everything that these needs miss.
    pub fn require(&self, needs: &[Need]) -> Result<Config, ConfigError> {
        let mut problems: Vec<Problem> = needs
            .iter()
            .filter_map(|need| self.missing_webhook(need))
            .collect();
        problems.extend(
            self.unmet
                .iter()
                .filter(|(unmet, _)| needs.iter().any(|need| need.covers(unmet)))
                .map(|(_, problem)| problem.clone()),
        );
        if needs.contains(&Need::Kafka) {
            problems.extend(self.mismatch());
        }
        if problems.is_empty() {
            Ok(self.config.clone())
        } else {
            Err(ConfigError::Invalid(problems))
        }
    }

    /// The configuration for a command that reaches Kafka but signs and verifies nothing.
    ///
    /// # Errors
    ///
    /// As [`Loaded::require`].
    pub fn require_kafka(&self) -> Result<Config, ConfigError> {
        self.require(&[Need::Kafka])
    }

    /// Whether librdkafka takes what is set under `[kafka]`.
    ///
    /// # Errors
    ///
    /// What it does not take. What is not set, and secrets that are not there, are left to [`Loaded::require`].
    pub fn judge_kafka(&self) -> Result<(), ConfigError> {
        let refused = self.unmet.iter().map(|(_, problem)| problem);
        let mut problems: Vec<Problem> = refused
            .filter(|problem| problem.is_of_librdkafka())
            .cloned()
            .collect();
        problems.extend(self.mismatch());
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Invalid(problems))
        }
    }

    /// What is wrong with the properties of `[kafka]` together; nothing can be said while one of them is missing.
    fn mismatch(&self) -> Option<Problem> {
        if self.unmet.iter().any(|(need, _)| *need == Need::Kafka) {
            return None;
        }
        let largest = max_message_bytes(self.config.listen.max_body_bytes);
        let mismatch = try_together(&self.config.kafka, largest).err()?;
        let property = mismatch.property.unwrap_or_default();
        let key = format!("kafka.{property}");
        Some(Problem {
            origin: self.settings.origin_of(&key),
            key: key.trim_end_matches('.').to_owned(),
            kind: ProblemKind::Properties(mismatch.reason),
        })
    }

    /// The file that it was read from, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether that file says anything.
    pub fn has_file_settings(&self) -> bool {
        let settings = self.settings.iter().map(|(_, setting)| &setting.origin);
        let mut origins = settings.chain(self.settings.tables().map(|(_, origin)| origin));
        origins.any(|origin| matches!(origin, Origin::File { .. }))
    }

    /// Every effective setting and where it came from, secrets redacted, in order of their keys.
    pub fn shown(&self) -> Vec<ShownSetting> {
        show::shown(&self.settings, &self.environment)
    }

    /// The file that a webhook's only secret is configured to be in, whether it is there yet or not.
    pub fn secret_file(&self, webhook: &WebhookName) -> Option<PathBuf> {
        let setting = self.settings.get(&format!("webhooks.{webhook}.secrets"))?;
        match reader::list_of(setting).ok()?.as_slice() {
            [only] => SecretSource::parse(only)?.into_file(),
            _ => None,
        }
    }

    fn missing_webhook(&self, need: &Need) -> Option<Problem> {
        match need {
            Need::Webhook(name) if !self.config.webhooks.contains_key(name) => {
                let known = self.config.webhooks.keys().map(WebhookName::to_string);
                Some(Problem {
                    key: format!("webhooks.{name}"),
                    origin: Origin::Default,
                    kind: ProblemKind::NoSuchWebhook(known.collect::<Vec<_>>().join(", ")),
                })
            }
            Need::Webhook(_)
            | Need::Kafka
            | Need::Registry
            | Need::Atoms
            | Need::ApiKey
            | Need::Listener
            | Need::Console
            | Need::Webhooks => None,
        }
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("config", &self.config)
            .field("warnings", &self.warnings)
            .field("unmet", &self.unmet)
            .finish_non_exhaustive()
    }
}

impl Need {
    fn covers(&self, unmet: &Self) -> bool {
        match self {
            Self::Webhooks => matches!(unmet, Self::Webhook(_)),
            Self::ApiKey => matches!(unmet, Self::ApiKey | Self::Atoms),
            Self::Kafka
            | Self::Registry
            | Self::Atoms
            | Self::Listener
            | Self::Console
            | Self::Webhook(_) => self == unmet,
        }
    }
}

/// Reads the layers; pure but for the files that secrets name.
fn load_layers(
    text: Option<(&Path, &str)>,
    environment: Environment,
) -> Result<Loaded, ConfigError> {
    let mut settings = Settings::default();
    let mut problems = Vec::new();
    if let Some((path, text)) = text {
        file::overlay(&mut settings, path, text, &mut problems)?;
    }
    environment.overlay(&mut settings, &mut problems);
    keys::reject_unknown(&settings, &mut problems);
    keys::lay_defaults(&mut settings);
    atoms::lay_defaults(&mut settings, &environment);

    let mut reader = Reader::new(&settings, &environment, problems);
    let config = read(&mut reader);
    let Reader {
        mut problems,
        warnings,
        unmet,
        ..
    } = reader;
    match config {
        Some(config) if problems.is_empty() => Ok(Loaded {
            config,
            warnings,
            file: None,
            settings,
            environment,
            unmet,
        }),
        _ => {
            problems.sort_by(|a, b| (&a.origin, &a.key).cmp(&(&b.origin, &b.key)));
            Err(ConfigError::Invalid(problems))
        }
    }
}

/// Reads every section before it gives up on any, so that all problems are found.
fn read(reader: &mut Reader<'_>) -> Option<Config> {
    let listen = listen::read(reader);
    let webhooks = webhooks::read(reader);
    let journal = journal::read(reader);
    let kafka = kafka::read(reader);
    let topics = topics::read(reader);
    let registry = registry::read(reader);
    let atoms = atoms::read(reader);
    let config = Config {
        listen: listen?,
        webhooks: webhooks?,
        journal: journal?,
        kafka: kafka?,
        topics: topics?,
        registry: registry?,
        atoms: atoms?,
    };
    compare(&config, reader);
    Some(config)
}

/// What no section can see alone.
fn compare(config: &Config, reader: &mut Reader<'_>) {
    if config.journal.max_bytes < config.listen.max_body_bytes {
        reader.warn(format!(
            "journal.max_bytes ({}) is below listen.max_body ({}): the largest deliveries will be refused",
            config.journal.max_bytes, config.listen.max_body_bytes
        ));
    }
    kafka::compare(config, reader);
    let prefixes = config
        .webhooks
        .values()
        .filter_map(|w| w.topic_prefix.as_deref());
    let mut prefixes = prefixes.chain([config.topics.prefix.as_str()]);
    if let Some(all) = &config.topics.all
        && prefixes.any(|prefix| {
            all.strip_prefix(prefix)
                .is_some_and(|name| TOPIC_NAMES.contains(&name))
        })
    {
        reader.reject("topics.all", ProblemKind::TopicTaken(all.clone()));
    }
}

/// Read from the working directory when no file is named.
const DEFAULT_FILE: &str = "bridge.toml";
