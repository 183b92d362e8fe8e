//! Runs probes side by side, each with its own time limit, and tells which are under way.
//!
//! A probe that takes too long or panics is a failure of its own line and of no other. What blocks runs on a thread
//! that is left behind then; the process ends without it.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::finding::Finding;

/// Which probes are under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Board(Arc<Mutex<BTreeMap<&'static str, Instant>>>);

impl Board {
    /// Runs a probe.
    pub(super) async fn probe(
        &self,
        check: &'static str,
        limit: Duration,
        probe: impl Future<Output = Vec<Finding>> + Send + 'static,
    ) -> Vec<Finding> {
        self.running().insert(check, Instant::now());
        // A task of its own, so that a panic in it is told and not passed on.
        let task = tokio::spawn(probe);
        let found = match tokio::time::timeout(limit, task).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => vec![Finding::failure(
                check,
                "the probe itself failed",
                "report it, with the lines above",
            )],
            Err(_) => vec![Finding::failure(
                check,
                format!("no answer within {} s", limit.as_secs()),
                "see whether what is asked here is frozen or overloaded",
            )],
        };
        self.running().remove(check);
        found
    }

    /// Runs a probe that blocks.
    pub(super) async fn blocking(
        &self,
        check: &'static str,
        limit: Duration,
        probe: impl FnOnce() -> Vec<Finding> + Send + 'static,
    ) -> Vec<Finding> {
        let joined = async {
            let found = tokio::task::spawn_blocking(probe).await;
            found.expect("a panic is passed on to the probe's task")
        };
        self.probe(check, limit, joined).await
    }

    /// Tells on stderr what is waited for, for as long as it is polled: on a terminal at one place, elsewhere now and
    /// then as a line of the log.
    pub(super) async fn tell(&self) {
        let on_terminal = io::stderr().is_terminal();
        let every = if on_terminal { SOON } else { SELDOM };
        let _clear = Clear(on_terminal);
        loop {
            tokio::time::sleep(every).await;
            let waiting = self.waiting();
            if waiting.is_empty() {
                continue;
            }
            if on_terminal {
                // Without stderr nobody reads it.
                let _ = write!(io::stderr().lock(), "\r{CLEAR}waiting for {waiting}");
            } else {
                tracing::info!("waiting for {waiting}");
            }
        }
    }

    fn waiting(&self) -> String {
        let running = self.running();
        let told = running
            .iter()
            .map(|(check, since)| format!("{check} ({} s)", since.elapsed().as_secs()));
        told.collect::<Vec<_>>().join(", ")
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<&'static str, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the progress away before results are written.
struct Clear(bool);

impl Drop for Clear {
    fn drop(&mut self) {
        if self.0 {
            let _ = write!(io::stderr().lock(), "\r{CLEAR}");
        }
    }
}

/// Clears a terminal's line to its end.
const CLEAR: &str = "\u{1b}[K";
const SOON: Duration = Duration::from_millis(250);
const SELDOM: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::finding::State;

    #[tokio::test]
    async fn a_probe_that_hangs_or_panics_is_its_own_failure() {
        let board = Board::default();
        let soon = Duration::from_millis(5);
        let long = Duration::from_secs(60);
        let (hung, panicked, well) = tokio::join!(
            board.probe("a", soon, std::future::pending()),
            board.blocking("b", long, || panic!("on purpose")),
            board.blocking("c", long, || vec![Finding::ok("c", "well")]),
        );
        assert_eq!(hung[0].state, State::Failure);
        assert!(hung[0].what.contains("no answer within"));
        assert_eq!(panicked[0].what, "the probe itself failed");
        assert_eq!(well[0].state, State::Ok);
        assert_eq!(board.waiting(), "");
    }
}
