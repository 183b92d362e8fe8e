//! What Kafka may answer and what becomes of it, by errors injected into librdkafka's embedded cluster.
//!
//! That cluster keeps no mark and shows aborted records like others, so that only liveness and order are judged here;
//! exactly once is judged on real brokers, in `tests/it`.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Code};
use tempfile::TempDir;

use super::follow::{Follower, From, Next, Until};
use super::*;
use crate::receive::delivery::{Delivery, KeptHeaders, WebhookName};
use crate::time::Timestamp;
use crate::verify::VerifiedDelivery;

type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A publisher on a cluster of its own.
struct Road {
    cluster: Cluster,
    config: Config,
    journal: Journal,
    publisher: Publisher,
    sent: u64,
    _dir: TempDir,
}

impl Road {
    fn start() -> Self {
        Self::start_with(Timing::default(), |_, _| {})
    }

    fn start_with(timing: Timing, prepare: impl FnOnce(&Cluster, &str)) -> Self {
        Self::start_on(timing, BTreeMap::new(), prepare)
    }

    /// With properties that the configuration may refuse.
    fn start_on(
        timing: Timing,
        properties: BTreeMap<String, String>,
        prepare: impl FnOnce(&Cluster, &str),
    ) -> Self {
        let cluster = MockCluster::new(3).unwrap();
        for topic in crate::route::topics("atoms.") {
            cluster.create_topic(&topic, 2, 1).unwrap();
        }
        let environment = [
            (
                "ATOMS_BRIDGE__KAFKA__BOOTSTRAP_SERVERS",
                cluster.bootstrap_servers(),
            ),
            ("ATOMS_WEBHOOK_SECRET", "a secret for tests".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        let loaded = Config::load(None, environment.into_iter()).unwrap();
        let mut config = loaded.require_kafka().unwrap();
        config.kafka.extend(properties);
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("journal.db")).unwrap();
        prepare(&cluster, &format!("atoms-bridge-{}", journal.uuid()));
        let publisher =
            Publisher::start_with(&config, journal.clone(), Default::default(), timing).unwrap();
        Self {
            cluster,
            config,
            journal,
            publisher,
            sent: 0,
            _dir: dir,
        }
    }

    /// Accepts so many deliveries of one call.
    fn accept(&mut self, count: u64) {
        for _ in 0..count {
            self.accept_long(1);
        }
    }

    /// Accepts one delivery that says so much.
    fn accept_long(&mut self, length: usize) {
        self.sent += 1;
        let body = format!(
            r#"{{"id":"E-{}","event":"call.end","call_id":"CALL-1","disposition":"{}"}}"#,
            self.sent,
            "x".repeat(length)
        );
        let delivery = VerifiedDelivery::for_test(Delivery {
            webhook: WebhookName::parse("default").unwrap(),
            received_at: Timestamp::now(),
            headers: KeptHeaders::default(),
            body: body.into(),
        });
        block_on(self.journal.append(delivery)).unwrap();
    }

    /// Waits until everything is published; how long that took.
    fn drain(&self, what: &str) -> Duration {
        let began = Instant::now();
        while self.journal.settled() <= self.sent {
            assert!(
                began.elapsed() < LIMIT,
                "{what}: {} of {} after {LIMIT:?}; {:?}",
                self.journal.settled() - 1,
                self.sent,
                self.publisher.state().alarm()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        began.elapsed()
    }

    /// Waits until the operator is told this.
    fn await_alarm(&self, is_it: impl Fn(&str) -> bool) {
        let began = Instant::now();
        loop {
            let alarm = self.publisher.state().alarm();
            if alarm.as_deref().is_some_and(&is_it) {
                return;
            }
            assert!(began.elapsed() < LIMIT, "told {alarm:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Every `bridge.seq` on the topic of the events, in order.
    fn numbers(&self) -> Vec<u64> {
        let topic = "atoms.post-conversation".to_owned();
        let mut follower =
            Follower::connect(&self.config.kafka, &[topic], From::Beginning, Until::End).unwrap();
        let mut numbers = Vec::new();
        loop {
            match follower.next(Duration::from_millis(100)).unwrap() {
                Next::Record(record) => {
                    numbers.push(record.header("bridge.seq").unwrap().parse().unwrap());
                }
                Next::Nothing => {}
                Next::End => return numbers,
            }
        }
    }

    /// All are there, and the last time that each is, behind the last time of all before it.
    fn judge(self) {
        let numbers = self.numbers();
        self.publisher.stop();
        let mut seen = BTreeSet::new();
        let mut last: Vec<u64> = numbers
            .iter()
            .rev()
            .filter(|number| seen.insert(**number))
            .copied()
            .collect();
        last.reverse();
        assert_eq!(last, (1..=self.sent).collect::<Vec<_>>());
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn whatever_kafka_answers_the_publisher_goes_on_by_itself_and_in_order() {
    std::thread::scope(|scope| {
        for (api, name, codes) in answers() {
            scope.spawn(move || goes_on_after(api, name, &codes));
        }
    });
}

fn goes_on_after(api: Api, name: &str, codes: &[Code]) {
    let mut road = Road::start();
    road.accept(3);
    road.drain("without errors");
    for code in codes {
        road.cluster.request_errors(api, &[*code]);
        if matches!(api, Api::InitProducerId | Api::FindCoordinator) {
            // Only a new producer asks these.
            let fatal = Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED;
            road.cluster.request_errors(Api::EndTxn, &[fatal]);
        }
        road.accept(4);
        let took = road.drain(&format!("{name} {code:?}"));
        println!("{name:18} {code:?}: {took:?}");
        road.cluster.clear_request_errors(api);
    }
    road.judge();
}

#[test]
fn an_answer_that_comes_again_and_again_is_told_and_outlived() {
    let mut road = Road::start();
    road.accept(3);
    road.drain("without errors");
    let refused = Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    road.cluster.request_errors(Api::Produce, &[refused; 4]);
    road.accept(4);
    road.await_alarm(|alarm| {
        alarm.contains("atoms.post-conversation")
            && alarm.contains("give the bridge's principal Write")
    });
    road.drain("after four refusals");
    assert_eq!(road.publisher.state().alarm(), None);
    road.judge();
}

#[test]
fn a_call_that_does_not_come_back_costs_a_producer_and_not_the_publisher() {
    let timing = Timing {
        leave_call: Duration::from_secs(2),
        ..Timing::default()
    };
    let mut road = Road::start_with(timing, |cluster, group| {
        let coordinators = [
            (MockCoordinator::Group(group.to_owned()), 2),
            (MockCoordinator::Transaction(group.to_owned()), 1),
        ];
        for (coordinator, broker) in coordinators {
            cluster.coordinator(coordinator, broker).unwrap();
        }
        for topic in crate::route::topics("atoms.") {
            for partition in 0..2 {
                cluster
                    .partition_leader(&topic, partition, Some(1))
                    .unwrap();
            }
        }
    });
    road.accept(3);
    road.drain("while all is well");
    // librdkafka waits for the group's coordinator however short a time it is given.
    road.cluster.broker_down(2).unwrap();
    road.accept(4);
    road.await_alarm(|alarm| alarm.contains("another producer takes over"));
    road.cluster.broker_up(2).unwrap();
    road.drain("when the coordinator is back");
    road.judge();
}

#[test]
fn a_queue_without_room_for_an_event_is_told_and_given_up() {
    let timing = Timing {
        patience: Duration::from_secs(5),
        ..Timing::default()
    };
    let property = ("queue.buffering.max.kbytes".to_owned(), "1".to_owned());
    let mut road = Road::start_on(timing, BTreeMap::from([property]), |_, _| {});
    road.accept(1);
    road.drain("what has room");
    road.accept_long(2_000);
    road.await_alarm(|alarm| {
        alarm.contains("room in the producer's queue")
            && alarm.contains("queue.buffering.max.kbytes")
    });
    road.await_alarm(|alarm| alarm.contains("nothing left it within 5 s"));
    road.publisher.stop();
}

/// What brokers may answer to each request of a transaction: what passes, what ends the transaction, what ends the producer.
fn answers() -> Vec<(Api, &'static str, Vec<Code>)> {
    use Code::*;
    let everywhere = [
        RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
        RD_KAFKA_RESP_ERR_INVALID_TXN_STATE,
        RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
        RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_UNKNOWN,
    ];
    let produce = [
        RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
        RD_KAFKA_RESP_ERR_UNKNOWN,
    ];
    vec![
        (Api::Produce, "Produce", produce.to_vec()),
        (
            Api::AddPartitionsToTxn,
            "AddPartitionsToTxn",
            everywhere.to_vec(),
        ),
        (Api::AddOffsetsToTxn, "AddOffsetsToTxn", everywhere.to_vec()),
        (Api::TxnOffsetCommit, "TxnOffsetCommit", everywhere.to_vec()),
        (Api::EndTxn, "EndTxn", everywhere.to_vec()),
        (Api::InitProducerId, "InitProducerId", everywhere.to_vec()),
        (Api::FindCoordinator, "FindCoordinator", everywhere.to_vec()),
    ]
}

/// Longer than everything that the publisher waits for.
const LIMIT: Duration = Duration::from_secs(60);
