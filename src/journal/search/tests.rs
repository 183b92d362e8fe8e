//! What the index finds, in which order, and when it is begun anew.

use tempfile::TempDir;

use super::*;

const JOURNAL: Uuid = Uuid::from_u128(7);

fn temp() -> (TempDir, PathBuf) {
    let dir = TempDir::with_prefix("search-").unwrap();
    let path = dir.path().join("journal.db");
    (dir, path)
}

/// Delivery `seq` of a call of three, by one of two agents, received a second after the one before.
fn entry(seq: u64) -> Entry {
    let kinds = [
        "pre-conversation",
        "post-conversation",
        "analytics-completed",
    ];
    let call = seq / 3;
    Entry {
        seq,
        received_at: at(seq),
        webhook: "default".to_owned(),
        told: Some(Told {
            call_id: format!("CALL-{call}"),
            agent_id: Some(format!("agent-{}", call % 2)),
            event_type: kinds[usize::try_from(seq % 3).unwrap()].to_owned(),
        }),
        fault: None,
    }
}

fn at(seq: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_700_000_000_000 + seq.cast_signed() * 1000)
}

fn filled(path: &Path, count: u64) -> Index {
    let mut index = Index::open(path, JOURNAL).unwrap();
    let entries: Vec<_> = (0..count).map(entry).collect();
    index.add(&entries, count).unwrap();
    index
}

fn find(path: &Path, query: &Query) -> Vec<u64> {
    let search = Search::open(path).unwrap().unwrap();
    let (mut seqs, mut behind) = (Vec::new(), None);
    loop {
        let page = search.find(query, behind, 7, |_| true).unwrap();
        assert!(page.found.len() <= 7);
        seqs.extend(page.found.iter().map(|found| found.seq));
        match page.next {
            Some(next) => behind = Some(next),
            None => return seqs,
        }
    }
}

#[test]
fn everything_that_fits_is_found_page_by_page_the_newest_first() {
    let (_dir, path) = temp();
    let _index = filled(&path, 60);
    let all: Vec<u64> = (0..60).rev().collect();
    assert_eq!(find(&path, &Query::default()), all);
    let text = |text: &str| Some(text.to_owned());
    let cases: [(Query, &dyn Fn(u64) -> bool); 6] = [
        (
            Query {
                call: text("CALL-4"),
                ..Query::default()
            },
            &|seq| seq / 3 == 4,
        ),
        (
            Query {
                agent: text("agent-1"),
                ..Query::default()
            },
            &|seq| seq / 3 % 2 == 1,
        ),
        (
            Query {
                event_type: text("post-conversation"),
                ..Query::default()
            },
            &|seq| seq % 3 == 1,
        ),
        (
            Query {
                agent: text("agent-0"),
                event_type: text("pre-conversation"),
                ..Query::default()
            },
            &|seq| seq / 3 % 2 == 0 && seq % 3 == 0,
        ),
        (
            Query {
                since: Some(at(10)),
                until: Some(at(20)),
                ..Query::default()
            },
            &|seq| (10..20).contains(&seq),
        ),
        (
            Query {
                webhook: text("other"),
                ..Query::default()
            },
            &|_| false,
        ),
    ];
    for (query, fits) in cases {
        let expected: Vec<u64> = all.iter().copied().filter(|seq| fits(*seq)).collect();
        assert_eq!(find(&path, &query), expected, "{query:?}");
    }
}

#[test]
fn what_came_in_one_millisecond_is_on_one_page_only() {
    let (_dir, path) = temp();
    let mut index = Index::open(&path, JOURNAL).unwrap();
    let entries: Vec<_> = (0..30)
        .map(|seq| Entry {
            received_at: at(0),
            ..entry(seq)
        })
        .collect();
    index.add(&entries, 30).unwrap();
    assert_eq!(
        find(&path, &Query::default()),
        (0..30).rev().collect::<Vec<_>>()
    );
}

#[test]
fn what_was_refused_is_found_until_it_is_forgiven() {
    let (_dir, path) = temp();
    let mut index = filled(&path, 10);
    let refused = [Refused {
        seq: 4,
        out_seq: 40,
        reason: "too-large-for-kafka".to_owned(),
    }];
    index.refuse(&refused).unwrap();
    let faulty = Query {
        faulty: true,
        ..Query::default()
    };
    assert_eq!(find(&path, &faulty), [4]);
    assert_eq!(index.refused().unwrap(), refused);
    let other = Refused {
        out_seq: 41,
        ..refused[0].clone()
    };
    index.forgive(&[other]).unwrap();
    assert_eq!(find(&path, &faulty), [4], "refused anew in the meantime");
    index.forgive(&refused).unwrap();
    assert_eq!(find(&path, &faulty), [0; 0]);
}

#[test]
fn it_goes_on_where_it_was_for_the_same_journal_and_begins_anew_for_another() {
    let (_dir, path) = temp();
    drop(filled(&path, 10));
    let index = Index::open(&path, JOURNAL).unwrap();
    assert_eq!(index.next_seq(), 10);
    assert_eq!(index.newest().unwrap(), Some((9, at(9))));
    drop(index);
    assert_eq!(
        Index::open(&path, Uuid::from_u128(8)).unwrap().next_seq(),
        1
    );
    std::fs::write(
        path_beside(&path),
        "no database at all, but long enough to be looked at",
    )
    .unwrap();
    assert_eq!(Index::open(&path, JOURNAL).unwrap().next_seq(), 1);
}

#[test]
fn it_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, path) = temp();
    let _index = filled(&path, 10);
    for suffix in ["", "-wal", "-shm"] {
        let file = place::beside(&path_beside(&path), suffix)
            .metadata()
            .unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "{suffix}");
    }
}

#[test]
fn what_the_journal_has_forgotten_is_forgotten() {
    let (_dir, path) = temp();
    let mut index = filled(&path, 10);
    assert!(!index.forget_below(7).unwrap());
    assert_eq!(find(&path, &Query::default()), [9, 8, 7]);
}

#[test]
fn a_minute_is_added_up() {
    let (_dir, path) = temp();
    let mut index = filled(&path, 1);
    let minute = Minute {
        at: 100,
        stored: 2,
        pending: 5,
        ..Minute::default()
    };
    index.count(&minute).unwrap();
    index
        .count(&Minute {
            pending: 3,
            ..minute
        })
        .unwrap();
    index.count(&Minute { at: 101, ..minute }).unwrap();
    let search = Search::open(&path).unwrap().unwrap();
    let minutes = search.minutes(100).unwrap();
    assert_eq!(minutes.len(), 2);
    assert_eq!((minutes[0].stored, minutes[0].pending), (4, 5));
}
