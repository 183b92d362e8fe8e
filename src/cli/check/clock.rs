//! This machine's clock beside those of others: the registry's `Date`, and the limits that Kafka sets to timestamps.
//!
//! Only what was seen is told. Kafka's limits are wide, and so is what they prove; without a registry a clock that is
//! some minutes off stays unseen.

use super::finding::Finding;
use crate::cli::output::span_for_people;
use crate::publish::rights::{CLOCK_MARGIN, Clock};

/// What others showed of this machine's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Clocks {
    /// Ahead of the registry's.
    pub(super) registry_ahead_ms: Option<i64>,
    /// By what Kafka takes as the present or nearly so.
    pub(super) kafka: Clock,
    /// Whether Kafka refused the time of receipt of what `check` sent; `None` when nothing arrived.
    pub(super) is_refused: Option<bool>,
}

/// Judges them.
pub(super) fn clock(clocks: Clocks) -> Vec<Finding> {
    let minutes = CLOCK_MARGIN.as_secs() / 60;
    if clocks.kafka == Clock::Behind {
        let what = format!("this machine's clock is more than {minutes} min behind the brokers'");
        return vec![Finding::failure("clock", what, SET)];
    }
    if clocks.is_refused == Some(true) {
        let what = "Kafka refuses records of now: this machine's clock is further from the brokers' than they allow";
        let todo = "set it (chrony, NTP), or widen message.timestamp.after.max.ms and .before.max.ms of the topics";
        return vec![Finding::failure("clock", what, todo)];
    }
    if let Some(ahead_ms) = clocks.registry_ahead_ms {
        return vec![beside_registry(ahead_ms)];
    }
    vec![match (clocks.kafka, clocks.is_refused) {
        (Clock::Unknown | Clock::Behind, _) => Finding {
            state: super::finding::State::NotRun,
            what: "not run: nothing that was reached tells the time".to_owned(),
            ..Finding::warning(
                "clock",
                "",
                "see that this machine's clock is kept (chrony, NTP)",
            )
        },
        (Clock::NotBehind, Some(false)) => Finding::ok(
            "clock",
            format!(
                "not more than {minutes} min behind the brokers', nor further ahead than they allow"
            ),
        ),
        (Clock::NotBehind, _) => Finding::ok(
            "clock",
            format!("not more than {minutes} min behind the brokers'"),
        ),
    }]
}

fn beside_registry(ahead_ms: i64) -> Finding {
    let by = span_for_people(ahead_ms.unsigned_abs());
    let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let what = format!("{by} {way} the registry's clock");
    match ahead_ms.unsigned_abs() {
        0..UNSURE_MS => Finding::ok("clock", "as the registry's, to a few seconds"),
        UNSURE_MS..WRONG_MS => Finding::warning("clock", what, SET),
        WRONG_MS.. => Finding::failure("clock", what, SET),
    }
}

/// A `Date` is whole seconds, and an answer takes time.
const UNSURE_MS: u64 = 5_000;
const WRONG_MS: u64 = 60_000;
const SET: &str =
    "set it, and have it kept (chrony, NTP): records are stamped by it, and retention goes by that";

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn only_what_was_seen_is_told() {
        let clocks = |registry_ahead_ms, kafka, is_refused| Clocks {
            registry_ahead_ms,
            kafka,
            is_refused,
        };
        for (seen, state, part) in [
            (clocks(None, Clock::Unknown, None), State::NotRun, "nothing"),
            (
                clocks(None, Clock::Unknown, Some(false)),
                State::NotRun,
                "nothing",
            ),
            (
                clocks(None, Clock::NotBehind, Some(false)),
                State::Ok,
                "10 min",
            ),
            (
                clocks(Some(900), Clock::Unknown, None),
                State::Ok,
                "registry",
            ),
            (
                clocks(Some(-30_000), Clock::NotBehind, Some(false)),
                State::Warning,
                "30s behind",
            ),
            (
                clocks(Some(7_200_000), Clock::Unknown, None),
                State::Failure,
                "2h 0m ahead",
            ),
            (
                clocks(Some(0), Clock::Behind, None),
                State::Failure,
                "more than 10 min behind",
            ),
            (
                clocks(None, Clock::NotBehind, Some(true)),
                State::Failure,
                "refuses records of now",
            ),
        ] {
            let found = clock(seen);
            assert_eq!(found[0].state, state, "{seen:?}");
            assert!(found[0].what.contains(part), "{found:?}");
        }
    }
}
