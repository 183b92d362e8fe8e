//! The checked configuration: what the rest of the program may rely on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::receive::delivery::WebhookName;
use crate::verify::secret::Secret;

/// Everything that the bridge is told from outside, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[webhooks.NAME]`
    pub webhooks: BTreeMap<WebhookName, Webhook>,
    /// `[journal]`
    pub journal: Journal,
    /// `[kafka]`: librdkafka's properties by their own names.
    pub kafka: BTreeMap<String, String>,
    /// `[topics]`
    pub topics: Topics,
}

/// `[listen]`: addresses and limits of the receiver.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Public: `POST /webhooks/{name}` and `GET /readyz`. Default `0.0.0.0:8080`.
    pub webhooks: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics`. Default `0.0.0.0:8081`.
    pub health: SocketAddr,
    /// Largest body that is accepted, in bytes. Default 16 MiB.
    pub max_body_bytes: u64,
    /// How long a request's header, and then its body, may take to arrive. Default 15 s.
    pub read_timeout: Duration,
}

/// `[webhooks.NAME]`: one configured sender.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its name, the last segment of its path.
    pub name: WebhookName,
    /// Signing secrets; any one may match.
    pub secrets: Vec<Secret>,
    /// An optional second factor.
    pub header: Option<StaticHeader>,
    /// Takes the place of `topics.prefix` for this webhook.
    pub topic_prefix: Option<String>,
    /// What a 200 waits for.
    pub ack: Ack,
}

/// A header with a fixed value that every delivery must carry.
#[derive(Debug, Clone)]
pub struct StaticHeader {
    /// Header name, lower case.
    pub name: String,
    /// Its value, compared in constant time.
    pub value: Secret,
}

/// What a 200 waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// The journal's fsync.
    Journal,
    /// The commit in Kafka too, but no longer than `timeout`, after which the journal's word is enough.
    Kafka {
        /// `ack_timeout`, default 10 s.
        timeout: Duration,
    },
}

/// `[journal]`: where deliveries are kept and for how long.
#[derive(Debug, Clone)]
pub struct Journal {
    /// The SQLite file. Default `data/journal.db`.
    pub path: PathBuf,
    /// How long published bodies are kept. Default 72 h.
    pub retention: Duration,
    /// How large the journal may grow, in bytes. Default 4 GiB.
    pub max_bytes: u64,
}

/// `[topics]`: their names and shape.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Before each topic's own name. Default `atoms.`.
    pub prefix: String,
    /// Partitions of each topic that the bridge creates. Default 12.
    pub partitions: u32,
    /// Replication factor of each topic that the bridge creates; absent: the broker's default.
    pub replication: Option<u16>,
    /// A topic that carries every event but dead letters as well.
    pub all: Option<String>,
}
