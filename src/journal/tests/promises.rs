//! What an append, a settle and an opening promise: one promise per test.

use std::os::unix::fs::PermissionsExt;

use super::read::Viewer;
use super::*;

#[test]
fn the_same_delivery_at_once_is_stored_once() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    let results = std::thread::scope(|scope| {
        let one = || append(&journal, "default", r#"{"id":"a"}"#).unwrap();
        let threads: Vec<_> = (0..50).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .map(|t| t.join().unwrap())
            .collect::<Vec<_>>()
    });
    let stored = results
        .iter()
        .filter(|a| a.kind == AppendedKind::Stored)
        .count();
    assert_eq!(stored, 1);
    assert!(results.iter().all(|a| a.id == "a" && a.out_seq == 1));
}

#[test]
fn duplicates_within_one_batch_are_recognised() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    // Queued before anything is awaited, so that most share a commit.
    let queued: Vec<_> = (0..200)
        .map(|i| journal.append(delivery("default", format!(r#"{{"id":"{}"}}"#, i % 3))))
        .collect();
    let stored = runtime().block_on(async {
        let mut stored = 0;
        for future in queued {
            stored += u32::from(future.await.unwrap().kind == AppendedKind::Stored);
        }
        stored
    });
    assert_eq!(stored, 3);
}

#[test]
fn another_body_under_the_same_id_is_a_new_event() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    assert_eq!(
        append(&journal, "a", r#"{"id":"x","n":1}"#).unwrap().id,
        "x"
    );
    let second = append(&journal, "a", r#"{"id":"x","n":2}"#).unwrap();
    assert_eq!(second.kind, AppendedKind::Stored);
    assert!(
        second.id.starts_with("x-") && second.id.len() == 10,
        "{}",
        second.id
    );
    let again = append(&journal, "a", r#"{"id":"x","n":2}"#).unwrap();
    assert_eq!((again.kind, again.id), (AppendedKind::Duplicate, second.id));
    assert_eq!(
        append(&journal, "b", r#"{"id":"x","n":1}"#).unwrap().id,
        "x"
    );
}

#[test]
fn an_encoding_that_changes_nothing_hides_no_id() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    for (encoding, body, id) in [
        ("identity", r#"{"id":"x"}"#, "x"),
        ("", r#"{"id":"y"}"#, "y"),
        ("gzip", r#"{"id":"z"}"#, "sha256-"),
    ] {
        let encoded = VerifiedDelivery::for_test(Delivery {
            webhook: WebhookName::parse("default").unwrap(),
            received_at: Timestamp::now(),
            headers: KeptHeaders {
                content_encoding: Some(encoding.into()),
                ..KeptHeaders::default()
            },
            body: body.into(),
        });
        let appended = runtime().block_on(journal.append(encoded)).unwrap();
        assert!(appended.id.starts_with(id), "{encoding}: {}", appended.id);
    }
}

#[test]
fn a_dropped_future_does_not_take_its_delivery_back() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    drop(journal.append(delivery("default", r#"{"id":"a"}"#)));
    assert_eq!(journal.wait_above(1, Duration::from_secs(10)), 2);
}

#[test]
fn what_was_answered_is_there_after_a_crash() {
    let (dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    for i in 0..100 {
        append(&journal, "default", &format!(r#"{{"id":"{i}"}}"#)).unwrap();
    }
    journal.freeze_partitions(12).unwrap();
    let copy = dir.path().join("copy/journal.db");
    crash_copy(&path, &copy);
    let again = Journal::open(&copy).unwrap();
    assert_eq!(again.uuid(), journal.uuid());
    assert_eq!(again.partitions(), Some(12));
    let rows = again
        .reader()
        .unwrap()
        .pending(0, 1000, usize::MAX)
        .unwrap();
    assert_eq!(rows.len(), 100);
    assert_eq!(
        append(&again, "default", r#"{"id":"7"}"#).unwrap().kind,
        AppendedKind::Duplicate
    );
    assert_eq!(
        append(&again, "default", r#"{"id":"new"}"#)
            .unwrap()
            .out_seq,
        101
    );
}

#[test]
fn a_second_writer_is_refused_and_told_who_has_it() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    let error = Journal::open(&path).unwrap_err();
    assert!(
        error.to_string().contains(&std::process::id().to_string()),
        "{error}"
    );
    drop(journal);
    Journal::open(&path).unwrap();
}

#[test]
fn files_are_for_their_owner_only() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    append(&journal, "default", "{}").unwrap();
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let mode = place::beside(&path, suffix)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
    let directory = path
        .parent()
        .unwrap()
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(directory & 0o777, 0o700);
}

#[test]
fn what_is_no_journal_or_a_newer_one_is_refused_unchanged() {
    let (_dir, path) = temp();
    drop(Journal::open(&path).unwrap());
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", schema::FORMAT + 1)
        .unwrap();
    drop(conn);
    assert!(matches!(Journal::open(&path), Err(OpenError::Newer { .. })));
    assert!(matches!(Viewer::open(&path), Err(ReadError::Newer { .. })));

    std::fs::write(
        &path,
        "shopping list, and more than a header's hundred bytes ".repeat(20),
    )
    .unwrap();
    assert!(matches!(
        Journal::open(&path),
        Err(OpenError::NotAJournal(_))
    ));
    assert!(matches!(
        Viewer::open(&path),
        Err(ReadError::NotAJournal(_))
    ));

    std::fs::remove_file(&path).unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE foreign_one(x)").unwrap();
    drop(conn);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(
        Journal::open(&path),
        Err(OpenError::NotAJournal(_))
    ));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_flipped_bit_is_seen() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    append(&journal, "default", r#"{"id":"a","text":"before"}"#).unwrap();
    append(&journal, "default", r#"{"id":"b","text":"before"}"#).unwrap();
    drop(journal);
    let conn = rusqlite::Connection::open(&path).unwrap();
    let flip = "UPDATE body SET body = CAST(replace(CAST(body AS TEXT), 'before', 'cefore') AS BLOB) WHERE seq = 1";
    conn.execute(flip, []).unwrap();
    drop(conn);
    let journal = Journal::open(&path).unwrap();
    let rows = journal
        .reader()
        .unwrap()
        .pending(1, 10, usize::MAX)
        .unwrap();
    assert_eq!(
        rows.iter().map(|r| r.intact).collect::<Vec<_>>(),
        [false, true]
    );
    assert!(!Viewer::open(&path).unwrap().show(1).unwrap().unwrap().3);
}

#[test]
fn published_resolves_when_it_is_settled() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    let appended = append(&journal, "default", "{}").unwrap();
    runtime().block_on(async {
        let (waiting, settling) = (journal.clone(), journal.clone());
        let waits = tokio::spawn(async move { waiting.published(appended.out_seq).await });
        tokio::task::yield_now().await;
        // What does not exist yet cannot be settled.
        settling.settle(appended.out_seq);
        assert!(!waits.is_finished());
        settling.settle(u64::MAX);
        tokio::time::timeout(Duration::from_secs(10), waits)
            .await
            .unwrap()
            .unwrap();
    });
    assert_eq!(journal.settled(), 2);
}

#[test]
fn a_closed_journal_finishes_its_queue_and_takes_no_more() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    let queued: Vec<_> = (0..2000)
        .map(|i| journal.append(delivery("default", format!(r#"{{"id":"{i}"}}"#))))
        .collect();
    journal.settle(1);
    journal.close();
    runtime().block_on(async {
        for future in queued {
            future.await.unwrap();
        }
    });
    assert!(matches!(
        append(&journal, "default", "{}"),
        Err(AppendError::Closed)
    ));
    assert!(matches!(journal.flush(), Err(AppendError::Closed)));
}

#[test]
fn pending_stops_at_its_limits_but_gives_one_row() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    for i in 0..10 {
        append(&journal, "default", &format!(r#"{{"id":"{i}"}}"#)).unwrap();
    }
    let mut reader = journal.reader().unwrap();
    let mut count = |from, rows, bytes| reader.pending(from, rows, bytes).unwrap().len();
    assert_eq!(count(1, 4, usize::MAX), 4);
    assert_eq!(count(8, 100, usize::MAX), 3);
    assert_eq!(count(1, 100, 30), 3);
    assert_eq!(count(1, 100, 0), 1);
    assert_eq!(count(11, 100, 100), 0);
}
