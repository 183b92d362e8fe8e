//! The Kafka inside `dev`: librdkafka's mock cluster, which speaks the real protocol on a port of this machine.
//!
//! It keeps everything in memory, 5 MiB a partition at most, and forgets the oldest first. It holds no mark, so nothing that
//! is promised about restarts is promised on it.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A Kafka that ends with this value.
pub struct EmbeddedKafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedKafka {
    /// Starts it with these topics; nobody else can create any.
    ///
    /// # Errors
    ///
    /// When no port can be had, or a topic's name is not legal.
    pub fn start(topics: &BTreeSet<String>, partitions: u32) -> Result<Self, KafkaError> {
        let cluster = MockCluster::new(1)?;
        for topic in topics {
            cluster.create_topic(topic, i32::try_from(partitions).unwrap_or(i32::MAX), 1)?;
        }
        Ok(Self { cluster })
    }

    /// The largest body whose event can be read again: a larger batch than a partition keeps takes all others with it.
    pub const MOST_BODY_BYTES: u64 = 4 * 1024 * 1024;

    /// What clients set as `bootstrap.servers`.
    pub fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

/// Whether a client that knows of this topic talks to such a Kafka. It has no settings of topics and no times of records,
/// and a question about either is never answered.
pub(super) fn is_embedded<C: ClientContext>(client: &Client<C>, topic: &str) -> bool {
    let known = || client.fetch_cluster_id(Duration::ZERO);
    // The id comes with any metadata, and waiting for it asks for none.
    let asked = || client.fetch_metadata(Some(topic), TIMEOUT).ok();
    let id = known().or_else(|| asked().and_then(|_| known()));
    id.is_some_and(|id| id.starts_with("mockCluster"))
}

const TIMEOUT: Duration = Duration::from_secs(5);
