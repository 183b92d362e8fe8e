//! What the command line sees: during writing, after a kill, and after a close.

use super::read::{Filter, State, Viewer};
use super::*;

#[test]
fn the_viewer_sees_what_is_there_and_creates_nothing() {
    let (dir, path) = temp();
    let error = Viewer::open(&path).map(|_| ()).unwrap_err();
    assert!(matches!(error, ReadError::Missing(_)), "{error}");
    assert!(!path.parent().unwrap().exists());

    let journal = Journal::open(&path).unwrap();
    for i in 0..5 {
        append(&journal, "default", &format!(r#"{{"id":"{i}"}}"#)).unwrap();
    }
    append(&journal, "sales", r#"{"id":"s"}"#).unwrap();
    journal.mark_dead(2, "too large").unwrap();
    journal.settle(4);
    journal.flush().unwrap();
    // While it is written, after its writer was killed, and after it was closed.
    let copy = dir.path().join("copy/journal.db");
    crash_copy(&path, &copy);
    look(&path, &journal);
    look(&copy, &journal);
    journal.close();
    look(&path, &journal);
}

fn look(path: &Path, journal: &Journal) {
    let viewer = Viewer::open(path).unwrap();
    let status = viewer.status().unwrap();
    assert_eq!(
        (status.rows, status.pending, status.published, status.dead),
        (6, 3, 2, 1)
    );
    assert_eq!((status.next_out_seq, status.settled_out_seq), (7, 4));
    assert_eq!(
        (status.uuid, status.format_version),
        (journal.uuid(), schema::FORMAT)
    );
    assert!(status.oldest_pending.is_some() && status.used_bytes > 0 && status.file_bytes > 0);
    let seqs = |filter: &Filter| -> Vec<u64> {
        viewer.list(filter).unwrap().iter().map(|e| e.seq).collect()
    };
    assert_eq!(seqs(&ALL), [6, 5, 4, 3, 2, 1]);
    assert_eq!(seqs(&Filter { limit: 2, ..ALL }), [6, 5]);
    assert_eq!(
        seqs(&Filter {
            state: Some(State::Dead),
            ..ALL
        }),
        [2]
    );
    assert_eq!(
        seqs(&Filter {
            state: Some(State::Published),
            ..ALL
        }),
        [3, 1]
    );
    assert_eq!(
        seqs(&Filter {
            webhook: Some("sales".into()),
            ..ALL
        }),
        [6]
    );
    assert_eq!(
        seqs(&Filter {
            until: Some(Timestamp::from_unix_ms(0)),
            ..ALL
        }),
        [0u64; 0]
    );
    let (entry, kept, body, intact) = viewer.show(2).unwrap().unwrap();
    assert_eq!(
        (entry.id.as_str(), entry.reason.as_deref()),
        ("1", Some("too large"))
    );
    assert_eq!(kept.content_type.as_deref(), Some("application/json"));
    assert_eq!(
        (body.as_deref(), intact),
        (Some(br#"{"id":"1"}"#.as_slice()), true)
    );
    assert!(viewer.show(99).unwrap().is_none());
}
