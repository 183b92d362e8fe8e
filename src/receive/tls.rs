//! TLS of the public listener: a certificate and its key from their files, checked, and what handshakes are made with.
//!
//! The crypto is AWS-LC, as in the client behind `send`: a second implementation would be a second one to keep patched.
//! A new identity counts for new connections; those that are open end with the one that they began with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error as TlsError, ServerConfig};

/// A certificate with its chain and its key. Two are equal when their certificates are.
#[derive(Clone)]
pub struct Identity {
    chain: Arc<[CertificateDer<'static>]>,
    config: Arc<ServerConfig>,
}

/// Why a certificate and its key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The certificate's file cannot be read.
    #[error("cannot read the certificate's file {}: {reason}", .path.display())]
    CertificateFile {
        /// As configured.
        path: PathBuf,
        /// The operating system's word.
        reason: String,
    },
    /// The certificate's file holds none.
    #[error("{} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)", .0.display())]
    NoCertificate(PathBuf),
    /// The certificate cannot be used.
    #[error("the certificate in {} cannot be used: {reason}; write the server's own first, then what is between it and the authority", .path.display())]
    Certificate {
        /// As configured.
        path: PathBuf,
        /// What TLS says.
        reason: String,
    },
    /// The key's file cannot be read.
    #[error("cannot read the key's file {}: {reason}; the bridge's user must be able to", .path.display())]
    KeyFile {
        /// As configured.
        path: PathBuf,
        /// The operating system's word.
        reason: String,
    },
    /// The key's file holds none.
    #[error("{} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)", .0.display())]
    NoKey(PathBuf),
    /// The key is encrypted.
    #[error("the key in {path} is encrypted, and nobody is there to type the password; write it plain: openssl pkey -in {path} -out KEY", path = .0.display())]
    EncryptedKey(PathBuf),
    /// The key is none that TLS knows.
    #[error("the key in {} cannot be used: {reason}; make one with openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", .path.display())]
    Key {
        /// As configured.
        path: PathBuf,
        /// What TLS says.
        reason: String,
    },
    /// Key and certificate belong to different pairs.
    #[error("the key in {} is not that of the first certificate in {}; give both files of the same order, the server's own certificate first", .key.display(), .cert.display())]
    Strangers {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

impl Identity {
    /// Reads and checks a certificate and its key.
    ///
    /// # Errors
    ///
    /// Says which file is wrong, and what to do.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, IdentityError> {
        let chain = read_chain(cert)?;
        let private = read_key(key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(chain.clone(), private)
            });
        let mut config = config.map_err(|error| unfit(error, cert, key))?;
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Self {
            chain: chain.into(),
            config: Arc::new(config),
        })
    }
}

impl Identity {
    /// The server's own certificate.
    pub(super) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl IdentityError {
    /// Whether to look at `listen.tls.key` rather than at `listen.tls.cert`.
    pub fn is_about_the_key(&self) -> bool {
        match self {
            Self::KeyFile { .. }
            | Self::NoKey(_)
            | Self::EncryptedKey(_)
            | Self::Key { .. }
            | Self::Strangers { .. } => true,
            Self::CertificateFile { .. } | Self::NoCertificate(_) | Self::Certificate { .. } => {
                false
            }
        }
    }
}

/// What the next handshake is made with. Clones see the same.
#[derive(Clone)]
pub(super) struct Handshakes(Arc<ArcSwap<ServerConfig>>);

impl Handshakes {
    pub(super) fn new(identity: &Identity) -> Self {
        Self(Arc::new(ArcSwap::new(Arc::clone(&identity.config))))
    }

    pub(super) fn replace(&self, identity: &Identity) {
        self.0.store(Arc::clone(&identity.config));
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.0.load_full()
    }
}

/// ALPN's name of HTTP/2.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let pem = std::fs::read(path).map_err(|error| IdentityError::CertificateFile {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let chain: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| IdentityError::Certificate {
        path: path.to_owned(),
        reason: DAMAGED.to_owned(),
    })?;
    if chain.is_empty() {
        return Err(IdentityError::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let pem = std::fs::read(path).map_err(|error| IdentityError::KeyFile {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        let path = path.to_owned();
        if !matches!(error, PemError::NoItemsFound) {
            let reason = DAMAGED.to_owned();
            IdentityError::Key { path, reason }
        } else if is_encrypted(&pem) {
            IdentityError::EncryptedKey(path)
        } else {
            IdentityError::NoKey(path)
        }
    })
}

fn is_encrypted(pem: &[u8]) -> bool {
    memchr::memmem::find(pem, b"BEGIN ENCRYPTED PRIVATE KEY").is_some()
}

fn unfit(error: TlsError, cert: &Path, key: &Path) -> IdentityError {
    let reason = error.to_string();
    if matches!(error, TlsError::InconsistentKeys(_)) {
        IdentityError::Strangers {
            cert: cert.to_owned(),
            key: key.to_owned(),
        }
    } else if matches!(error, TlsError::InvalidCertificate(_)) {
        IdentityError::Certificate {
            path: cert.to_owned(),
            reason,
        }
    } else {
        IdentityError::Key {
            path: key.to_owned(),
            reason,
        }
    }
}

/// The parser's own word may quote a line, which may be of a key.
const DAMAGED: &str = "its PEM is damaged";
