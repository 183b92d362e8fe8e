//! What the journal does when there is no room, when the disk refuses, and as time passes.

use std::time::Instant;

use super::read::Viewer;
use super::*;

#[test]
fn a_full_journal_refuses_and_goes_on_once_something_is_published() {
    let (_dir, path) = temp();
    let options = Options {
        max_bytes: 2 << 20,
        ..Options::default()
    };
    let journal = Journal::open_with(&path, &options).unwrap();
    let body = |i: u32| format!(r#"{{"id":"{i}","x":"{}"}}"#, "y".repeat(6000));
    let mut stored = 0;
    let error = loop {
        match append(&journal, "default", &body(stored)) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            error,
            AppendError::Full {
                limit: Limit::MaxBytes { .. }
            }
        ),
        "{error}"
    );
    assert!(stored > 100);
    let mut reader = journal.reader().unwrap();
    assert_eq!(
        reader.pending(1, 10_000, usize::MAX).unwrap().len(),
        stored as usize
    );

    journal.settle(u64::from(stored) / 2);
    until(|| append(&journal, "default", &body(stored)).is_ok());
    let rows = reader.pending(1, 10_000, usize::MAX).unwrap();
    assert_eq!(rows.len(), stored as usize - stored as usize / 2 + 2);
    assert!(rows.iter().all(|row| row.intact));
    // Bodies made the room; ids are still known.
    assert_eq!(
        append(&journal, "default", &body(0)).unwrap().kind,
        AppendedKind::Duplicate
    );
}

#[test]
fn published_bodies_and_later_ids_go_by_age() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    for i in 0..600 {
        append(&journal, "default", &format!(r#"{{"id":"{i}"}}"#)).unwrap();
    }
    append(&journal, "default", r#"{"id":"0","another":"body"}"#).unwrap();
    journal.settle(500);
    journal.mark_dead(510, "no topic takes it").unwrap();
    drop(journal);

    let bodies_only = Options {
        retention: Duration::ZERO,
        ..Options::default()
    };
    let journal = Journal::open_with(&path, &bodies_only).unwrap();
    let viewer = Viewer::open(&path).unwrap();
    let with_body = || {
        viewer
            .list(&ALL)
            .unwrap()
            .iter()
            .filter(|e| e.body_bytes.is_some())
            .count()
    };
    until(|| with_body() == 102);
    assert_eq!(
        append(&journal, "default", r#"{"id":"7"}"#).unwrap().kind,
        AppendedKind::Duplicate
    );
    drop(journal);

    let nothing = Options {
        keep_ids: Duration::ZERO,
        ..bodies_only
    };
    let journal = Journal::open_with(&path, &nothing).unwrap();
    until(|| viewer.status().unwrap().rows == 102);
    let status = viewer.status().unwrap();
    assert_eq!((status.pending, status.dead, status.published), (101, 1, 0));
    assert_eq!(
        append(&journal, "default", r#"{"id":"7"}"#).unwrap().kind,
        AppendedKind::Stored
    );
    assert_eq!(
        append(&journal, "default", r#"{"id":"550"}"#).unwrap().kind,
        AppendedKind::Duplicate
    );
}

#[test]
fn a_batch_that_fails_is_refused_and_the_next_one_goes_on() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    append(&journal, "default", r#"{"id":"a"}"#).unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch(
        "CREATE TRIGGER broken BEFORE INSERT ON queue BEGIN SELECT RAISE(ABORT, 'broken'); END",
    )
    .unwrap();
    let error = append(&journal, "default", r#"{"id":"b"}"#).unwrap_err();
    assert!(matches!(error, AppendError::Disk(_)), "{error}");
    conn.execute_batch("DROP TRIGGER broken").unwrap();
    let appended = append(&journal, "default", r#"{"id":"b"}"#).unwrap();
    assert_eq!((appended.kind, appended.out_seq), (AppendedKind::Stored, 2));
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 20 s");
        std::thread::yield_now();
    }
}
