//! `[listen]`: addresses and limits of the receiver, its TLS, and whose word on a client's address is believed.
//!
//! The files of the certificate are read with the configuration, but missed only by a command that serves with them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::Need;
use super::console::{self, Console};
use super::keys::Key;
use super::problem::ProblemKind;
use super::reader::Reader;
use super::values::{ADDRESS, BODY_SIZE, DURATION, Kind, PATH};
use crate::receive::tls::Identity;

/// `[listen]`: addresses and limits of the receiver.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Public: `POST /webhooks/{name}` and `GET /readyz`. Default `0.0.0.0:8080`.
    pub webhooks: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics`. Default `0.0.0.0:8081`.
    pub health: SocketAddr,
    /// The page for people; `None` when it is off.
    pub console: Option<Console>,
    /// Largest body that is accepted, in bytes. Default 16 MiB.
    pub max_body_bytes: u64,
    /// How long a request's header, and then its body, may take to arrive. Default 15 s.
    pub read_timeout: Duration,
    /// TLS on the public listener. Default: none.
    pub tls: Option<Tls>,
    /// Proxies in front of the public listener. Default: none.
    pub proxies: Proxies,
}

/// `listen.tls`: the certificate of the public listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The PEM file of the certificate and what is between it and the authority.
    pub cert: PathBuf,
    /// The PEM file of its key.
    pub key: PathBuf,
    /// What is in them; `None` when they cannot be used, which [`Need::Listener`] misses.
    pub identity: Option<Identity>,
}

/// Whose word on a client's address is believed, and in which header it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// `listen.trusted_proxies`: the networks of the proxies.
    pub networks: Vec<IpNet>,
    /// `listen.client_header`: what they write the address into.
    pub header: ClientHeader,
}

/// The header in which proxies say for whom they ask.
///
/// Only one is believed: a proxy that writes one of them hands on what its client wrote into the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded`, RFC 7239.
    Forwarded,
}

pub(super) const KEYS: &[Key] = &[
    Key::with_default("listen.webhooks", "0.0.0.0:8080"),
    Key::with_default("listen.health", "0.0.0.0:8081"),
    Key::with_default("listen.max_body", "16MiB"),
    Key::with_default("listen.read_timeout", "15s"),
    Key::optional(TLS),
    Key::optional(CERT),
    Key::optional(KEY),
    Key::optional(TRUSTED_PROXIES),
    Key::with_default(CLIENT_HEADER, "x-forwarded-for"),
];

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Listen> {
    let webhooks = reader.value("listen.webhooks", &ADDRESS);
    let health = reader.value("listen.health", &ADDRESS);
    let console = console::read(reader);
    let max_body_bytes = reader.value("listen.max_body", &BODY_SIZE);
    let read_timeout = reader.value("listen.read_timeout", &DURATION);
    let tls = read_tls(reader);
    let proxies = read_proxies(reader);
    if let (Some(webhooks), Some(health)) = (webhooks, health)
        && webhooks == health
        && webhooks.port() != 0
    {
        reader.reject(
            "listen.health",
            ProblemKind::AddressTaken(health.to_string()),
        );
    }
    Some(Listen {
        webhooks: webhooks?,
        health: health?,
        console: console?,
        max_body_bytes: max_body_bytes?,
        read_timeout: read_timeout?,
        tls,
        proxies: proxies?,
    })
}

/// `None` without TLS, and after a complaint.
fn read_tls(reader: &mut Reader<'_>) -> Option<Tls> {
    if reader.settings.get(TLS).is_some() {
        reader.reject(TLS, ProblemKind::Section(TLS.to_owned()));
    }
    let is_set = |key: &str| reader.settings.get(key).is_some();
    match (is_set(CERT), is_set(KEY)) {
        (true, false) => reader.reject(CERT, ProblemKind::HalfTls),
        (false, true) => reader.reject(KEY, ProblemKind::HalfTls),
        (true, true) | (false, false) => {}
    }
    let cert = reader.value(CERT, &PATH);
    let key = reader.value(KEY, &PATH);
    let (cert, key) = (cert?, key?);
    let identity = Identity::load(&cert, &key).map_err(|error| {
        let at = if error.is_about_the_key() { KEY } else { CERT };
        reader.miss(Need::Listener, at, ProblemKind::Tls(error));
    });
    Some(Tls {
        cert,
        key,
        identity: identity.ok(),
    })
}

/// `None` after a complaint.
fn read_proxies(reader: &mut Reader<'_>) -> Option<Proxies> {
    let header = reader.value(CLIENT_HEADER, &HEADER);
    let is_set = reader.settings.get(TRUSTED_PROXIES).is_some();
    let texts = if is_set {
        reader.list(TRUSTED_PROXIES)?
    } else {
        Vec::new()
    };
    let mut networks = Vec::with_capacity(texts.len());
    for text in texts {
        match (NETWORK.read)(&text) {
            Some(network) => networks.push(network),
            None => reader.reject(
                TRUSTED_PROXIES,
                ProblemKind::Value {
                    found: text,
                    accepted: NETWORK.accepted,
                },
            ),
        }
    }
    Some(Proxies {
        networks,
        header: header?,
    })
}

const NETWORK: Kind<IpNet> = Kind {
    accepted: "the address of a proxy, or a network such as 10.0.0.0/8 or fd00::/8",
    read: |text| {
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        text.parse::<IpNet>().ok().or_else(address)
    },
};

const HEADER: Kind<ClientHeader> = Kind {
    accepted: "\"x-forwarded-for\" or \"forwarded\"",
    read: |text| match text.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Some(ClientHeader::XForwardedFor),
        "forwarded" => Some(ClientHeader::Forwarded),
        _ => None,
    },
};

const TLS: &str = "listen.tls";
pub(super) const CERT: &str = "listen.tls.cert";
pub(super) const KEY: &str = "listen.tls.key";
pub(super) const TRUSTED_PROXIES: &str = "listen.trusted_proxies";
pub(super) const CLIENT_HEADER: &str = "listen.client_header";
