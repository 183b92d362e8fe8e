//! An authority of a test's own and certificates by it, made with openssl as an operator would.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// An authority; its files go when it is dropped.
#[derive(Debug)]
pub(crate) struct Authority {
    dir: TempDir,
}

/// A certificate for this machine with its key, both in PEM files.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let dir = TempDir::with_prefix("authority-").expect("a temporary directory");
        openssl(
            dir.path(),
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=An authority for tests",
                "-keyout",
                "ca.key",
                "-out",
                "ca.pem",
            ],
        );
        Self { dir }
    }

    /// A certificate by this authority for `localhost` and `127.0.0.1`, under a name that tells it from others.
    pub(crate) fn issue(&self, name: &str) -> Certificate {
        let (cert, key) = (format!("{name}.pem"), format!("{name}.key"));
        openssl(
            self.dir.path(),
            &[
                "req",
                "-x509",
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-subj",
                &format!("/CN={name}"),
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-keyout",
                &key,
                "-out",
                &cert,
            ],
        );
        Certificate {
            cert: self.dir.path().join(cert),
            key: self.dir.path().join(key),
        }
    }

    /// The file of its own certificate, for clients.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// What a client speaks TLS with that trusts this authority alone, and offers these versions of HTTP.
    pub(crate) fn client(&self, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.certificate_in(&self.ca()))
            .expect("it is a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder
            .with_safe_default_protocol_versions()
            .expect("the defaults are safe");
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// The certificate in a file.
    pub(crate) fn certificate_in(&self, path: &Path) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(path).expect("a certificate in PEM")
    }
}

/// Runs openssl in a directory.
pub(crate) fn openssl(dir: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("openssl is not installed: apt-get install openssl");
    assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
}
