//! How far a run has come: a bar on a terminal, a line of the log now and then elsewhere. The list of calls does not say how
//! long it is, so the bar goes from now, or the end of the span, to its beginning.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::cli::output::printable;
use crate::reconcile::{Progress, Report};
use crate::time::Timestamp;

pub(super) struct Bar {
    since: Timestamp,
    until: Timestamp,
    began: Instant,
    is_terminal: bool,
    told_at: Instant,
    is_shown: bool,
}

impl Bar {
    pub(super) fn new(since: Timestamp, until: Option<Timestamp>) -> Self {
        Self {
            since,
            until: until.unwrap_or_else(Timestamp::now),
            began: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
            told_at: Instant::now(),
            is_shown: false,
        }
    }

    /// Takes it away, for a line of the result.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            write("\r\u{1b}[K");
        }
    }

    pub(super) fn show(&mut self, report: &Report) {
        let line = line(
            &report.progress,
            (self.since, self.until),
            self.began.elapsed(),
        );
        let held_up = report.held_up.as_deref().map(printable);
        if self.is_terminal {
            let held_up = held_up.map(|why| format!("  ({why})")).unwrap_or_default();
            write(&format!("\r\u{1b}[K{line}{held_up}"));
            self.is_shown = true;
        } else if self.told_at.elapsed() >= TELL_EVERY {
            self.told_at = Instant::now();
            match held_up {
                Some(why) => tracing::info!("{line}; held up: {why}"),
                None => tracing::info!("{line}"),
            }
        }
    }
}

/// `[#####     ]  42 %  1,204 calls, 37 events fetched, 95 calls/s`
fn line(progress: &Progress, (since, until): (Timestamp, Timestamp), took: Duration) -> String {
    let share = share(progress, since, until);
    let done = (share * WIDTH as f64).round();
    // From 0 to the width.
    let done = done as usize;
    let bar = "#".repeat(done) + &" ".repeat(WIDTH.saturating_sub(done));
    let rate = progress.calls as f64 / took.as_secs_f64().max(0.001);
    format!(
        "[{bar}] {:>3.0} %  {} calls, {} events, {} requests, {rate:.0} calls/s",
        share * 100.0,
        progress.calls,
        progress.fetched,
        progress.requests
    )
}

/// How much of the span lies behind the oldest call that was seen, from 0 to 1.
fn share(progress: &Progress, since: Timestamp, until: Timestamp) -> f64 {
    let Some(reached_ms) = progress.reached_ms else {
        return 0.0;
    };
    let whole = (until.unix_ms() - since.unix_ms()).max(1);
    let behind = (until.unix_ms() - reached_ms).clamp(0, whole);
    behind as f64 / whole as f64
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Whoever closed stderr does without.
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

const WIDTH: usize = 30;
const TELL_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_goes_from_the_end_of_the_span_to_its_beginning() {
        let at = Timestamp::from_unix_ms;
        for (reached_ms, percent) in [
            (None, "  0 %"),
            (Some(3000), "  0 %"),
            (Some(1750), " 25 %"),
            (Some(1000), "100 %"),
            (Some(0), "100 %"),
        ] {
            let progress = Progress {
                calls: 50,
                reached_ms,
                ..Progress::default()
            };
            let line = line(&progress, (at(1000), at(2000)), Duration::from_secs(2));
            assert!(line.contains(percent), "{line}");
            assert!(
                line.contains("50 calls") && line.ends_with("25 calls/s"),
                "{line}"
            );
        }
    }
}
