//! Why the registry gave no answer that helps, and what to do about it. No text holds a credential.

use std::path::PathBuf;

/// Why the registry gave no answer that helps.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The certificates of `registry.ca` cannot be used.
    #[error("cannot read certificates from {}, the registry.ca: {reason}; it must hold them in PEM", .path.display())]
    Ca {
        /// As configured.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// No client can be had.
    #[error("cannot make a client for the registry: {0}")]
    Client(String),
    /// No answer came.
    #[error("cannot reach the registry at {url}: {reason}; check registry.url, and that it runs")]
    Unreachable {
        /// As configured.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// It does not know who asks.
    #[error(
        "the registry at {url} wants to know who asks (HTTP {status}); check registry.username and registry.password, or registry.token, and what they may do"
    )]
    Unauthorized {
        /// As configured.
        url: String,
        /// 401 or 403.
        status: u16,
    },
    /// It answers as no registry does.
    #[error(
        "{url} answers {what} with HTTP {status} and not as a registry does; registry.url is the root of the Confluent-compatible API, for Apicurio http://HOST:PORT/apis/ccompat/v7"
    )]
    NoRegistry {
        /// As configured.
        url: String,
        /// Method and path.
        what: String,
        /// The status.
        status: u16,
    },
    /// It is there and cannot answer.
    #[error(
        "the registry at {url} cannot answer {what} (HTTP {status}): {message}; its own log says more"
    )]
    Unwell {
        /// As configured.
        url: String,
        /// Method and path.
        what: String,
        /// 500 or above.
        status: u16,
        /// The registry's words.
        message: String,
    },
    /// It refuses.
    #[error("the registry refuses {what} (HTTP {status}): {message}")]
    Refused {
        /// Method and path.
        what: String,
        /// The status.
        status: u16,
        /// The registry's words.
        message: String,
    },
}
