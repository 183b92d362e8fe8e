//! What a replay and a late append do to the rows, and that an older journal is brought up for them.

use super::read::{State, Viewer};
use super::*;

#[test]
fn a_replayed_row_keeps_its_id_and_gets_the_next_number() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    for i in 0..4 {
        append(&journal, "default", &format!(r#"{{"id":"{i}"}}"#)).unwrap();
    }
    journal.mark_dead(2, "too large").unwrap();
    journal.settle(4);
    journal.flush().unwrap();

    let at = Timestamp::from_unix_ms(7);
    let replayed = journal.replay(vec![1, 2, 4, 99], at).unwrap();
    let expected = Replayed {
        queued: 2,
        pending: 1,
        gone: 1,
    };
    assert_eq!(replayed, expected);
    let rows = journal
        .reader()
        .unwrap()
        .pending(4, 10, usize::MAX)
        .unwrap();
    let got: Vec<_> = rows.iter().map(|r| (r.out_seq, r.seq, &*r.id)).collect();
    assert_eq!(got, [(4, 4, "3"), (5, 1, "0"), (6, 2, "1")]);
    assert!(rows[0].record_at == rows[0].received_at && rows[0].received_at > at);
    assert!(
        rows[1..]
            .iter()
            .all(|row| row.record_at == at && row.received_at > at)
    );
    let viewer = Viewer::open(&path).unwrap();
    let entry = |seq| viewer.show(seq).unwrap().unwrap().0;
    assert_eq!((entry(2).state, entry(2).reason), (State::Pending, None));
    // Asked once more, all of them are on their way.
    assert_eq!(journal.replay(vec![1, 2], at).unwrap().pending, 2);
    assert_eq!(journal.wait_above(0, Duration::ZERO), 7);
}

#[test]
fn what_is_taken_back_is_pending_with_its_numbers_and_settled_anew() {
    let (dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    let post = |webhook, body: &str| append(&journal, webhook, body).unwrap().id;
    let mut rows = BTreeMap::new();
    rows.insert(1, post("a", r#"{"id":"x"}"#));
    rows.insert(2, post("b", r#"{"id":"x"}"#));
    rows.insert(3, post("a", r#"{"id":"x","n":2}"#));
    rows.insert(4, post("a", r#"{"id":"y"}"#));
    post("a", r#"{"id":"z"}"#);
    journal.settle(5);
    journal.replay(vec![2], Timestamp::from_unix_ms(7)).unwrap();

    rows.remove(&1);
    assert!(journal.take_back(rows, 0).unwrap());
    assert_eq!(journal.settled(), 2);
    let copy = dir.path().join("copy/journal.db");
    crash_copy(&path, &copy);
    let pending = |journal: &Journal| -> Vec<(u64, u64)> {
        let rows = journal.reader().unwrap().pending(0, 10, usize::MAX);
        rows.unwrap().iter().map(|r| (r.out_seq, r.seq)).collect()
    };
    // The second was replayed meanwhile, and has its place at the end.
    let expected = [(3, 3), (4, 4), (5, 5), (6, 2)];
    for journal in [&journal, &Journal::open(&copy).unwrap()] {
        assert_eq!((journal.settled(), pending(journal)), (2, expected.into()));
    }
    // An append's commit settles nothing of it again.
    post("a", r#"{"id":"more"}"#);
    assert_eq!(pending(&journal).len(), 5);
    journal.settle(6);
    journal.flush().unwrap();
    assert_eq!(pending(&journal), [(6, 2), (7, 6)]);
}

#[test]
fn all_but_what_is_taken_back_is_settled() {
    let (dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    for i in 1..=6 {
        append(&journal, "default", &format!(r#"{{"id":"{i}"}}"#)).unwrap();
    }
    journal.settle(2);
    let rows = BTreeMap::from([(3, "3".to_owned()), (4, "4".to_owned())]);
    assert!(journal.take_back(rows, 6).unwrap());
    let copy = dir.path().join("copy/journal.db");
    crash_copy(&path, &copy);
    for journal in [&journal, &Journal::open(&copy).unwrap()] {
        assert_eq!(journal.settled(), 3);
        let rows = journal.reader().unwrap().pending(0, 10, usize::MAX);
        let rows: Vec<u64> = rows.unwrap().iter().map(|row| row.out_seq).collect();
        assert_eq!(rows, [3, 4, 6]);
    }
}

/// Opens the journal, and waits until it has deleted this row's body.
fn without_bodies_of_what_is_published(path: &Path, seq: u64) -> Journal {
    let old_bodies_go = Options {
        retention: Duration::ZERO,
        ..Options::default()
    };
    let journal = Journal::open_with(path, &old_bodies_go).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let viewer = Viewer::open(path).unwrap();
    while viewer.show(seq).unwrap().unwrap().2.is_some() {
        assert!(std::time::Instant::now() < deadline, "not within 20 s");
        std::thread::yield_now();
    }
    journal
}

#[test]
fn nothing_is_taken_back_when_a_body_is_gone() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    append(&journal, "default", r#"{"id":"a"}"#).unwrap();
    journal.settle(2);
    drop(journal);
    let journal = without_bodies_of_what_is_published(&path, 1);
    append(&journal, "default", r#"{"id":"b"}"#).unwrap();
    journal.settle(3);
    journal.flush().unwrap();
    let rows = BTreeMap::from([(1, "a".to_owned()), (2, "b".to_owned())]);
    assert!(!journal.take_back(rows, 0).unwrap());
    let unknown = BTreeMap::from([(2, "c".to_owned())]);
    assert!(!journal.take_back(unknown, 0).unwrap());
    assert_eq!(journal.settled(), 3);
    let pending = journal.reader().unwrap().pending(0, 10, usize::MAX);
    assert!(pending.unwrap().is_empty());
}

#[test]
fn a_replay_survives_a_crash_and_a_body_that_is_gone_is_no_longer_replayed() {
    let (dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    append(&journal, "default", r#"{"id":"a"}"#).unwrap();
    append(&journal, "default", r#"{"id":"b"}"#).unwrap();
    journal.settle(3);
    journal.replay(vec![1], Timestamp::from_unix_ms(7)).unwrap();
    let copy = dir.path().join("copy/journal.db");
    crash_copy(&path, &copy);
    drop(journal);

    let again = without_bodies_of_what_is_published(&copy, 2);
    let rows = again.reader().unwrap().pending(3, 10, usize::MAX).unwrap();
    assert_eq!(rows.iter().map(|r| r.seq).collect::<Vec<_>>(), [1]);
    assert!(rows[0].intact, "what is pending keeps its body");
    let gone = again.replay(vec![2], Timestamp::from_unix_ms(8)).unwrap();
    assert_eq!((gone.queued, gone.gone), (0, 1));
}

#[test]
fn a_late_append_keeps_when_it_was_received_and_is_a_duplicate_when_known() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    append(&journal, "default", r#"{"id":"a"}"#).unwrap();
    let late = |body: &str| {
        VerifiedDelivery::for_test(Delivery {
            webhook: WebhookName::parse("default").unwrap(),
            received_at: Timestamp::from_unix_ms(5),
            headers: KeptHeaders::default(),
            body: body.to_owned().into(),
        })
    };
    let deliveries = [
        late(r#"{"id":"a"}"#),
        late(r#"{"id":"b"}"#),
        late(r#"{"id":"c"}"#),
    ];
    let appended = journal.append_late(&deliveries, Timestamp::from_unix_ms(9));
    let appended: Vec<_> = appended.into_iter().map(|a| a.unwrap()).collect();
    let got: Vec<_> = appended.iter().map(|a| (a.kind, a.out_seq)).collect();
    let expected = [
        (AppendedKind::Duplicate, 1),
        (AppendedKind::Stored, 2),
        (AppendedKind::Stored, 3),
    ];
    assert_eq!(got, expected);
    let rows = journal
        .reader()
        .unwrap()
        .pending(2, 10, usize::MAX)
        .unwrap();
    for row in rows {
        assert_eq!((row.received_at.unix_ms(), row.record_at.unix_ms()), (5, 9));
    }
}

#[test]
fn a_journal_of_format_1_is_brought_up_with_all_that_is_in_it() {
    let (_dir, path) = temp();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch(FORMAT_1).unwrap();
    let body = br#"{"id":"old"}"#;
    let insert = "INSERT INTO delivery VALUES (1, 1, 'old', ?1, 1000, NULL, ?2, 1, NULL)";
    conn.execute(insert, rusqlite::params![[1u8; 32], crc32c::crc32c(body)])
        .unwrap();
    conn.execute("INSERT INTO body VALUES (1, ?1)", [body.as_slice()])
        .unwrap();
    drop(conn);
    // Who only reads needs no newer format and changes nothing.
    let entries = Viewer::open(&path).unwrap().list(&ALL).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        Viewer::open(&path)
            .unwrap()
            .status()
            .unwrap()
            .format_version,
        1
    );

    let journal = Journal::open(&path).unwrap();
    assert_eq!(journal.uuid(), Uuid::from_bytes([7; 16]));
    let status = Viewer::open(&path).unwrap().status().unwrap();
    assert_eq!((status.format_version, status.pending), (schema::FORMAT, 1));
    let rows = journal
        .reader()
        .unwrap()
        .pending(1, 10, usize::MAX)
        .unwrap();
    assert_eq!((rows[0].id.as_str(), rows[0].intact), ("old", true));
    assert_eq!(rows[0].record_at, Timestamp::from_unix_ms(1000));
    assert_eq!(append(&journal, "default", "{}").unwrap().out_seq, 2);
    journal.settle(3);
    let at = Timestamp::from_unix_ms(2000);
    assert_eq!(journal.replay(vec![1], at).unwrap().queued, 1);
    let rows = journal
        .reader()
        .unwrap()
        .pending(3, 10, usize::MAX)
        .unwrap();
    assert_eq!(rows[0].record_at, at);
}

/// Before there were fingerprints, rows had the SHA-256 of their bodies.
#[test]
fn a_repeat_of_what_an_older_program_stored_is_recognised_and_its_id_goes_in_time() {
    let (_dir, path) = temp();
    let body = r#"{"id":"a","n":1}"#;
    let journal = Journal::open(&path).unwrap();
    append(&journal, "default", body).unwrap();
    journal.settle(2);
    drop(journal);
    let conn = rusqlite::Connection::open(&path).unwrap();
    let sha256 = fingerprint::sha256(body.as_bytes());
    conn.execute("UPDATE delivery SET hash = ?1", [&sha256[..]])
        .unwrap();
    conn.execute("UPDATE seen SET hash = ?1", [&sha256[..16]])
        .unwrap();
    conn.pragma_update(None, "user_version", 2).unwrap();
    drop(conn);

    let journal = Journal::open(&path).unwrap();
    let again = append(&journal, "default", body).unwrap();
    assert_eq!((again.kind, again.out_seq), (AppendedKind::Duplicate, 1));
    let other = append(&journal, "default", r#"{"id":"a","n":2}"#).unwrap();
    assert_eq!(other.kind, AppendedKind::Stored);
    assert!(other.id.starts_with("a-"), "{}", other.id);
    journal.settle(3);
    drop(journal);

    let nothing_stays = Options {
        retention: Duration::ZERO,
        keep_ids: Duration::ZERO,
        ..Options::default()
    };
    let _journal = Journal::open_with(&path, &nothing_stays).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let left = || -> i64 {
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.query_row("SELECT count(*) FROM seen", [], |row| row.get(0))
            .unwrap()
    };
    // The newest row of a sweep stays until rows come behind it.
    while left() > 1 {
        assert!(
            std::time::Instant::now() < deadline,
            "{} ids are left",
            left()
        );
        std::thread::yield_now();
    }
}

/// A journal as the first release wrote it.
const FORMAT_1: &str = "
    CREATE TABLE state(
        one INTEGER PRIMARY KEY CHECK (one = 1),
        uuid BLOB NOT NULL,
        next_seq INTEGER NOT NULL,
        next_out_seq INTEGER NOT NULL,
        settled_out_seq INTEGER NOT NULL,
        partitions INTEGER);
    CREATE TABLE webhook(n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE delivery(
        seq INTEGER PRIMARY KEY,
        webhook INTEGER NOT NULL,
        id TEXT NOT NULL,
        hash BLOB NOT NULL,
        received_ms INTEGER NOT NULL,
        headers TEXT,
        crc INTEGER NOT NULL,
        out_seq INTEGER NOT NULL,
        dead TEXT);
    CREATE TABLE body(seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE seen(
        id TEXT NOT NULL,
        webhook INTEGER NOT NULL,
        hash BLOB NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (id, webhook, hash)) WITHOUT ROWID;
    CREATE TABLE queue(out_seq INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
    PRAGMA application_id = 0x41744b62;
    PRAGMA user_version = 1;
    PRAGMA journal_mode = WAL;
    INSERT INTO state VALUES (1, x'07070707070707070707070707070707', 2, 2, 1, 4);
    INSERT INTO webhook VALUES (1, 'default');
    INSERT INTO seen VALUES ('old', 1, x'01010101010101010101010101010101', 1);
    INSERT INTO queue VALUES (1, 1);";
