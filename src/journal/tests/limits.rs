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

#[test]
fn room_is_made_of_published_bodies_then_of_ids_and_never_of_what_is_on_no_topic() {
    let (_dir, path) = temp();
    let options = Options {
        max_bytes: 1 << 20,
        ..Options::default()
    };
    let journal = Journal::open_with(&path, &options).unwrap();
    let viewer = Viewer::open(&path).unwrap();
    let body = |id: u32, more: usize| format!(r#"{{"id":"{id}","x":"{}"}}"#, "y".repeat(more));
    let publish = |from: u32, until: u32, more: usize| {
        for id in from..until {
            let appended = append(&journal, "default", &body(id, more)).unwrap();
            journal.settle(appended.out_seq + 1);
            journal.flush().unwrap();
        }
    };
    append(&journal, "default", &body(0, 6000)).unwrap();
    journal.mark_dead(1, "no topic takes it").unwrap();
    publish(1, 400, 6000);
    let state = |wanted: read::State| {
        let rows = viewer.list(&ALL).unwrap();
        let of = rows.iter().filter(|row| row.state == wanted);
        let bodies = of.clone().filter(|row| row.body_bytes.is_some()).count();
        (of.count(), bodies)
    };
    let (rows, bodies) = state(read::State::Published);
    assert_eq!(rows, 399, "no id goes while bodies can");
    assert!(bodies < 200, "{bodies} of 6 kB in 1 MiB");

    // What waits takes the room of bodies first, then of ids; then nothing can go, and it is refused.
    let mut waiting = 0;
    let error = loop {
        match append(&journal, "default", &body(10_000 + waiting, 3000)) {
            Ok(_) => waiting += 1,
            Err(error) => break error,
        }
    };
    let full = Limit::MaxBytes { max_bytes: 1 << 20 };
    assert!(
        matches!(error, AppendError::Full { limit } if limit == full),
        "{error}"
    );
    until(|| state(read::State::Published) == (0, 0));
    assert_eq!(state(read::State::Dead), (1, 1));
    let pending = state(read::State::Pending);
    assert_eq!(pending, (waiting as usize, waiting as usize));
    assert!(waiting > 150, "{waiting} of 3 kB in 1 MiB");
}

#[test]
fn retention_goes_in_chunks_between_which_deliveries_are_taken() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    let count: u64 = 10_000;
    let all: Vec<_> = (0..count)
        .map(|id| journal.append(delivery("default", format!(r#"{{"id":"{id}"}}"#))))
        .collect();
    runtime().block_on(async {
        for appended in all {
            appended.await.unwrap();
        }
    });
    journal.settle(count + 1);
    drop(journal);

    let options = Options {
        retention: Duration::ZERO,
        keep_ids: Duration::ZERO,
        ..Options::default()
    };
    let journal = Journal::open_with(&path, &options).unwrap();
    let viewer = Viewer::open(&path).unwrap();
    let (mut taken, mut left, mut most) = (0, count, 0);
    while left > 0 {
        append(&journal, "default", &format!(r#"{{"id":"new-{taken}"}}"#)).unwrap();
        taken += 1;
        assert!(taken < 5 * count, "what is old stays while deliveries come");
        let rows = viewer.status().unwrap().rows - taken;
        most = most.max(left - rows);
        left = rows;
    }
    println!("{count} rows deleted while {taken} were taken; at most {most} between two");
    // About 40 chunks; on a machine that stands still for a moment, several of them lie between two looks.
    assert!(taken > 40, "{taken} taken meanwhile");
    assert!(most < count / 4, "{most} at once");
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 20 s");
        std::thread::yield_now();
    }
}
