//! The ledger over restarts, retention and damage.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

fn temp() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    (dir, path)
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn found(call: &str, stage: Stage, is_reconciled: bool, ms: i64) -> Found {
    Found {
        call_id: call.to_owned(),
        stage,
        is_reconciled,
        at: at(ms),
    }
}

fn places(next: i64, reach: Reach) -> BTreeMap<Partition, Place> {
    let partition = Partition {
        topic: "t".to_owned(),
        number: 0,
    };
    BTreeMap::from([(partition, Place { next, reach })])
}

fn listed(call: &str) -> Listed {
    Listed {
        call_id: call.to_owned(),
        agent_id: Some("a".to_owned()),
        status: "completed".to_owned(),
        retry_count: 0,
        created_at: at(1000),
        ended_at: Some(at(2000)),
        expected: Some(Stages::ALL),
        filled: Stages::NONE,
        scan: Some(1),
        next_at: None,
        asked: 0,
        why: None,
        row: None,
    }
}

#[test]
fn what_was_found_and_how_far_are_there_after_a_restart() {
    let (_dir, path) = temp();
    let mut ledger = Ledger::open(&path).unwrap();
    let [pre, post, analytics] = Stage::ALL;
    ledger
        .add(
            &[found("c", pre, false, 5), found("c", post, true, 6)],
            &places(7, Reach::Everything),
        )
        .unwrap();
    ledger
        .add(
            &[found("c", analytics, false, 4)],
            &places(9, Reach::Everything),
        )
        .unwrap();
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    let held = ledger.held("c").unwrap();
    assert_eq!(held.webhook, [pre, analytics].into_iter().collect());
    assert_eq!(held.reconciled, Stages::NONE.with(post));
    assert_eq!(held.all(), Stages::ALL);
    assert_eq!(ledger.held("other").unwrap(), Held::default());
    assert_eq!(ledger.places().unwrap(), places(9, Reach::Everything));
}

#[test]
fn it_reaches_as_far_as_its_youngest_partition_and_its_memory() {
    let (_dir, path) = temp();
    let mut ledger = Ledger::open(&path).unwrap();
    let topics = ["t".to_owned()];
    let now = Timestamp::now();
    assert_eq!(ledger.reach(&topics, now).unwrap(), Reach::Since(now));
    ledger.add(&[], &places(1, Reach::Everything)).unwrap();
    assert_eq!(ledger.reach(&topics, now).unwrap(), Reach::Everything);
    let mut two = places(1, Reach::Since(at(7)));
    two.extend(
        places(1, Reach::Everything)
            .into_iter()
            .map(|(mut partition, place)| {
                partition.number = 1;
                (partition, place)
            }),
    );
    ledger.add(&[], &two).unwrap();
    assert_eq!(ledger.reach(&topics, now).unwrap(), Reach::Since(at(7)));
    assert_eq!(
        ledger.reach(&["another".to_owned()], now).unwrap(),
        Reach::Since(now)
    );

    ledger
        .add(
            &[found("old", Stage::PreConversation, false, 8)],
            &places(2, Reach::Everything),
        )
        .unwrap();
    assert!(!ledger.forget_old(now).unwrap());
    assert_eq!(ledger.held("old").unwrap(), Held::default());
    assert_eq!(
        ledger.reach(&topics, now).unwrap(),
        Reach::Since(kept_since(now))
    );
}

#[test]
fn another_cluster_is_another_ledger() {
    let (_dir, path) = temp();
    let mut ledger = Ledger::open(&path).unwrap();
    ledger.be_about("one").unwrap();
    let one = [found("c", Stage::PreConversation, false, 5)];
    ledger.add(&one, &places(7, Reach::Everything)).unwrap();
    ledger.be_about("one").unwrap();
    assert!(!ledger.held("c").unwrap().all().is_empty());
    ledger.be_about("two").unwrap();
    assert!(ledger.held("c").unwrap().all().is_empty());
    assert!(ledger.places().unwrap().is_empty());
}

#[test]
fn what_waits_is_there_after_a_restart_in_the_order_of_its_time() {
    let (_dir, path) = temp();
    let mut ledger = Ledger::open(&path).unwrap();
    let waits = |call: &str, ms| Listed {
        next_at: Some(at(ms)),
        asked: 2,
        why: Some(Why::NoAnalyticsYet),
        row: Some("{}".to_owned()),
        ..listed(call)
    };
    let calls = [
        waits("late", 30),
        waits("soon", 10),
        waits("then", 20),
        listed("done"),
    ];
    ledger.list(&calls, Timestamp::now()).unwrap();
    drop(ledger);
    let ledger = Ledger::open(&path).unwrap();
    let due: Vec<Listed> = ledger.due(at(20), 10).unwrap();
    assert_eq!(due, [waits("soon", 10), waits("then", 20)]);
    assert_eq!(ledger.waiting().unwrap(), 3);
    assert_eq!(ledger.listed("done").unwrap(), Some(listed("done")));
}

#[test]
fn scans_and_bookmarks_survive() {
    let (_dir, path) = temp();
    let mut ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.scans().unwrap(), Scans::default());
    let number = ledger.begin_scan().unwrap();
    assert_eq!(number, 1);
    let bookmark = Bookmark {
        since: at(1),
        until: at(2),
        page: 7,
    };
    ledger.mark(bookmark, Timestamp::now()).unwrap();
    drop(ledger);
    let mut ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.begin_scan().unwrap(), 2);
    ledger.complete_whole_scan(2, at(9)).unwrap();
    let scans = ledger.scans().unwrap();
    assert_eq!((scans.begun, scans.completed), (2, 2));
    assert_eq!(
        (scans.completed_at, scans.whole_at),
        (Some(at(9)), Some(at(9)))
    );
    assert_eq!(ledger.bookmark(at(1), at(2)).unwrap(), Some(bookmark));
    assert_eq!(ledger.bookmark(at(1), at(3)).unwrap(), None);
    ledger.unmark(at(1), at(2)).unwrap();
    assert_eq!(ledger.bookmark(at(1), at(2)).unwrap(), None);
}

#[test]
fn figures_say_what_is_there_by_which_origin_and_what_lacks_why() {
    let (_dir, path) = temp();
    let mut ledger = Ledger::open(&path).unwrap();
    let [pre, post, analytics] = Stage::ALL;
    let mut all = Vec::new();
    for stage in Stage::ALL {
        all.push(found("whole", stage, stage == post, 1));
    }
    all.push(found("lacks", pre, false, 1));
    ledger.add(&all, &BTreeMap::new()).unwrap();
    let lacks = Listed {
        filled: Stages::NONE.with(post),
        why: Some(Why::NoAnalyticsYet),
        next_at: Some(at(99)),
        ..listed("lacks")
    };
    let others = Listed {
        expected: Some(Stages::NONE),
        ..listed("not-ours")
    };
    let goes_on = Listed {
        ended_at: None,
        ..listed("goes-on")
    };
    let before = Listed {
        ended_at: Some(at(10)),
        ..listed("before")
    };
    let calls = [listed("whole"), lacks, others, goes_on, before];
    ledger.list(&calls, Timestamp::now()).unwrap();
    let told = ledger.completeness(at(2000)).unwrap();
    assert_eq!((told.ended, told.complete), (2, 1));
    let of = |expected, webhook, reconciled| OfStage {
        expected,
        webhook,
        reconciled,
    };
    assert_eq!(told.stages, [of(2, 2, 0), of(2, 0, 1), of(2, 1, 0)]);
    assert_eq!(
        told.missing,
        [
            (post, Why::OnItsWay, 1),
            (analytics, Why::NoAnalyticsYet, 1)
        ]
    );
    let incomplete = ledger.incomplete(at(2000), 10).unwrap();
    assert_eq!(incomplete.len(), 1);
    assert_eq!(incomplete[0].call_id, "lacks");
    assert_eq!(
        incomplete[0].missing,
        [post, analytics].into_iter().collect()
    );
    assert_eq!(incomplete[0].why, Why::NoAnalyticsYet);
}

#[test]
fn a_copy_in_memory_changes_no_file() {
    let (dir, path) = temp();
    let mut copy = Ledger::in_memory(&path).unwrap();
    copy.begin_scan().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let mut ledger = Ledger::open(&path).unwrap();
    let one = [found("c", Stage::PreConversation, false, 5)];
    ledger.add(&one, &places(7, Reach::Everything)).unwrap();
    drop(ledger);
    let mut copy = Ledger::in_memory(&path).unwrap();
    assert!(!copy.held("c").unwrap().all().is_empty());
    let more = [found("d", Stage::PreConversation, false, 5)];
    copy.add(&more, &places(8, Reach::Everything)).unwrap();
    drop(copy);
    let ledger = Ledger::open(&path).unwrap();
    assert!(ledger.held("d").unwrap().all().is_empty());
    assert_eq!(ledger.places().unwrap(), places(7, Reach::Everything));
}

#[test]
fn what_is_no_ledger_is_dropped_and_the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, path) = temp();
    std::fs::write(
        path_beside(&path),
        "not a database, and longer than a header of one hundred bytes ".repeat(9),
    )
    .unwrap();
    let ledger = Ledger::open(&path).unwrap();
    assert!(ledger.places().unwrap().is_empty());
    let mode = path_beside(&path).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(Ledger::open_to_read(&path).unwrap().is_some());
}

#[test]
fn a_damaged_one_is_told_as_such_and_begun_anew() {
    let (_dir, path) = temp();
    let mut ledger = Ledger::open(&path).unwrap();
    let many: Vec<Found> = (0..2000)
        .map(|n| found(&format!("call-{n:05}"), Stage::PreConversation, false, n))
        .collect();
    ledger.add(&many, &places(7, Reach::Everything)).unwrap();
    drop(ledger);
    let file = path_beside(&path);
    let mut bytes = std::fs::read(&file).unwrap();
    let half = bytes.len() / 2;
    bytes[8192..half].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let mut ledger = Ledger::open(&path).unwrap();
    let failed = (0..2000).find_map(|n| ledger.held(&format!("call-{n:05}")).err());
    assert!(failed.unwrap().is_damage());
    ledger.begin_anew(&path).unwrap();
    assert!(ledger.places().unwrap().is_empty());
    ledger.add(&many, &places(7, Reach::Everything)).unwrap();
    assert!(!ledger.held("call-00000").unwrap().all().is_empty());
}
