//! The ground that the other tests stand on: the broker is real, keeps what it acknowledged, and foreign clients agree.

use std::time::{Duration, Instant};

use crate::harness::kafka::Broker;
use crate::harness::{java, kcat, shared_broker, unique};

#[test]
fn kcat_reads_back_what_it_wrote() {
    let broker = shared_broker();
    let topic = unique("round-trip");
    broker.create_topic(&topic, 3);
    let sent = numbered(10);
    kcat::produce(&broker.address(), &topic, &sent);
    assert_eq!(
        by_key(&kcat::await_count(
            &broker.address(),
            &topic,
            10,
            Duration::from_secs(10)
        )),
        sent
    );
}

#[test]
fn a_broker_killed_with_9_keeps_its_records() {
    let mut broker = Broker::start();
    broker.create_topic("kept", 2);
    let sent = numbered(10);
    kcat::produce(&broker.address(), "kept", &sent);
    broker.kill9();
    assert!(
        kcat::try_read(&broker.address(), "kept").is_err(),
        "a killed broker answers nobody"
    );
    let start = Instant::now();
    broker.resume();
    println!(
        "ready again after {:?}, {} MiB resident",
        start.elapsed(),
        broker.usage().rss_bytes >> 20
    );
    assert_eq!(by_key(&kcat::read(&broker.address(), "kept")), sent);
}

#[test]
fn a_frozen_broker_answers_after_it_goes_on() {
    let mut broker = Broker::start();
    broker.create_topic("frozen", 1);
    broker.stop_signal();
    assert!(
        kcat::answers(&broker.address()).is_err(),
        "a frozen broker answers nobody"
    );
    broker.cont_signal();
    kcat::produce(&broker.address(), "frozen", &numbered(1));
    assert_eq!(
        by_key(&kcat::read(&broker.address(), "frozen")),
        numbered(1)
    );
    broker.term();
}

#[test]
fn javas_clients_and_kcat_see_the_same_records() {
    let broker = shared_broker();
    let topic = unique("agreement");
    broker.create_topic(&topic, 12);
    let keys: Vec<String> = (0..50)
        .map(|number| format!("CALL-{number}-ключ"))
        .collect();
    let picked = java::partitions(&broker.address(), &topic, &keys);
    assert_eq!(picked.len(), keys.len());

    let by_kcat = kcat::read(&broker.address(), &topic);
    assert_eq!(by_kcat, java::read(&broker.address(), &topic, keys.len()));
    for record in by_kcat {
        assert_eq!(
            picked.get(record.key()),
            Some(&record.partition),
            "{record:?}"
        );
    }
}

#[test]
fn values_that_are_no_text_are_read_byte_for_byte() {
    let broker = shared_broker();
    let topic = unique("bytes");
    broker.create_topic(&topic, 1);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let value = b"\xff\x00\n\xfe\"}".to_vec();
    let file = dir.path().join("value");
    std::fs::write(&file, &value).expect("the directory is writable");
    let status = std::process::Command::new("kcat")
        .args([
            "-P",
            "-b",
            &broker.address(),
            "-t",
            &topic,
            "-H",
            "name=one, two",
            "-H",
            "other=3",
        ])
        .arg(&file)
        .status();
    assert!(status.is_ok_and(|status| status.success()));

    let records = kcat::read_bytes(&broker.address(), &topic);
    let [record] = records.as_slice() else {
        panic!("one record: {records:?}")
    };
    assert_eq!(record.value, value);
    assert_eq!(record.header("name"), Some("one, two"));
    assert_eq!(record.header("other"), Some("3"));
    assert_eq!(record.key, None);
}

fn numbered(count: usize) -> Vec<(String, String)> {
    (0..count)
        .map(|number| {
            (
                format!("key-{number:03}"),
                format!("{{\"number\":{number}}}"),
            )
        })
        .collect()
}

fn by_key(records: &[crate::harness::record::Record]) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let mut pairs: Vec<_> = records
        .iter()
        .map(|record| (record.key().to_owned(), text(&record.value)))
        .collect();
    pairs.sort();
    pairs
}
