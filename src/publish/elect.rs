//! One of several bridges on the same topics: whoever has a partition of a topic in a consumer group is it.
//!
//! Nothing is read and nothing is committed in that group; it is only there to be a member of. Partitions are given in the
//! order of the members' names, which are those of their journals: so the same bridge is elected as long as the members are
//! the same, and a restart changes nothing. One that stays away longer than [`SESSION_TIMEOUT`] is followed by another. A
//! process that was frozen may believe a little longer that it is still the one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::Stop;
use super::client::{PropertyError, Quiet, properties};

/// A membership; some time after it is dropped another has the place.
pub struct Election {
    is_elected: Arc<AtomicBool>,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

/// Why there is no membership.
#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    /// librdkafka refuses the configuration.
    #[error("cannot use the [kafka] properties: {0}")]
    Properties(#[source] PropertyError),
    /// The system gives no thread.
    #[error("cannot start the thread that takes part in the election")]
    Thread(#[from] std::io::Error),
}

impl Election {
    /// Becomes a member of `group` by its own name, in which whoever is given partition 0 of `topic` is elected.
    ///
    /// # Errors
    ///
    /// librdkafka refuses a property, or no thread can be had.
    pub fn join(
        kafka: &BTreeMap<String, String>,
        (group, name): (&str, &str),
        topic: &str,
    ) -> Result<Self, ElectionError> {
        let consumer = member(kafka, (group, name), topic)
            .map_err(|error| ElectionError::Properties(error.into()))?;
        let (is_elected, stop) = (Arc::new(AtomicBool::new(false)), Stop::default());
        let (of_thread, stopped, topic) = (Arc::clone(&is_elected), stop.clone(), topic.to_owned());
        let thread = std::thread::Builder::new()
            .name("election".to_owned())
            .spawn(move || take_part(&consumer, &topic, &of_thread, &stopped))?;
        Ok(Self {
            is_elected,
            stop,
            thread: Some(thread),
        })
    }

    /// Whether it is this process, as far as it knows.
    pub fn is_elected(&self) -> bool {
        self.is_elected.load(Ordering::Acquire)
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its hook.
            let _ = thread.join();
        }
    }
}

fn member(
    kafka: &BTreeMap<String, String>,
    (group, name): (&str, &str),
    topic: &str,
) -> Result<BaseConsumer<Quiet>, rdkafka::error::KafkaError> {
    let mut config = properties(kafka);
    for (name, value) in OWN_PROPERTIES {
        config.set(*name, *value);
    }
    config.set("group.id", group);
    config.set("group.instance.id", name);
    config.set(
        "session.timeout.ms",
        SESSION_TIMEOUT.as_millis().to_string(),
    );
    let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet)?;
    consumer.subscribe(&[topic])?;
    Ok(consumer)
}

fn take_part(consumer: &BaseConsumer<Quiet>, topic: &str, is_elected: &AtomicBool, stop: &Stop) {
    let mut paused = 0;
    while !stop.is_set() {
        if let Some(Err(error)) = consumer.poll(STEP) {
            tracing::debug!(%error, "the election goes on after an error");
            stop.wait(AFTER_ERROR);
        }
        let Ok(assigned) = consumer.assignment() else {
            continue;
        };
        if assigned.count() != paused {
            paused = assigned.count();
            // It is no reader.
            if let Err(error) = consumer.pause(&assigned) {
                tracing::debug!(%error, "what is assigned goes on being read");
            }
        }
        let has_it = assigned.find_partition(topic, 0).is_some();
        is_elected.store(has_it, Ordering::Release);
    }
    is_elected.store(false, Ordering::Release);
}

/// How long a bridge that died keeps its place.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(15);
const OWN_PROPERTIES: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "latest"),
    ("heartbeat.interval.ms", "3000"),
    // In the order of the members' names.
    ("partition.assignment.strategy", "range"),
    // The topic may be made after this.
    ("topic.metadata.refresh.interval.ms", "10000"),
    ("queued.max.messages.kbytes", "1024"),
];
const STEP: Duration = Duration::from_millis(200);
const AFTER_ERROR: Duration = Duration::from_millis(500);
