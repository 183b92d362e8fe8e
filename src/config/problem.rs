//! What can be wrong with a configuration, each with the place and what to write instead.
//!
//! Text of a secret is never part of a message: neither what stands where a secret belongs, nor a line of the file.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::settings::Origin;
use crate::receive::tls::IdentityError;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", .path.display())]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}:{column}: not TOML: {message}", .path.display())]
    NotToml {
        /// The path as given.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// The parser's message, which quotes nothing.
        message: String,
    },
    /// Keys or values are wrong, or a command misses something.
    #[error("the configuration has {}", listed(.0))]
    Invalid(Vec<Problem>),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The dotted key.
    pub key: String,
    /// Where its value was written.
    pub origin: Origin,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What is wrong with a key or its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    /// Nobody reads this key.
    #[error("unknown key; {0}")]
    UnknownKey(String),
    /// A value where a table belongs.
    #[error("this is a section: write its keys under [{0}]")]
    Section(String),
    /// The same key twice in one layer.
    #[error("set twice, also at {0}; remove one")]
    Twice(String),
    /// The value does not fit.
    #[error("{found:?} does not fit; write {accepted}")]
    Value {
        /// As written.
        found: String,
        /// What would fit.
        accepted: &'static str,
    },
    /// The value has the wrong shape.
    #[error("{found} does not fit; write {accepted}")]
    Shape {
        /// What is there.
        found: &'static str,
        /// What would fit.
        accepted: &'static str,
    },
    /// A list in the environment that begins like JSON and is none.
    #[error("begins with `[` but is no JSON list of strings; write [\"a\",\"b\"] or a,b")]
    JsonList,
    /// A webhook's name cannot be spelled in the environment.
    #[error("{0:?} is no name for a webhook; write one in [a-z0-9_]+")]
    WebhookName(String),
    /// A webhook without a secret.
    #[error("a webhook needs a secret; write secrets = [\"env:NAME\"]")]
    NoSecrets,
    /// A second factor of which a part is missing.
    #[error(
        "the header needs both name and value; write header = {{ name = \"x-api-key\", value = \"env:NAME\" }}"
    )]
    HalfHeader,
    /// A header that the sender cannot be told to send.
    #[error("{0:?} is set by the sender itself; name a header of your own")]
    ReservedHeader(String),
    /// A longer wait than the sender's.
    #[error(
        "longer than 25s; the sender gives up after 30s, and a delivery that it gave up looks lost to it"
    )]
    AckTimeoutTooLong,
    /// Both listeners on one address.
    #[error("{0} is listen.webhooks already; give health another port")]
    AddressTaken(String),
    /// The console beyond loopback, open to everybody.
    #[error(
        "shows what people said, and beyond loopback anyone could look; set listen.console_token too, or write 127.0.0.1 and a port, or \"off\""
    )]
    ConsoleWithoutToken,
    /// A token that can be guessed.
    #[error("a token shorter than 16 bytes can be guessed; write a longer one")]
    ShortToken,
    /// `topics.all` names one of the bridge's own topics.
    #[error(
        "{0:?} is a topic of the bridge already, each event would be there twice; name another"
    )]
    TopicTaken(String),
    /// A property that a guarantee rests on.
    #[error("cannot be set: {0}")]
    Guarantee(&'static str),
    /// A property's value that librdkafka does not take; the value itself is not shown.
    #[error("librdkafka does not take this value; {0}")]
    Property(String),
    /// A property's value with which the bridge could not work; the value itself is not shown.
    #[error("write {accepted}: {reason}")]
    Limit {
        /// What would fit.
        accepted: String,
        /// Why.
        reason: &'static str,
    },
    /// Properties of which librdkafka makes no client.
    #[error("librdkafka makes no client of what is set under [kafka]: {0}")]
    Properties(String),
    /// A certificate without a key, or the reverse.
    #[error("TLS needs both; write listen.tls = {{ cert = \"FILE\", key = \"FILE\" }}")]
    HalfTls,
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(IdentityError),
    /// A secret in no known spelling.
    #[error("a secret is written env:NAME, file:PATH or literal:TEXT")]
    SecretSpelling,
    /// A secret's variable is unset.
    #[error("the environment variable {0} is not set; it must hold the secret")]
    SecretUnset(String),
    /// A secret is empty.
    #[error("the secret ({0}) is empty, and anyone could sign with an empty secret")]
    SecretEmpty(String),
    /// A secret's file cannot be read.
    #[error("cannot read the secret's file {path}: {reason}")]
    SecretFile {
        /// The path as written.
        path: String,
        /// The operating system's word.
        reason: String,
    },
    /// A Kafka property's secret is not text.
    #[error("the secret ({0}) is not UTF-8, which librdkafka needs here")]
    SecretNotText(String),
    /// The registry's address holds what it should not.
    #[error(
        "an address without user, password, query or fragment; write them as registry.username and registry.password, or registry.token"
    )]
    RegistryUrl,
    /// Something about a registry that is not named.
    #[error("means nothing without registry.url; set that too, or remove this")]
    NoRegistryUrl,
    /// A user without a password, or the reverse.
    #[error("registry.username and registry.password belong together; set both")]
    HalfCredentials,
    /// Two ways to say who one is.
    #[error("registry.username and registry.token exclude each other; remove one")]
    TwoCredentials,
    /// The address of the sender's API holds what it should not.
    #[error("an address without user, password, query or fragment; the key is atoms.api_key")]
    AtomsUrl,
    /// A command needs the sender's API.
    #[error(
        "not set; make a key in the Atoms dashboard and put it into ATOMS_API_KEY, or write api_key = \"env:NAME\" under [atoms]"
    )]
    NoApiKey,
    /// Kafka's address is unknown.
    #[error(
        "not set; write \"bootstrap.servers\" = \"HOST:PORT\" under [kafka], or set ATOMS_BRIDGE__KAFKA__BOOTSTRAP_SERVERS"
    )]
    NoBootstrapServers,
    /// A command names a webhook that is not configured.
    #[error("no such webhook; configured: {0}")]
    NoSuchWebhook(String),
}

impl Problem {
    /// Whether it is librdkafka that does not take something.
    pub(super) fn is_of_librdkafka(&self) -> bool {
        let is_unknown = matches!(self.kind, ProblemKind::UnknownKey(_));
        is_unknown || matches!(self.kind, ProblemKind::Property(_))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => write!(f, "{}: {}", self.key, self.kind),
            Origin::File { .. } => write!(f, "{}: {}: {}", self.origin, self.key, self.kind),
            Origin::Env { name } => write!(f, "{name}: {}", self.kind),
        }
    }
}

fn listed(problems: &[Problem]) -> String {
    let mut text = match problems.len() {
        1 => "an error:".to_owned(),
        n => format!("{n} errors:"),
    };
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
    }
    text
}
