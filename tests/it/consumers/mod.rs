//! The consumers of `examples/`, each run as its page says, against the real broker, on what the bridge published.
//!
//! Each must find exactly what was sent: every event, none twice where it deduplicates, whatever was replayed and in
//! whatever order stages came. What each read is also a row of the table that `tests/run` prints.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::java;

mod connect;
mod flink;
mod kcat;
mod load;
mod node;
mod postgres;
mod python;
mod streams;
mod table;

/// Where `tests/run` put what an example needs, such as `python/venv`.
fn fetched(path: &str) -> PathBuf {
    let fetched = java::brought("consumers").join(path);
    assert!(
        fetched.exists(),
        "no {}: run tests/run once, it fetches what the examples need",
        fetched.display()
    );
    fetched
}

/// A file or folder of `examples/`.
fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(path)
}

/// Runs a program that ends by itself, and returns what it printed. Panics when it fails.
fn run<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> String {
    let output = try_run(program, arguments);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (out, log) = (text(output.stdout), text(output.stderr));
    assert!(
        output.status.success(),
        "{}: {}\n{out}\n{log}",
        program.display(),
        output.status
    );
    out
}

/// [`run`] for a program that may fail.
fn try_run<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> Output {
    Command::new("timeout")
        .arg(load::LIMIT.as_secs().to_string())
        .arg(program)
        .args(arguments)
        .output()
        .expect("timeout is in coreutils")
}
