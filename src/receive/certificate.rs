//! What a certificate says of itself: until when it is good, and for which names.
//!
//! There is no parser of certificates here beside the one of TLS: what it complains of, when it is asked about the wrong
//! moment and the wrong name, tells the right ones.

use std::time::Duration;

use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, Error as TlsError, RootCertStore};

use super::tls::Identity;
use crate::time::Timestamp;

/// A certificate's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// From when it is good.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Host names and addresses.
    pub names: Vec<String>,
}

impl Certificate {
    /// Reads that of an identity; `None` when it does not tell, which TLS would not take either.
    pub fn of(identity: &Identity) -> Option<Self> {
        let parsed = ParsedCertificate::try_from(identity.leaf()?).ok()?;
        Some(Self {
            not_before: at(complaint_at(
                &parsed,
                UnixTime::since_unix_epoch(Duration::ZERO),
            )?)?,
            not_after: at(complaint_at(&parsed, UnixTime::since_unix_epoch(FAR))?)?,
            names: names(&parsed)?,
        })
    }
}

/// The moment that TLS names when it is asked about one that does not fit.
fn complaint_at(parsed: &ParsedCertificate<'_>, moment: UnixTime) -> Option<UnixTime> {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let told = verify_server_cert_signed_by_trust_anchor(
        parsed,
        &RootCertStore::empty(),
        &[],
        moment,
        algorithms.all,
    );
    match told {
        Err(TlsError::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before,
            ..
        })) => Some(not_before),
        Err(TlsError::InvalidCertificate(CertificateError::ExpiredContext {
            not_after, ..
        })) => Some(not_after),
        Ok(()) | Err(_) => None,
    }
}

fn names(parsed: &ParsedCertificate<'_>) -> Option<Vec<String>> {
    let nobody = ServerName::try_from(NOBODY).ok()?;
    match verify_server_name(parsed, &nobody) {
        Err(TlsError::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        })) => Some(presented),
        Ok(()) | Err(_) => Some(Vec::new()),
    }
}

fn at(moment: UnixTime) -> Option<Timestamp> {
    let seconds = i64::try_from(moment.as_secs()).ok()?;
    Some(Timestamp::from_unix_ms(seconds.checked_mul(1000)?))
}

/// After the last moment that a certificate can name.
const FAR: Duration = Duration::from_secs(300_000_000_000);
const NOBODY: &str = "nobody.invalid";
