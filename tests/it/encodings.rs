//! A compressed delivery is signed as sent and undone behind the journal; what cannot be undone is a dead letter, whole.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::harness::bridge::{Bridge, post_with};
use crate::harness::record::Record;
use crate::harness::{calls, kcat, shared_broker, unique, until};

#[test]
fn compressed_deliveries_become_events_and_bombs_dead_letters() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("encodings"));
    let bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2")
        .start();
    let bomb = gzip(&vec![b' '; 100 << 20]);
    let cut = gzip(&calls::delivery("CALL-cut", 0))[..100].to_vec();
    let deliveries: [(&str, Vec<u8>, Option<&str>); 6] = [
        ("gzip", gzip(&calls::delivery("CALL-gzip", 1)), None),
        ("deflate", zlib(&calls::delivery("CALL-deflate", 1)), None),
        ("identity", calls::delivery("CALL-identity", 1), None),
        ("gzip", bomb, Some("too-large-decoded")),
        ("gzip", cut, Some("damaged-content-encoding")),
        (
            "br",
            b"whatever this is".to_vec(),
            Some("unknown-content-encoding"),
        ),
    ];
    let mut client = bridge.client();
    for (encoding, body, _) in &deliveries {
        let answer = post_with(
            &mut client,
            "default",
            &[("content-encoding", encoding)],
            body,
        )
        .expect("an answer");
        assert_eq!(answer.status, 200, "{encoding}: {}", answer.text());
    }
    let (encoding, body, _) = &deliveries[0];
    let again = [("content-encoding", *encoding)];
    let again = post_with(&mut client, "default", &again, body).expect("an answer");
    assert_eq!(again.json()["status"], "duplicate");
    assert_eq!(again.json()["id"], calls::id("CALL-gzip", 1));
    bridge.await_published();

    let events = kcat::await_count(&broker, &format!("{prefix}post-conversation"), 3, LIMIT);
    let mut keys: Vec<&str> = events.iter().map(Record::key).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["CALL-deflate", "CALL-gzip", "CALL-identity"]);
    for event in &events {
        let event = event.json();
        let call = event["callId"].as_str().expect("a call");
        assert_eq!(
            event["id"],
            calls::id(call, 1),
            "found before it was undone"
        );
        assert!(event.get("unmapped").is_none(), "{event}");
    }
    assert!(
        events
            .iter()
            .all(|event| event.json()["transcript"].is_array())
    );

    let mut letters = until("three dead letters", LIMIT, || {
        let letters = kcat::read_bytes(&broker, &format!("{prefix}dead-letter"));
        if letters.len() == 3 {
            Ok(letters)
        } else {
            Err(format!("{}", letters.len()))
        }
    });
    letters.sort_by_key(|letter| {
        letter
            .header("bridge.seq")
            .and_then(|seq| seq.parse::<u64>().ok())
    });
    let dead = deliveries
        .iter()
        .filter_map(|(encoding, body, reason)| Some((encoding, body, (*reason)?)));
    for (letter, (encoding, body, reason)) in letters.iter().zip(dead) {
        assert_eq!(&letter.value, body, "the raw bytes");
        assert_eq!(letter.header("content-encoding"), Some(*encoding));
        assert_eq!(letter.header("error.reason"), Some(reason), "{letter:?}");
    }
    let resident = bridge.usage().rss_bytes >> 20;
    assert!(resident < 300, "{resident} MiB after a bomb");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

const LIMIT: Duration = Duration::from_secs(10);
