//! The floor: the least that any bridge could do, as a program of its own.
//!
//! axum that checks the HMAC, an append of the body to a plain file with one fdatasync for all who wait, the answer, and a
//! bare librdkafka producer of the same bytes. No id, no duplicates, no key or header, no event, no transaction, nothing read
//! back, nothing ever deleted.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use sha2::Sha256;
use tokio::sync::oneshot;

use crate::harness::bridge::SECRET;

/// How much of it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The signature is checked, and answered.
    Answer,
    /// And the body is appended before that.
    Append,
    /// And given to Kafka behind that.
    Produce,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Answer, Self::Append, Self::Produce];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Append => "append",
            Self::Produce => "produce",
        }
    }
}

struct Waiting {
    body: Bytes,
    stored: oneshot::Sender<()>,
}

type Producing = ThreadedProducer<DefaultProducerContext>;

#[derive(Clone)]
struct Door {
    key: Hmac<Sha256>,
    committer: Option<Arc<Mutex<Sender<Waiting>>>>,
    producer: Option<Arc<Producing>>,
}

/// Serves until the process is killed.
pub(crate) fn serve(part: &str, address: &str, (broker, topic): (&str, &str)) {
    let part = Part::ALL.into_iter().find(|known| known.word() == part);
    let part = part.expect("a part of the floor");
    let address: SocketAddr = address.parse().expect("an address");
    let producer = (part == Part::Produce).then(|| Arc::new(producer(broker)));
    let producing = producer.clone();
    let committer = (part >= Part::Append).then(|| {
        let (to, from) = channel();
        let topic = topic.to_owned();
        std::thread::spawn(move || commit(&from, producing, &topic));
        Arc::new(Mutex::new(to))
    });
    let door = Door {
        key: Hmac::new_from_slice(SECRET.as_bytes()).expect("HMAC takes keys of any length"),
        committer,
        producer,
    };
    let router = Router::new()
        .route("/webhooks/default", post(take))
        .route("/outstanding", axum::routing::get(outstanding))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(door);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await;
        axum::serve(listener.expect("a free address"), router)
            .await
            .expect("it serves for ever");
    });
}

/// How many records librdkafka still has.
async fn outstanding(State(door): State<Door>) -> String {
    let producer = door.producer.as_ref();
    producer
        .map_or(0, |producer| producer.in_flight_count())
        .to_string()
}

async fn take(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let claimed = headers.get("x-signature").map(|value| value.as_bytes());
    let mut claimed_bytes = [0; 32];
    let readable = claimed.is_some_and(|hex| hex::decode_to_slice(hex, &mut claimed_bytes).is_ok());
    let mut mac = door.key.clone();
    mac.update(&body);
    if !readable || mac.verify_slice(&claimed_bytes).is_err() {
        return (StatusCode::UNAUTHORIZED, "");
    }
    if let Some(committer) = &door.committer {
        let (stored, answered) = oneshot::channel();
        let waiting = Waiting { body, stored };
        committer
            .lock()
            .expect("a lock")
            .send(waiting)
            .expect("the committer lives");
        answered.await.expect("the committer answers");
    }
    (StatusCode::OK, r#"{"status":"stored"}"#)
}

/// One fdatasync for whoever waits by then.
fn commit(from: &Receiver<Waiting>, producer: Option<Arc<Producing>>, topic: &str) {
    let mut file = File::create(Path::new("floor.log")).expect("a writable directory");
    let mut bytes = Vec::new();
    while let Ok(first) = from.recv() {
        let batch: Vec<Waiting> = std::iter::once(first).chain(from.try_iter()).collect();
        bytes.clear();
        for waiting in &batch {
            bytes.extend_from_slice(&waiting.body);
        }
        file.write_all(&bytes).expect("the disk takes it");
        file.sync_data().expect("the disk syncs it");
        for waiting in batch {
            let _ = waiting.stored.send(());
            if let Some(producer) = &producer {
                produce(producer, topic, &waiting.body);
            }
        }
    }
}

fn producer(broker: &str) -> Producing {
    ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.max.bytes", "2000000")
        .create()
        .expect("a producer")
}

fn produce(producer: &Producing, topic: &str, body: &[u8]) {
    let mut record = BaseRecord::<(), [u8]>::to(topic).payload(body);
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => panic!("{error}"),
        }
    }
}
