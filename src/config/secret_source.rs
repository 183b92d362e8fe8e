//! Where a secret is: `env:NAME`, `file:PATH` or `literal:TEXT`.
//!
//! A literal is the secret itself: it is shown nowhere, not even in `Debug`.

use std::fmt;
use std::path::PathBuf;

use super::environment::Environment;
use super::problem::ProblemKind;
use crate::verify::secret::Secret;

/// A secret's source as written.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum SecretSource {
    Env(String),
    File(String),
    Literal(String),
}

impl SecretSource {
    /// Reads `env:NAME`, `file:PATH` or `literal:TEXT`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        match scheme {
            "env" if !rest.is_empty() => Some(Self::Env(rest.to_owned())),
            "file" if !rest.is_empty() => Some(Self::File(rest.to_owned())),
            "literal" => Some(Self::Literal(rest.to_owned())),
            _ => None,
        }
    }

    /// The file that it is in, if it is in one.
    pub(super) fn into_file(self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(PathBuf::from(path)),
            Self::Env(_) | Self::Literal(_) => None,
        }
    }

    /// Fetches the secret.
    pub(super) fn resolve(&self, environment: &Environment) -> Result<Secret, ProblemKind> {
        let secret = match self {
            Self::Env(name) => match environment.get(name) {
                Some(value) => Secret::new(value.as_bytes()),
                None => return Err(ProblemKind::SecretUnset(name.clone())),
            },
            Self::File(path) => match std::fs::read(path) {
                Ok(bytes) => Secret::new(&bytes),
                Err(error) => {
                    return Err(ProblemKind::SecretFile {
                        path: path.clone(),
                        reason: error.to_string(),
                    });
                }
            },
            Self::Literal(text) => Secret::new(text.as_bytes()),
        };
        secret.ok_or_else(|| ProblemKind::SecretEmpty(self.to_string()))
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Literal(_) => f.write_str("literal:"),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}***")
    }
}
