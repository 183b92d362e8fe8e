//! What the quarantine keeps, what it lets go first, and what it survives.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use tempfile::TempDir;

use super::*;
use crate::config::{Ack, Webhook};
use crate::receive::delivery::{KeptHeaders, WebhookName};
use crate::time::Timestamp;
use crate::verify::secret::Secret;
use crate::verify::{Verifier, verify};

#[test]
fn what_was_refused_is_kept_whole_and_verifies_with_the_right_secret() {
    let (_dir, journal) = temp();
    let quarantine = Quarantine::open(&journal).unwrap();
    offer(&quarantine, CALL, Some("right"));
    offer(&quarantine, "no json", None);
    until(|| quarantine.counts().kept == 2);
    let path = path_beside(&journal);
    for suffix in ["", "-wal", "-shm"] {
        let file = place::beside(&path, suffix).metadata().unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "{suffix}");
    }
    quarantine.close();

    let store = Store::open_to_read(&path).unwrap().unwrap();
    let [signed, unsigned] = list(&store).try_into().unwrap();
    assert_eq!(signed.call_id.as_deref(), Some("CALL-1"));
    assert_eq!((signed.plausible, unsigned.plausible), (true, false));
    assert_eq!(
        (signed.reason.as_str(), unsigned.reason.as_str()),
        ("wrong-signature", "no-signature")
    );
    assert_eq!(signed.received_at, Timestamp::from_unix_ms(RECEIVED_MS));
    let load = |id| store.load(id).unwrap().unwrap();
    assert!(load(signed.id).verify(&verifier("wrong")).is_err());
    assert!(load(unsigned.id).verify(&verifier("right")).is_err());
    let verified = load(signed.id).verify(&verifier("right")).unwrap();
    assert_eq!(&verified.body()[..], CALL.as_bytes());
    assert_eq!(verified.received_at(), Timestamp::from_unix_ms(RECEIVED_MS));
    assert_eq!(verified.headers().user_agent.as_deref(), Some("test"));
}

#[test]
fn what_cannot_be_a_call_goes_first_and_then_the_oldest() {
    let (_dir, journal) = temp();
    let limits = Limits {
        max_bytes: 1 << 20,
        ..Limits::default()
    };
    let quarantine = Quarantine::open_with(&journal, &limits).unwrap();
    let mut offered = 0;
    let mut offer_many = |count: usize, signed: Option<&str>| {
        for _ in 0..count {
            let fill = "x".repeat(5000);
            let body = format!(r#"{{"call_id":"CALL-{offered}","fill":"{fill}"}}"#);
            offer(&quarantine, &body, signed);
            offered += 1;
        }
        let written = || {
            let Counts { kept, dropped } = quarantine.counts();
            kept + dropped == offered
        };
        until(written);
    };
    offer_many(100, Some("right"));
    offer_many(500, None);
    let store = Store::open_to_read(&path_beside(&journal))
        .unwrap()
        .unwrap();
    let rows = list(&store);
    let plausible = rows.iter().filter(|row| row.plausible).count();
    assert_eq!(plausible, 100, "the calls are all there");
    let last = rows.last().unwrap().call_id.clone();
    assert_eq!(last.as_deref(), Some("CALL-599"), "the newest is there");
    assert!(rows.len() < 200, "{}", rows.len());

    offer_many(400, Some("right"));
    let rows = list(&store);
    assert!(rows.iter().all(|row| row.plausible));
    let last = rows.last().unwrap().call_id.clone();
    assert_eq!(last.as_deref(), Some("CALL-999"));
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
    let file_bytes = path_beside(&journal).metadata().unwrap().len();
    assert!(file_bytes < 3 << 20, "{file_bytes}");
}

#[test]
fn what_looks_signed_takes_the_place_of_what_does_not_in_the_queue_too() {
    let limits = Limits {
        queue_rows: 3,
        ..Limits::default()
    };
    let queue = Queue::new(&limits);
    let push = |signed: Option<&str>| queue.push(candidate(CALL, signed));
    for signed in [None, None, Some("a"), None, Some("a"), Some("a"), Some("a")] {
        push(signed);
    }
    assert_eq!(queue.counts().dropped, 4);
    let taken = queue.take(Duration::ZERO).candidates;
    assert_eq!(taken.len(), 3);
    assert!(taken.iter().all(|taken| taken.proof.looks_signed()));
}

#[test]
fn the_queue_holds_no_more_bytes_than_it_may_until_they_are_written() {
    let limits = Limits {
        queue_bytes: 10_000,
        ..Limits::default()
    };
    let queue = Queue::new(&limits);
    let body = "x".repeat(4_000);
    for _ in 0..5 {
        queue.push(candidate(&body, Some("a")));
    }
    assert_eq!(queue.counts().dropped, 3);
    let taken = queue.take(Duration::ZERO).candidates;
    queue.push(candidate(&body, Some("a")));
    assert_eq!(queue.counts().dropped, 4, "what is being written counts");
    queue.done(&taken, true);
    queue.push(candidate(&body, Some("a")));
    assert_eq!(
        queue.counts(),
        Counts {
            kept: 2,
            dropped: 4
        }
    );
}

#[test]
fn old_deliveries_go_by_age() {
    let (_dir, journal) = temp();
    let path = path_beside(&journal);
    let mut store = Store::open_or_create(&path).unwrap();
    store.insert(&[candidate(CALL, Some("a"))]).unwrap();
    assert!(!store.expire(RECEIVED_MS).unwrap());
    assert_eq!(list(&store).len(), 1);
    store.expire(RECEIVED_MS + 1).unwrap();
    assert_eq!(list(&store), []);
}

#[test]
fn a_damaged_file_is_set_aside_and_another_is_refused() {
    let (_dir, journal) = temp();
    let path = path_beside(&journal);
    std::fs::write(&path, "no database at all, but long enough ".repeat(100)).unwrap();
    let quarantine = Quarantine::open(&journal).unwrap();
    offer(&quarantine, CALL, Some("a"));
    until(|| quarantine.counts().dropped == 1);
    offer(&quarantine, CALL, Some("a"));
    until(|| quarantine.counts().kept == 1);
    quarantine.close();
    assert!(place::beside(&path, ".damaged").exists());

    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 2).unwrap();
    drop(conn);
    let foreign = Store::open_or_create(&path).map(|_| ()).unwrap_err();
    assert!(matches!(foreign, QuarantineError::Foreign(_)), "{foreign}");
}

#[test]
fn no_room_on_the_disk_means_nothing_is_kept() {
    let (_dir, journal) = temp();
    let limits = Limits {
        free_floor_bytes: u64::MAX,
        ..Limits::default()
    };
    let quarantine = Quarantine::open_with(&journal, &limits).unwrap();
    offer(&quarantine, CALL, Some("a"));
    quarantine.close();
    assert_eq!(
        quarantine.counts(),
        Counts {
            kept: 0,
            dropped: 1
        }
    );
    assert!(!path_beside(&journal).exists());
}

#[test]
fn a_call_id_that_is_too_long_to_be_one_is_none() {
    let (_dir, journal) = temp();
    let mut store = Store::open_or_create(&path_beside(&journal)).unwrap();
    let body = format!(r#"{{"call_id":"{}"}}"#, "x".repeat(129));
    store.insert(&[candidate(&body, Some("a"))]).unwrap();
    let [listed] = list(&store).try_into().unwrap();
    assert_eq!((listed.call_id, listed.plausible), (None, false));
}

fn temp() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    (dir, path)
}

fn list(store: &Store) -> Vec<Listed> {
    store.list(&Filter::default(), 0, usize::MAX).unwrap()
}

fn offer(quarantine: &Quarantine, body: &str, signed: Option<&str>) {
    let Candidate {
        delivery,
        refusal,
        proof,
    } = candidate(body, signed);
    quarantine.offer(Refused { delivery, refusal }, proof);
}

/// A delivery signed with this secret, which is not that of its webhook.
fn candidate(body: &str, secret: Option<&str>) -> Candidate {
    let mut headers = HeaderMap::new();
    if let Some(secret) = secret {
        let signature = signature(secret, body.as_bytes());
        headers.append("x-signature", HeaderValue::from_str(&signature).unwrap());
    }
    let delivery = Delivery {
        webhook: WebhookName::parse("default").unwrap(),
        received_at: Timestamp::from_unix_ms(RECEIVED_MS),
        headers: KeptHeaders {
            user_agent: Some("test".into()),
            ..KeptHeaders::default()
        },
        body: body.to_owned().into(),
    };
    let refused = verify(delivery, &headers, &verifier("another")).unwrap_err();
    Candidate {
        delivery: refused.delivery,
        refusal: refused.refusal,
        proof: Proof::of(&headers),
    }
}

fn signature(secret: &str, body: &[u8]) -> String {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn verifier(secret: &str) -> Verifier {
    Verifier::new(&Webhook {
        name: WebhookName::parse("default").unwrap(),
        secrets: vec![Secret::new(secret.as_bytes()).unwrap()],
        header: None,
        topic_prefix: None,
        ack: Ack::Journal,
    })
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 20 s");
        std::thread::yield_now();
    }
}

const CALL: &str = r#"{"event":"call.end","call_id":"CALL-1"}"#;
/// Far enough ahead that nothing is too old.
const RECEIVED_MS: i64 = 4_000_000_000_000;
