//! What the publisher is given comes from memory or from disk, and nothing tells which.

use super::*;

/// What the publisher is given must not depend on whether it comes from memory or from disk.
#[test]
fn what_is_fresh_is_what_lies_on_disk() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    append(&journal, "default", r#"{"id":"before"}"#).unwrap();
    let mut pending = journal.pending().unwrap();
    for i in 0..20 {
        append(&journal, "default", &format!(r#"{{"id":"{i}"}}"#)).unwrap();
        append(&journal, "other", "no JSON").unwrap();
        append(&journal, "other", &format!(r#"{{"id":"same","n":{i}}}"#)).unwrap();
    }
    let late = delivery("default", r#"{"id":"late"}"#);
    journal.append_late(&[late], Timestamp::from_unix_ms(7))[0]
        .as_ref()
        .unwrap();
    let mut reader = journal.reader().unwrap();
    let disk = reader.pending(1, 1000, usize::MAX).unwrap();
    let (mut given, mut from_memory) = (Vec::new(), 0);
    while given.len() < disk.len() {
        let rows = pending.next(1 + given.len() as u64, 7, usize::MAX).unwrap();
        from_memory += rows.iter().filter(|row| row.scanned.is_some()).count();
        given.extend(rows);
    }
    assert!(from_memory > 20, "{from_memory} rows came from memory");
    for (given, disk) in given.iter().zip(&disk) {
        let plain = |row: &Row| {
            format!(
                "{:?}",
                Row {
                    scanned: None,
                    ..row.clone()
                }
            )
        };
        assert_eq!(plain(given), plain(disk));
    }
    assert_eq!(given.len(), disk.len());
}

/// A replay gives old rows new numbers, which nobody keeps in memory.
#[test]
fn what_is_replayed_between_fresh_rows_comes_in_its_place() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    let mut pending = journal.pending().unwrap();
    append(&journal, "default", r#"{"id":"a"}"#).unwrap();
    journal.settle(2);
    journal.flush().unwrap();
    append(&journal, "default", r#"{"id":"b"}"#).unwrap();
    journal.replay(vec![1], Timestamp::now()).unwrap();
    append(&journal, "default", r#"{"id":"c"}"#).unwrap();
    let mut given = Vec::new();
    while given.len() < 3 {
        let next = 2 + given.len() as u64;
        given.extend(pending.next(next, 100, usize::MAX).unwrap());
    }
    let ids: Vec<_> = given.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["b", "a", "c"]);
    assert!(given[0].scanned.is_some() && given[1].scanned.is_none());
}
