//! The journal's disk, its file, and who has it open.

use std::path::Path;
use std::time::Duration;

use super::finding::{Finding, have_failed};
use crate::cli::output::bytes_for_people;
use crate::config::Config;
use crate::journal::ReadError;
use crate::journal::look::{Ground, GroundKind, fsync_takes, ground};
use crate::journal::read::Viewer;

/// Space, kind and speed of the disk.
pub(super) fn disk(config: &Config) -> Vec<Finding> {
    let path = &config.journal.path;
    let ground = match ground(path) {
        Ok(ground) => ground,
        Err(error) => {
            return vec![Finding::failure(
                "disk",
                format!("the journal cannot be at {}: {error}", path.display()),
                "correct journal.path, or what stands in its way",
            )];
        }
    };
    let mut findings: Vec<Finding> = [kind(&ground), space(&ground, config.journal.max_bytes)]
        .into_iter()
        .flatten()
        .collect();
    if !have_failed(&findings) {
        findings.push(speed(&ground));
    }
    findings
}

fn kind(ground: &Ground) -> Option<Finding> {
    let at = ground.directory.display();
    match ground.kind {
        GroundKind::Local => None,
        GroundKind::Network(name) => Some(Finding::failure(
            "disk",
            format!(
                "{at} is on a network file system ({name}), where locks and fsync cannot be trusted"
            ),
            "give journal.path a local disk; `serve` refuses this one",
        )),
        GroundKind::Memory(name) => Some(Finding::failure(
            "disk",
            format!("{at} is in memory ({name}): what is answered 200 is gone with the power"),
            "give journal.path a disk",
        )),
        GroundKind::Layer(name) => Some(Finding::warning(
            "disk",
            format!("{at} is on a container's own layer ({name}) and goes with the container"),
            "mount a volume where journal.path is",
        )),
    }
}

fn space(ground: &Ground, max_bytes: u64) -> Option<Finding> {
    let (free, floor) = (ground.free_bytes, ground.floor_bytes);
    let told = |least: u64| {
        format!(
            "{} free at {}, {} are needed",
            bytes_for_people(free),
            ground.directory.display(),
            bytes_for_people(least)
        )
    };
    if free < floor {
        let what = format!("{}: deliveries are answered 503", told(floor));
        Some(Finding::failure("disk", what, "make room there"))
    } else if free < max_bytes.saturating_add(floor) {
        let what = format!(
            "{} for journal.max_bytes",
            told(max_bytes.saturating_add(floor))
        );
        Some(Finding::warning(
            "disk",
            what,
            "make room, or lower journal.max_bytes; a long outage of Kafka would fill the disk",
        ))
    } else {
        None
    }
}

fn speed(ground: &Ground) -> Finding {
    let (at, free) = (
        ground.directory.display(),
        bytes_for_people(ground.free_bytes),
    );
    match fsync_takes(&ground.directory) {
        Ok(took) => judge_speed(took, &format!("{free} free at {at}")),
        Err(error) => Finding::failure(
            "disk",
            format!("cannot write to {at}: {error}"),
            "let the user that runs the bridge write there; run `check` as that user",
        ),
    }
}

/// Every answer waits for an fsync. A disk that turns takes some tens of milliseconds; the sender waits 30 s.
fn judge_speed(took: Duration, place: &str) -> Finding {
    let what = format!("{place}, an fsync takes {:.1} ms", took.as_secs_f64() * 1e3);
    if took >= FAR_TOO_SLOW {
        let todo = "give journal.path another disk: answers may come too late for the sender";
        Finding::failure("disk", what, todo)
    } else if took >= SLOW {
        let todo =
            "every answer waits for one: give journal.path a faster disk, or one with less load";
        Finding::warning("disk", what, todo)
    } else {
        Finding::ok("disk", what)
    }
}

/// The journal's file, if there is one.
pub(super) fn journal(path: &Path) -> Vec<Finding> {
    let looked = Viewer::open(path).and_then(|viewer| viewer.status());
    vec![match looked {
        Ok(status) => Finding::ok(
            "journal",
            format!(
                "{}: {} pending, {} published, {} dead",
                path.display(),
                status.pending,
                status.published,
                status.dead
            ),
        ),
        Err(ReadError::Missing(_)) => Finding::ok(
            "journal",
            format!("none at {} yet, `serve` creates it", path.display()),
        ),
        Err(error) => Finding::of_error("journal", &error)
            .or_do("correct journal.path, or move the file aside and keep it; run `check` as the bridge's user"),
    }]
}

const SLOW: Duration = Duration::from_millis(50);
const FAR_TOO_SLOW: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_slow_disk_is_told_with_its_milliseconds() {
        for (ms, state) in [
            (1, State::Ok),
            (49, State::Ok),
            (50, State::Warning),
            (2000, State::Failure),
        ] {
            let finding = judge_speed(Duration::from_millis(ms), "1 GiB free at x");
            assert_eq!(finding.state, state, "{ms}");
            assert!(finding.what.contains(&format!("{ms}.0 ms")), "{finding:?}");
        }
    }

    #[test]
    fn space_is_held_against_the_floor_and_what_the_journal_may_take() {
        let at = |free_bytes, kind| Ground {
            directory: "x".into(),
            kind,
            free_bytes,
            floor_bytes: 10,
        };
        let state = |free| space(&at(free, GroundKind::Local), 100).map(|found| found.state);
        assert_eq!(state(9), Some(State::Failure));
        assert_eq!(state(109), Some(State::Warning));
        assert_eq!(state(110), None);
    }

    #[test]
    fn a_kind_of_file_system_is_refused_warned_of_or_fine() {
        let state = |kind| {
            let ground = Ground {
                directory: "x".into(),
                kind,
                free_bytes: 0,
                floor_bytes: 0,
            };
            super::kind(&ground).map(|found| found.state)
        };
        assert_eq!(state(GroundKind::Local), None);
        assert_eq!(state(GroundKind::Network("NFS")), Some(State::Failure));
        assert_eq!(state(GroundKind::Memory("tmpfs")), Some(State::Failure));
        assert_eq!(state(GroundKind::Layer("overlayfs")), Some(State::Warning));
    }
}
