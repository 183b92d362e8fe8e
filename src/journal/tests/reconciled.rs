//! What was fetched from the sender's API is known as such, wherever it is read, and is there once by call and type.

use super::read::Viewer;
use super::*;
use crate::atoms::answers::FetchedCall;
use crate::event::{Origin, Stage};

const CALL: &str = "CALL-1778226705739-7e4c17";
const ID: &str = "reconcile-CALL-1778226705739-7e4c17-post-conversation";
const POST: Origin = Origin::Reconcile(Stage::PostConversation);

fn fetched(webhook: &str, stage: Stage, body: &str) -> VerifiedDelivery {
    let call = FetchedCall::for_test(CALL, body);
    let webhook = WebhookName::parse(webhook).unwrap();
    VerifiedDelivery::of_answer(&call, stage, webhook, Timestamp::now())
}

fn append_fetched(journal: &Journal, webhook: &str, stage: Stage, body: &str) -> Appended {
    let appended = journal.append_late(&[fetched(webhook, stage, body)], Timestamp::now());
    appended.into_iter().next().unwrap().unwrap()
}

#[test]
fn a_call_and_type_is_stored_once_whatever_the_body_and_the_webhook_also_after_a_restart() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    let first = append_fetched(
        &journal,
        "default",
        Stage::PostConversation,
        r#"{"id":"x"}"#,
    );
    assert_eq!((first.kind, first.id.as_str()), (AppendedKind::Stored, ID));
    let other = append_fetched(
        &journal,
        "default",
        Stage::AnalyticsCompleted,
        r#"{"id":"x"}"#,
    );
    assert_eq!(
        other.kind,
        AppendedKind::Stored,
        "another type is another event"
    );
    drop(journal);
    let journal = Journal::open(&path).unwrap();
    for (webhook, body) in [
        ("default", r#"{"id":"x"}"#),
        ("default", "{}"),
        ("sales", "{}"),
    ] {
        let again = append_fetched(&journal, webhook, Stage::PostConversation, body);
        assert_eq!(
            (again.kind, again.out_seq),
            (AppendedKind::Duplicate, 1),
            "{webhook} {body}"
        );
    }
}

#[test]
fn it_is_known_as_such_wherever_it_is_read() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    append(&journal, "default", r#"{"id":"a"}"#).unwrap();
    append_fetched(&journal, "default", Stage::PostConversation, "{}");
    let mut reader = journal.reader().unwrap();
    let origins = |rows: Vec<Row>| rows.iter().map(|row| row.origin).collect::<Vec<_>>();
    let expected = [Origin::Webhook, POST];
    assert_eq!(origins(reader.pending(0, 9, 99).unwrap()), expected);
    assert_eq!(reader.reconciled(ID).unwrap(), Some(2));
    assert_eq!(reader.reconciled("a").unwrap(), None);
    let viewer = Viewer::open(&path).unwrap();
    let mut listed = viewer.list(&ALL).unwrap();
    listed.reverse();
    assert_eq!(
        listed.iter().map(|entry| entry.origin).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(viewer.show(2).unwrap().unwrap().0.origin, POST);
    assert_eq!(viewer.entry(2).unwrap().unwrap().origin, POST);
    let mut walk = viewer.walk(Default::default()).unwrap();
    let walked = walk.page().unwrap().unwrap();
    assert_eq!(
        origins(walked.iter().filter_map(|found| found.row()).collect()),
        expected
    );
    journal.settle(3);
    journal.replay(vec![1, 2], Timestamp::now()).unwrap();
    assert_eq!(
        origins(reader.pending(3, 9, 99).unwrap()),
        expected,
        "also when it is replayed"
    );
    assert_eq!(reader.reconciled(ID).unwrap(), Some(4));
}

#[test]
fn no_webhooks_delivery_can_be_taken_for_it() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    let forged = format!(r#"{{"id":"{ID}"}}"#);
    append(&journal, "default", &forged).unwrap();
    let reader = journal.reader().unwrap();
    assert_eq!(reader.reconciled(ID).unwrap(), None);
    let real = append_fetched(&journal, "default", Stage::PostConversation, &forged);
    assert_eq!(real.kind, AppendedKind::Stored);
    let again = append(&journal, "default", &forged).unwrap();
    assert_eq!((again.kind, again.out_seq), (AppendedKind::Duplicate, 1));
}

#[test]
fn it_goes_with_its_id_when_that_is_old() {
    let (_dir, path) = temp();
    let journal = Journal::open(&path).unwrap();
    append_fetched(&journal, "default", Stage::PostConversation, "{}");
    append(&journal, "default", "{}").unwrap();
    journal.settle(3);
    drop(journal);
    let options = Options {
        retention: Duration::ZERO,
        keep_ids: Duration::ZERO,
        ..Options::default()
    };
    let _journal = Journal::open_with(&path, &options).unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    for table in ["delivery", "seen"] {
        let began = std::time::Instant::now();
        let count = format!("SELECT count(*) FROM {table} WHERE id LIKE 'reconcile-%'");
        while conn
            .query_row(&count, [], |row| row.get::<_, i64>(0))
            .unwrap()
            > 0
        {
            assert!(began.elapsed() < Duration::from_secs(20), "{table}");
            std::thread::yield_now();
        }
    }
}
