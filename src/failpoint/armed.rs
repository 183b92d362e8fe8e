//! What a build with the feature `failpoints` does at them: whatever `ATOMS_BRIDGE_FAILPOINTS` says.
//!
//! `NAME=kill@7` ends the process as kill -9 would at the seventh hit, `NAME=pause:500ms@3` holds the thread at the third,
//! `NAME=panic@2` lets it panic at the second; without `@` it is the first. Several are separated by commas.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::NAMES;

/// The variable that arms them.
pub const VARIABLE: &str = "ATOMS_BRIDGE_FAILPOINTS";

/// Reads the variable.
///
/// # Errors
///
/// What cannot be understood in it.
pub fn check() -> Result<(), FailpointError> {
    let text = std::env::var(VARIABLE).unwrap_or_default();
    let armed = text
        .split(',')
        .filter(|one| !one.is_empty())
        .map(Armed::parse)
        .collect::<Result<_, _>>()?;
    // A second reading finds the same.
    let _ = ARMED.set(armed);
    Ok(())
}

/// The process came to the place of that name.
pub fn hit(name: &str) {
    for armed in ARMED.get().into_iter().flatten() {
        assert!(NAMES.contains(&name), "{name} is not listed");
        if armed.name == name && armed.hits.fetch_add(1, Ordering::Relaxed) + 1 == armed.at {
            tracing::warn!("failpoint {name} reached");
            armed.action.take_place();
        }
    }
}

/// Why [`VARIABLE`] arms nothing.
#[derive(Debug, thiserror::Error)]
pub enum FailpointError {
    /// No failpoint has that name.
    #[error("{VARIABLE} names {0:?}, which is none of {NAMES:?}")]
    Unknown(String),
    /// An entry of another form.
    #[error(
        "{VARIABLE} has {0:?}; write NAME=kill@HITS, NAME=panic@HITS or NAME=pause:MILLISECONDSms@HITS"
    )]
    Form(String),
}

/// What is to happen at a hit of a failpoint.
#[derive(Debug)]
struct Armed {
    name: &'static str,
    action: Action,
    at: u64,
    hits: AtomicU64,
}

#[derive(Debug)]
enum Action {
    Kill,
    Panic,
    Pause(Duration),
}

impl Armed {
    fn parse(text: &str) -> Result<Self, FailpointError> {
        let form = || FailpointError::Form(text.to_owned());
        let (name, rest) = text.split_once('=').ok_or_else(form)?;
        let known = NAMES.into_iter().find(|known| *known == name);
        let (action, at) = rest.split_once('@').unwrap_or((rest, "1"));
        Ok(Self {
            name: known.ok_or_else(|| FailpointError::Unknown(name.to_owned()))?,
            action: Action::parse(action).ok_or_else(form)?,
            at: at.parse().map_err(|_| form())?,
            hits: AtomicU64::new(0),
        })
    }
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        if text == "kill" {
            return Some(Self::Kill);
        }
        if text == "panic" {
            return Some(Self::Panic);
        }
        let ms = text.strip_prefix("pause:")?.strip_suffix("ms")?;
        Some(Self::Pause(Duration::from_millis(ms.parse().ok()?)))
    }

    fn take_place(&self) {
        match self {
            // No destructor runs and nothing is flushed: to the journal and to Kafka, the same as kill -9.
            Self::Kill => std::process::abort(),
            Self::Panic => panic!("a failpoint"),
            Self::Pause(time) => std::thread::sleep(*time),
        }
    }
}

static ARMED: OnceLock<Vec<Armed>> = OnceLock::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_armed_is_an_error() {
        let parsed = Armed::parse("publish.before-commit=pause:500ms@3").expect("a failpoint");
        assert_eq!((parsed.name, parsed.at), ("publish.before-commit", 3));
        for bad in [
            "publish.before-commit",
            "publish.befor-commit=kill",
            "journal.settling=pause:5",
            "journal.settling=kill@x",
        ] {
            assert!(Armed::parse(bad).is_err(), "{bad}");
        }
    }
}
