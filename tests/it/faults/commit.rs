//! Where a 200 stands: behind the commit, and nowhere else.

use std::time::Duration;

use super::bridge;
use super::sender::Sent;
use crate::harness::kafka::Broker;

#[test]
fn nothing_is_answered_before_the_commit_that_holds_it() {
    let mut bridge = bridge(&Broker::prepare(&[]));
    bridge.arm("journal.before-commit=pause:60000ms");
    bridge.resume();
    let webhooks = bridge.webhooks_address();
    let posting = std::thread::spawn(move || {
        Sent::event("CALL-held", 0, "post-conversation", 0).post(webhooks)
    });
    bridge.await_failpoint("journal.before-commit");
    // An answer that does not wait for the commit is on its way by now: it takes microseconds.
    std::thread::sleep(Duration::from_millis(300));
    bridge.kill9();
    let sent = posting.join().expect("a thread that posts");
    assert!(!sent.answered, "answered 200 before it was on disk");
    bridge.arm("");
    bridge.resume();
    assert_eq!(
        bridge.pending(),
        0,
        "the commit was held, and then the process killed"
    );
    assert!(sent.post(webhooks).answered);
    assert_eq!(bridge.pending(), 1);
}

#[test]
fn a_failpoint_that_nobody_knows_is_an_error() {
    let mut bridge = bridge(&Broker::prepare(&[]));
    bridge.arm("journal.before-comit=kill");
    bridge.launch();
    assert_eq!(bridge.running().wait(LIMIT), 1);
    assert!(
        bridge.log().contains("journal.before-comit"),
        "{}",
        bridge.log()
    );
}

const LIMIT: Duration = Duration::from_secs(20);
