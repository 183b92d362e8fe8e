//! What is to be done about a call, by how the API lists it, what was known of it and what is there of it. Pure.

use std::time::Duration;

use crate::atoms::answers::ListedCall;
use crate::atoms::contract;
use crate::event::Stages;
use crate::journal::ledger::{Listed, Why};
use crate::time::Timestamp;

/// By what a call is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The present.
    pub(super) now: Timestamp,
    /// How long a webhook may take after a call's end.
    pub(super) settling: Duration,
    /// Whether what was judged before is judged anew.
    pub(super) anew: Anew,
    /// Whatever was not known as it is has changed since, if that can be told.
    pub(super) changed_since: Option<Timestamp>,
}

/// Whether what was judged before is judged anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anew {
    /// Only when the call has changed since.
    WhenChanged,
    /// Always: somebody asked.
    Always,
}

/// How the API told of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// In the list, where it comes up again when it changes.
    Listed,
    /// As a further try of another: the list may leave it out.
    AsRetry,
}

/// Whether a call stands as it was known to.
pub(super) fn is_as_known(call: &ListedCall, known: &Listed) -> bool {
    call.status == known.status && call.retry_count == known.retry_count
}

/// What is known of a call from now on, and when it is looked at again.
///
/// `expected`: what its agent subscribes to, if the agent is known; `have`: what is there, or on its way.
pub(super) fn judge(
    call: &ListedCall,
    told: Told,
    known: Option<&Listed>,
    (expected, have): (Option<Stages>, Stages),
    terms: &Terms,
) -> Listed {
    let ended_at = (!contract::goes_on(&call.status)).then(|| ended_at(call, known, terms));
    let known_agent = known.and_then(|known| known.agent_id.clone());
    let mut judged = Listed {
        call_id: call.call_id.clone(),
        agent_id: call.agent_id.clone().or(known_agent),
        status: call.status.clone(),
        retry_count: call.retry_count,
        created_at: call.created_at.unwrap_or(terms.now),
        ended_at,
        expected,
        filled: known.map_or(Stages::NONE, |known| known.filled),
        scan: None,
        next_at: None,
        asked: 0,
        why: None,
        row: None,
    };
    let missing = expected.map(|expected| expected.but(have));
    let Some(ended_at) = ended_at else {
        // Whoever is in the list comes up in it when it ends.
        judged.next_at = (told == Told::AsRetry).then(|| later(terms.now, terms.settling));
        return judged;
    };
    if missing.is_some_and(Stages::is_empty) {
        return judged;
    }
    let known = known.filter(|known| terms.anew == Anew::WhenChanged && is_as_known(call, known));
    match known {
        Some(known) if known.why.is_some() => {
            (judged.next_at, judged.asked, judged.why) = (known.next_at, known.asked, known.why);
        }
        Some(_) | None => {
            judged.next_at = Some(later(ended_at, terms.settling));
            judged.why = Some(Why::Settling);
        }
    }
    if judged.next_at.is_some() {
        judged.row = Some(call.row.get().to_owned());
    }
    judged
}

/// When a call ended that has: a call that went on when it was seen last has just ended; of one that was never seen the
/// row says at least how long it lasted, and it has not ended before it could have been seen.
fn ended_at(call: &ListedCall, known: Option<&Listed>, terms: &Terms) -> Timestamp {
    if let Some(known) = known {
        return known.ended_at.unwrap_or(terms.now);
    }
    let Some(created_at) = call.created_at else {
        return terms.now;
    };
    let lasted = later(created_at, call.duration.unwrap_or_default());
    let changed_since = terms.changed_since.unwrap_or(lasted);
    lasted.max(changed_since).min(terms.now)
}

/// When the API is asked again that had no evaluation for a call, `asked` times now; `None` when that is given up.
pub(super) fn asked_again(
    ended_at: Timestamp,
    asked: u32,
    (settling, patience): (Duration, Duration),
    now: Timestamp,
) -> Option<Timestamp> {
    if now >= later(ended_at, patience) {
        return None;
    }
    let doubled = settling.saturating_mul(1 << asked.min(16));
    Some(later(now, doubled.min(LONGEST_PAUSE)))
}

/// A moment that much later.
pub(super) fn later(moment: Timestamp, by: Duration) -> Timestamp {
    let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(moment.unix_ms().saturating_add(ms))
}

/// A moment that much earlier.
pub(super) fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(moment.unix_ms().saturating_sub(ms))
}

const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use serde_json::value::RawValue;

    const SETTLING: Duration = Duration::from_secs(600);
    const NOW_MS: i64 = 1_778_300_000_000;

    fn now() -> Timestamp {
        Timestamp::from_unix_ms(NOW_MS)
    }

    fn call(status: &str, age: Duration, seconds: f64) -> ListedCall {
        let created = earlier(now(), age);
        let row = json!({ "callId": "CALL-x", "status": status, "agentId": "a", "createdAt": created, "duration": seconds });
        ListedCall::read(RawValue::from_string(row.to_string()).unwrap()).unwrap()
    }

    fn judged(call: &ListedCall, known: Option<&Listed>, have: Stages, anew: Anew) -> Listed {
        let terms = Terms {
            now: now(),
            settling: SETTLING,
            anew,
            changed_since: None,
        };
        judge(call, Told::Listed, known, (Some(Stages::ALL), have), &terms)
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_call_that_goes_on_is_left_alone_and_one_that_ended_then_has_just_ended() {
        let going_on = judged(
            &call("active", HOUR, 0.0),
            None,
            Stages::NONE,
            Anew::WhenChanged,
        );
        assert_eq!(
            (going_on.ended_at, going_on.next_at, going_on.why),
            (None, None, None)
        );
        assert_eq!(going_on.row, None, "nothing of a call is kept without need");
        // It was queued for an hour: what the row says is no end.
        let ended = call("completed", HOUR, 60.0);
        let ended = judged(&ended, Some(&going_on), Stages::NONE, Anew::WhenChanged);
        assert_eq!(ended.ended_at, Some(now()));
        assert_eq!(ended.next_at, Some(later(now(), SETTLING)));
        assert_eq!(ended.why, Some(Why::Settling));
        // Its end stays where it was found.
        let again = judged(
            &call("failed", HOUR, 60.0),
            Some(&ended),
            Stages::NONE,
            Anew::WhenChanged,
        );
        assert_eq!(again.ended_at, Some(now()));
    }

    #[test]
    fn a_further_try_that_goes_on_is_asked_for_again() {
        let terms = Terms {
            now: now(),
            settling: SETTLING,
            anew: Anew::WhenChanged,
            changed_since: None,
        };
        let call = call("in_queue", HOUR, 0.0);
        let judged = judge(
            &call,
            Told::AsRetry,
            None,
            (Some(Stages::ALL), Stages::NONE),
            &terms,
        );
        assert_eq!(
            (judged.ended_at, judged.next_at),
            (None, Some(later(now(), SETTLING)))
        );
    }

    #[test]
    fn a_call_that_was_never_seen_ended_when_its_row_says() {
        let ended = judged(
            &call("completed", HOUR, 60.0),
            None,
            Stages::NONE,
            Anew::WhenChanged,
        );
        let end = earlier(now(), HOUR - Duration::from_secs(60));
        assert_eq!(ended.ended_at, Some(end));
        assert!(ended.next_at < Some(now()), "it has settled");
        assert!(ended.row.is_some());
        let odd = judged(
            &call("completed", HOUR, 1e9),
            None,
            Stages::NONE,
            Anew::WhenChanged,
        );
        assert_eq!(odd.ended_at, Some(now()), "nothing ends in the future");
        let terms = Terms {
            now: now(),
            settling: SETTLING,
            anew: Anew::WhenChanged,
            changed_since: Some(earlier(now(), SETTLING)),
        };
        let call = call("completed", HOUR, 60.0);
        let what = (Some(Stages::ALL), Stages::NONE);
        let waited = judge(&call, Told::Listed, None, what, &terms);
        assert_eq!(
            waited.ended_at, terms.changed_since,
            "it was queued for long"
        );
    }

    #[test]
    fn what_has_everything_is_done() {
        for status in ["completed", "no_answer", "a word that nobody knows"] {
            let done = judged(
                &call(status, HOUR, 1.0),
                None,
                Stages::ALL,
                Anew::WhenChanged,
            );
            assert_eq!((done.next_at, done.why, done.row), (None, None, None));
        }
        let terms = Terms {
            now: now(),
            settling: SETTLING,
            anew: Anew::WhenChanged,
            changed_since: None,
        };
        let call = call("completed", HOUR, 1.0);
        let others = judge(
            &call,
            Told::Listed,
            None,
            (Some(Stages::NONE), Stages::NONE),
            &terms,
        );
        assert_eq!(others.next_at, None, "nobody expects anything");
        let unknown = judge(&call, Told::Listed, None, (None, Stages::NONE), &terms);
        assert!(unknown.next_at.is_some(), "its agent is to be found out");
    }

    #[test]
    fn what_waits_or_was_given_up_stays_so_until_the_call_changes_or_somebody_asks() {
        let completed = call("completed", HOUR, 1.0);
        let first = judged(&completed, None, Stages::NONE, Anew::WhenChanged);
        let given_up = Listed {
            next_at: None,
            asked: 3,
            why: Some(Why::NoAnalytics),
            ..first.clone()
        };
        let waits = Listed {
            next_at: Some(later(now(), HOUR)),
            asked: 2,
            why: Some(Why::NoAnalyticsYet),
            ..first
        };
        for known in [given_up, waits] {
            let same = judged(&completed, Some(&known), Stages::NONE, Anew::WhenChanged);
            assert_eq!(
                (same.next_at, same.asked, same.why),
                (known.next_at, known.asked, known.why)
            );
            let changed = judged(
                &call("failed", HOUR, 1.0),
                Some(&known),
                Stages::NONE,
                Anew::WhenChanged,
            );
            let anew = judged(&completed, Some(&known), Stages::NONE, Anew::Always);
            for judged in [changed, anew] {
                assert_eq!((judged.asked, judged.why), (0, Some(Why::Settling)));
                assert!(judged.next_at < Some(now()));
            }
        }
    }

    #[test]
    fn pauses_grow_to_a_limit_and_end_with_the_patience() {
        let patience = 24 * HOUR;
        let pause = |asked, ended_ago| {
            let ended_at = earlier(now(), ended_ago);
            let again = asked_again(ended_at, asked, (SETTLING, patience), now())?;
            Some(again.unix_ms() - NOW_MS)
        };
        assert_eq!(pause(1, HOUR), Some(1_200_000));
        assert_eq!(pause(2, HOUR), Some(2_400_000));
        assert_eq!(pause(40, HOUR), Some(6 * 3_600_000));
        assert_eq!(pause(1, patience), None);
    }
}
