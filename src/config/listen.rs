//! `[listen]`: addresses and limits of the receiver.

use std::net::SocketAddr;
use std::time::Duration;

use super::console::{self, Console};
use super::keys::Key;
use super::problem::ProblemKind;
use super::reader::Reader;
use super::values::{ADDRESS, BODY_SIZE, DURATION};

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
}

pub(super) const KEYS: &[Key] = &[
    Key::with_default("listen.webhooks", "0.0.0.0:8080"),
    Key::with_default("listen.health", "0.0.0.0:8081"),
    Key::with_default("listen.max_body", "16MiB"),
    Key::with_default("listen.read_timeout", "15s"),
];

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Listen> {
    let webhooks = reader.value("listen.webhooks", &ADDRESS);
    let health = reader.value("listen.health", &ADDRESS);
    let console = console::read(reader);
    let max_body_bytes = reader.value("listen.max_body", &BODY_SIZE);
    let read_timeout = reader.value("listen.read_timeout", &DURATION);
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
    })
}
