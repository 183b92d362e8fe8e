//! Whether Kafka can be reached at all, and if not, what librdkafka has heard: a refused connection, a name that does not
//! resolve, a password that is wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, NoCustomPartitioner, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::client::{PropertyError, Quiet, properties};
use super::poison;

/// A cluster that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// How many brokers it has.
    pub brokers: usize,
}

/// Why none did.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// librdkafka refuses the configuration.
    #[error("cannot use the [kafka] properties: {0}; correct them under [kafka]")]
    Properties(#[source] PropertyError),
    /// No answer that helps.
    #[error("{reason}; {advice}")]
    Unreachable {
        /// What librdkafka heard last; it names brokers, and no password.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
}

/// Asks for the cluster's metadata for at most `limit`.
///
/// # Errors
///
/// No answer that helps; at once when asking again cannot help either.
pub fn reach(kafka: &BTreeMap<String, String>, limit: Duration) -> Result<Cluster, ReachError> {
    let heard = Heard::default();
    let client: BaseProducer<Heard> = properties(kafka)
        .create_with_context(heard.clone())
        .map_err(|error| ReachError::Properties(error.into()))?;
    let deadline = Instant::now() + limit;
    loop {
        let asked = client.client().fetch_metadata(None, STEP);
        // Errors are told to whoever polls.
        client.poll(Duration::ZERO);
        let error = match asked {
            Ok(metadata) => {
                return Ok(Cluster {
                    brokers: metadata.brokers().len(),
                });
            }
            Err(error) => error,
        };
        let told = heard.last();
        let is_final = told.as_ref().is_some_and(|(code, _)| is_final(*code));
        if is_final || Instant::now() >= deadline {
            return Err(unreachable(told, &error));
        }
        std::thread::sleep(BETWEEN_QUESTIONS);
    }
}

fn unreachable(told: Option<(RDKafkaErrorCode, String)>, error: &KafkaError) -> ReachError {
    let (code, reason) = told.unwrap_or_else(|| {
        let code = error.rdkafka_error_code();
        let unanswered = "no broker answers".to_owned();
        (code.unwrap_or(RDKafkaErrorCode::Unknown), unanswered)
    });
    let advice = if code == RDKafkaErrorCode::SSL {
        "check security.protocol, ssl.ca.location and the names in bootstrap.servers against the brokers' certificates"
    } else if code == RDKafkaErrorCode::Resolve {
        "check the name in bootstrap.servers"
    } else if is_final(code) {
        "check sasl.mechanism, sasl.username and sasl.password"
    } else {
        poison::advice(RDKafkaErrorCode::AllBrokersDown)
    };
    ReachError::Unreachable { reason, advice }
}

/// Whether asking again cannot help.
fn is_final(code: RDKafkaErrorCode) -> bool {
    [
        RDKafkaErrorCode::Authentication,
        RDKafkaErrorCode::SaslAuthenticationFailed,
    ]
    .contains(&code)
}

/// Keeps what librdkafka reports: the answer to a question only says that there was none.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    error: Option<(RDKafkaErrorCode, String)>,
    /// Of some failures librdkafka speaks in its log alone.
    logged: Option<String>,
}

impl Heard {
    fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        let told = self.told();
        let logged = told.logged.clone().map(|line| {
            let code = match line.contains("SSL") {
                true => RDKafkaErrorCode::SSL,
                false => RDKafkaErrorCode::BrokerTransportFailure,
            };
            (code, line)
        });
        told.error.clone().or(logged)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Quiet.log(level, facility, line);
        if facility == "FAIL" {
            let line = line.split_once("]: ").map_or(line, |(_, line)| line);
            self.told().logged = Some(line.to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Quiet.error(error.clone(), reason);
        let code = error.rdkafka_error_code();
        // That all are down says less than why one is.
        if let Some(code) = code.filter(|code| *code != RDKafkaErrorCode::AllBrokersDown) {
            self.told().error = Some((code, reason.to_owned()));
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

const STEP: Duration = Duration::from_secs(1);
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(50);
