//! A line for each consumer and framing: what was read and how long that took. `tests/run` prints them as one table.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Notes that a consumer has read so many records.
pub(super) fn row(consumer: &str, framing: &str, read: &str, started: Instant) {
    let folder = target().join("consumers/table");
    fs::create_dir_all(&folder).expect("the target directory is writable");
    let line = format!(
        "| {consumer} | {framing} | {read} | {:.1} s |\n",
        started.elapsed().as_secs_f64()
    );
    print!("{line}");
    let name: String = format!("{consumer} {framing}")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    fs::write(folder.join(name), line).expect("the target directory is writable");
}

/// Where `tests/run` put what the examples need.
pub(super) fn target() -> PathBuf {
    let bridge = Path::new(env!("CARGO_BIN_EXE_atoms-kafka-bridge"));
    let target = bridge.ancestors().nth(2).expect("target/PROFILE/BINARY");
    target.to_owned()
}
