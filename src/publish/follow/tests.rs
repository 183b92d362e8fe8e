//! Where reading begins and ends, on librdkafka's embedded cluster.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::*;
use crate::publish::client::properties;

type Cluster = MockCluster<'static, rdkafka::producer::DefaultProducerContext>;

fn cluster() -> (Cluster, BTreeMap<String, String>) {
    let cluster = MockCluster::new(1).unwrap();
    for topic in ["a", "b"] {
        cluster.create_topic(topic, 2, 1).unwrap();
    }
    let kafka = BTreeMap::from([("bootstrap.servers".to_owned(), cluster.bootstrap_servers())]);
    (cluster, kafka)
}

fn produce(kafka: &BTreeMap<String, String>, topic: &str, values: &[&str]) {
    let producer: BaseProducer = properties(kafka).create().unwrap();
    for (value, partition) in values.iter().zip([0, 1].into_iter().cycle()) {
        let record = BaseRecord::to(topic)
            .partition(partition)
            .key("k")
            .payload(*value);
        producer.send(record).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn values(follower: &mut Follower, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut values = Vec::new();
    while values.len() < count {
        assert!(Instant::now() < deadline, "only {values:?}");
        match follower.next(Duration::from_millis(100)).unwrap() {
            Next::Record(record) => values.push(String::from_utf8(record.value).unwrap()),
            Next::Nothing => {}
            Next::End => break,
        }
    }
    values.sort();
    values
}

#[test]
fn from_now_shows_what_comes_and_nothing_before() {
    let (_cluster, kafka) = cluster();
    produce(&kafka, "a", &["old", "older"]);
    let mut follower =
        Follower::connect(&kafka, &names(&["a", "b"]), From::Now, Until::Forever).unwrap();
    produce(&kafka, "a", &["1", "2"]);
    produce(&kafka, "b", &["3"]);
    assert_eq!(values(&mut follower, 3), ["1", "2", "3"]);
}

#[test]
fn until_the_end_reads_everything_once_and_stops() {
    let (_cluster, kafka) = cluster();
    produce(&kafka, "a", &["1", "2", "3"]);
    produce(&kafka, "b", &["4"]);
    let mut follower =
        Follower::connect(&kafka, &names(&["b", "a"]), From::Beginning, Until::End).unwrap();
    produce(&kafka, "a", &["after", "after"]);
    assert_eq!(values(&mut follower, usize::MAX), ["1", "2", "3", "4"]);
    assert!(matches!(follower.next(Duration::ZERO), Ok(Next::End)));
}

#[test]
fn who_follows_may_end_at_what_is_there() {
    let (_cluster, kafka) = cluster();
    produce(&kafka, "a", &["old", "older"]);
    let mut follower =
        Follower::connect(&kafka, &names(&["a", "b"]), From::Now, Until::Forever).unwrap();
    produce(&kafka, "a", &["1", "2", "3"]);
    assert_eq!(values(&mut follower, 2).len(), 2);
    produce(&kafka, "b", &["4"]);
    follower.end_here().unwrap();
    produce(&kafka, "b", &["after", "after"]);
    assert_eq!(values(&mut follower, usize::MAX).len(), 2);
    assert!(matches!(follower.next(Duration::ZERO), Ok(Next::End)));
}

#[test]
fn a_kafka_that_keeps_no_times_is_read_from_its_beginning() {
    let (_cluster, kafka) = cluster();
    produce(&kafka, "a", &["1", "2"]);
    let since = From::Since(Timestamp::from_unix_ms(4_000_000_000_000));
    let mut follower = Follower::connect(&kafka, &names(&["a"]), since, Until::End).unwrap();
    assert!(!follower.keeps_times());
    assert_eq!(values(&mut follower, usize::MAX), ["1", "2"]);
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let (_cluster, kafka) = cluster();
    let found = Follower::connect(&kafka, &names(&["a", "nowhere"]), From::Now, Until::Forever);
    assert!(matches!(found, Err(FollowError::NoTopic(name)) if name == "nowhere"));
}
