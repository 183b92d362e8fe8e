//! A call lies where Java's own producer would put it, whatever its id is made of, and every reader sees the same.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::harness::bridge::Bridge;
use crate::harness::{java, kcat, shared_broker, unique};

#[test]
fn call_ids_of_all_kinds_land_where_javas_own_producer_puts_them() {
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("partitions"));
    let bridge = Bridge::new(&broker).with("TOPICS__PREFIX", &prefix).start();
    let keys = random_call_ids();
    let bodies: Vec<Vec<u8>> = keys.iter().map(|key| body(key)).collect();
    let lanes: Vec<Vec<Vec<u8>>> = bodies
        .chunks(COUNT.div_ceil(8))
        .map(<[_]>::to_vec)
        .collect();
    for answer in bridge.post_lanes("default", &lanes).into_iter().flatten() {
        assert_eq!(answer.expect("an answer").status, 200);
    }
    bridge.await_published();

    let topic = format!("{prefix}post-conversation");
    let by_kcat = kcat::await_count(&broker, &topic, COUNT, std::time::Duration::from_secs(10));
    let by_java = java::read(&broker, &topic, COUNT);
    assert_eq!(by_kcat, by_java, "every reader sees the same");
    assert_eq!(
        by_kcat
            .iter()
            .map(|record| record.key().to_owned())
            .collect::<BTreeSet<_>>()
            .len(),
        COUNT
    );

    shared_broker().create_topic(&format!("{prefix}by-java"), 12);
    let picked = java::partitions(&broker, &format!("{prefix}by-java"), &keys);
    for record in &by_kcat {
        assert_eq!(
            picked.get(record.key()),
            Some(&record.partition),
            "{record:?}"
        );
    }
    let used: BTreeSet<i32> = by_kcat.iter().map(|record| record.partition).collect();
    assert_eq!(used.len(), 12, "so many calls spread over all partitions");
}

/// The sender's own form and others, from one letter to long, in several scripts; another set in each run.
fn random_call_ids() -> Vec<String> {
    let seed = format!("{:?}", std::time::SystemTime::now());
    println!("call ids from the seed {seed:?}");
    let ids: BTreeSet<String> = (0_u64..)
        .map(|number| Sha256::digest(format!("{seed} {number}")))
        .map(|bytes| call_id(&bytes))
        .scan(BTreeSet::new(), |seen, id| {
            Some(seen.insert(id.clone()).then_some(id))
        })
        .flatten()
        .take(COUNT)
        .collect();
    ids.into_iter().collect()
}

fn call_id(random: &[u8]) -> String {
    let (kind, random) = random.split_first().expect("32 bytes");
    if kind % 2 == 0 {
        let digits: String = random
            .iter()
            .take(12)
            .map(|byte| char::from(b'0' + byte % 10))
            .collect();
        return format!("CALL-1{digits}-{}", hex::encode(&random[12..15]));
    }
    let alphabet: Vec<char> = ALPHABETS[usize::from(kind / 2) % ALPHABETS.len()]
        .chars()
        .collect();
    let length = usize::from(random[0]) % (random.len() - 1) + 1;
    random
        .iter()
        .skip(1)
        .take(length)
        .map(|byte| alphabet[usize::from(*byte) % alphabet.len()])
        .collect()
}

fn body(call_id: &str) -> Vec<u8> {
    serde_json::json!({"event": "call.end", "call_id": call_id, "duration_seconds": 1})
        .to_string()
        .into_bytes()
}

const COUNT: usize = 500;
const ALPHABETS: [&str; 5] = [
    "abcXYZ0189-_.~/?#%&+ ;:",
    "ключзвонок",
    "कॉलहिन्दी",
    "通話电话전화",
    "😀👋🏽🇮🇳éß\u{7f}\u{a0}\u{feff}",
];
