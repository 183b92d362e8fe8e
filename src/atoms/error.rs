//! Why the API gave no answer that helps.
//!
//! Nothing here holds the key, and of what the API says only the words about webhooks and agents: those about calls may
//! name people.

/// No answer that helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AtomsError {
    /// There is no key.
    #[error("there is no API key: set atoms.api_key")]
    NoKey,
    /// The key cannot even be sent.
    #[error("the API key holds characters that no key has: check atoms.api_key")]
    KeyUnfit,
    /// The system gives no HTTP client.
    #[error("no HTTP client: {0}")]
    Client(String),
    /// The configured address is none.
    #[error("atoms.base_url is no address")]
    BaseUrl,
    /// 401.
    #[error("the API key is refused: check atoms.api_key")]
    KeyRefused,
    /// 403.
    #[error("the API key may not do {what}: give it the right in the Atoms dashboard")]
    Forbidden {
        /// Method and path.
        what: String,
    },
    /// Nobody answered, or not in time, as often as it was asked.
    #[error("{at} does not answer: {reason}")]
    Unreachable {
        /// The API.
        at: String,
        /// What the system said.
        reason: String,
    },
    /// It is unwell, or gave an answer that broke off, as often as it was asked.
    #[error("{at} answers {what} with {status}; it is tried again later")]
    Unwell {
        /// The API.
        at: String,
        /// Method and path.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// 429, as often as it was asked.
    #[error(
        "{at} has too many requests: lower atoms.requests_per_second, or see what else uses this key"
    )]
    TooMany {
        /// The API.
        at: String,
    },
    /// It says no.
    #[error("{what} is refused with {status}{}", said(.words))]
    Refused {
        /// Method and path.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The API's words, where they cannot name a person.
        words: String,
    },
    /// It answers, but not as the contract says.
    #[error(
        "{at} answers {what} with something else than the API does ({departure}): check atoms.base_url"
    )]
    NotTheApi {
        /// The API.
        at: String,
        /// Method and path.
        what: String,
        /// What is wrong with it.
        departure: String,
    },
    /// Something that would lead elsewhere.
    #[error("an id that is none: it has other characters than letters, digits, - and _")]
    NotAnId,
}

impl AtomsError {
    /// Whether the same may work later without anybody doing something.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unwell { .. } | Self::TooMany { .. } => true,
            Self::NoKey
            | Self::KeyUnfit
            | Self::Client(_)
            | Self::BaseUrl
            | Self::KeyRefused
            | Self::Forbidden { .. }
            | Self::Refused { .. }
            | Self::NotTheApi { .. }
            | Self::NotAnId => false,
        }
    }
}

fn said(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    }
}
