//! Keeps every log line that a bridge of these tests prints, and the secrets that it was given, so that the lines can be
//! searched when all tests are over: `logs.rs` does.
//!
//! `tests/run` empties the folder before a run; without it the folder grows.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Where the logs are kept.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("logs")
}

/// Lets `stderr.log` in the directory of a process that is about to start be a kept file.
pub(crate) fn keep(dir: &Path) {
    let link = dir.join("stderr.log");
    if link.symlink_metadata().is_ok() {
        return;
    }
    let kept = file("log");
    OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(&kept)
        .expect("the target directory is writable");
    symlink(kept, link).expect("the directory is writable");
}

/// Keeps what a command printed to standard error.
pub(crate) fn keep_output(stderr: &[u8]) {
    if !stderr.is_empty() {
        fs::write(file("log"), stderr).expect("the target directory is writable");
    }
}

/// Notes the secrets among variables and in a configuration, by which the logs are to be searched.
pub(crate) fn note_secrets<'a>(
    variables: impl IntoIterator<Item = (&'a String, &'a String)>,
    configuration: &str,
) {
    let is_secret = |name: &str| SECRET_NAMES.iter().any(|part| name.contains(part));
    let is_place = |value: &str| {
        ["env:", "file:", "/"]
            .iter()
            .any(|begin| value.starts_with(begin))
    };
    let of_variables = variables
        .into_iter()
        .filter(|(name, value)| is_secret(name) && !is_place(value))
        .map(|(_, value)| value.trim_start_matches("literal:"));
    let of_file = configuration
        .split("literal:")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let secrets: Vec<&str> = of_variables
        .chain(of_file)
        .filter(|secret| secret.len() >= SHORTEST)
        .collect();
    let mut noted = OpenOptions::new()
        .create(true)
        .append(true)
        .open(prepared(&format!("{}.secrets", std::process::id())))
        .expect("the target directory is writable");
    for secret in secrets {
        // One write, so that lines of other tests do not come between.
        let line = format!("{secret}\n");
        noted.write_all(line.as_bytes()).expect("it is writable");
    }
}

/// A new file, named after the test.
fn file(extension: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let test = thread::current()
        .name()
        .unwrap_or("unnamed")
        .replace("::", ".");
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    prepared(&format!(
        "{test}-{}-{number}.{extension}",
        std::process::id()
    ))
}

fn prepared(name: &str) -> PathBuf {
    fs::create_dir_all(folder()).expect("the target directory is writable");
    folder().join(name)
}

const SECRET_NAMES: [&str; 5] = ["SECRET", "PASSWORD", "TOKEN", "API_KEY", "__HEADER"];
/// Shorter ones would be found in words.
const SHORTEST: usize = 6;
