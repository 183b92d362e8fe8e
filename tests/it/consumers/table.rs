//! A line for each consumer and framing: what was read and how long that took. `tests/run` prints them as one table.

use std::fs;
use std::time::Instant;

use super::load::Framing;
use crate::harness::java;

/// One line of the table.
pub(super) struct Row {
    /// The consumer and its version.
    pub(super) consumer: String,
    /// The client that asks the registry, if one does.
    pub(super) registry: &'static str,
    /// Where the records said which schema they were written with.
    pub(super) framing: Framing,
    /// What was read.
    pub(super) read: String,
}

impl Row {
    /// Writes the line beside the others.
    pub(super) fn write(&self, started: Instant) {
        let folder = java::brought("consumers/table");
        fs::create_dir_all(&folder).expect("the target directory is writable");
        let seconds = started.elapsed().as_secs_f64();
        let (consumer, registry, read) = (&self.consumer, self.registry, &self.read);
        let framing = self.framing.name();
        let line = format!("| {consumer} | {framing} | {registry} | {read} | {seconds:.1} s |\n");
        print!("{line}");
        let name = format!("{consumer} {framing} {registry}").replace(['/', ' '], "-");
        fs::write(folder.join(name), line).expect("the target directory is writable");
    }
}

/// No client asks a registry.
pub(super) const WITHOUT: &str = "without";
/// Where a consumer ends rather than to skip what it cannot read.
pub(super) const REFUSED: &str = "refused at the first record, none skipped";
