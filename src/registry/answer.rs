//! What the registry answers, and what that means.

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::RegistryError;

/// A schema as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Registered {
    /// Of this schema in this registry.
    pub id: u32,
    /// Under its subject, from 1.
    pub version: u32,
}

/// Whether a schema may follow those of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Compatible,
    /// It may not, for these reasons, if the registry gives any.
    Incompatible(Vec<String>),
    /// This registry does not judge before it is asked to register.
    NotJudged,
}

/// What came back.
pub(super) struct Answer {
    /// The registry, as configured.
    pub(super) url: String,
    /// Method and path.
    pub(super) what: String,
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Reads an answer of success.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, RegistryError> {
        if self.status.is_success()
            && let Ok(value) = serde_json::from_slice(&self.body)
        {
            return Ok(value);
        }
        let (url, what, status) = (self.url.clone(), self.what.clone(), self.status.as_u16());
        if self.status.is_success() || self.status.is_redirection() || self.has_no_such_route() {
            return Err(RegistryError::NoRegistry { url, what, status });
        }
        let message = self.message();
        if self.status.is_server_error() {
            return Err(RegistryError::Unwell {
                url,
                what,
                status,
                message,
            });
        }
        Err(RegistryError::Refused {
            what,
            status,
            message,
        })
    }

    /// The subject, version or schema is not there, or the subject has no level of its own.
    pub(super) fn is_unknown(&self) -> bool {
        let code = self.trouble().and_then(|trouble| trouble.error_code);
        self.status == StatusCode::NOT_FOUND && code.is_some_and(|code| UNKNOWN.contains(&code))
    }

    /// A path that nobody serves, unlike a thing that is not there.
    pub(super) fn has_no_such_route(&self) -> bool {
        let status = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        status.contains(&self.status) && !self.is_unknown()
    }

    pub(super) fn message(&self) -> String {
        let words = self.trouble().and_then(|trouble| trouble.message);
        let words = words.unwrap_or_else(|| "it does not say why".to_owned());
        match words.char_indices().nth(LONGEST_MESSAGE) {
            Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
            None => words,
        }
    }

    fn trouble(&self) -> Option<Trouble> {
        serde_json::from_slice(&self.body).ok()
    }
}

#[derive(Deserialize)]
struct Trouble {
    error_code: Option<i64>,
    message: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Judged {
    is_compatible: bool,
    #[serde(default)]
    messages: Vec<String>,
}

impl Judged {
    pub(super) fn verdict(self) -> Verdict {
        if self.is_compatible {
            Verdict::Compatible
        } else {
            Verdict::Incompatible(self.messages)
        }
    }
}

/// No subject, no version, no such schema, no level of its own.
const UNKNOWN: [i64; 4] = [40401, 40402, 40403, 40408];
/// In characters. Some registries tell of every difference.
const LONGEST_MESSAGE: usize = 1000;
