//! Programs of tests/documents and tests/console, in Node and Python, by the packages that `tests/run` fetched for them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Runs `tests/documents/NAME.cjs` and reads the JSON objects that it prints, one a line. Panics when it fails.
pub(crate) fn node(name: &str, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new("node");
    command.env("NODE_PATH", fetched("documents/npm").join("node_modules"));
    run(command, &format!("tests/documents/{name}.cjs"), arguments)
}

/// Runs `tests/console/NAME.cjs`, which drives Chromium, and reads the JSON objects that it prints. Panics when it fails.
pub(crate) fn browser(name: &str, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new("node");
    command.env("NODE_PATH", fetched("console").join("node_modules"));
    run(command, &format!("tests/console/{name}.cjs"), arguments)
}

/// Runs `tests/documents/NAME.py` and reads the JSON objects that it prints, one a line. Panics when it fails.
pub(crate) fn python(name: &str, arguments: &[&str]) -> Vec<Value> {
    run(
        Command::new(interpreter()),
        &format!("tests/documents/{name}.py"),
        arguments,
    )
}

/// The Python that has the packages.
pub(crate) fn interpreter() -> PathBuf {
    fetched("documents/python").join("venv/bin/python")
}

fn run(mut command: Command, file: &str, arguments: &[&str]) -> Vec<Value> {
    let output = command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{error}: {command:?}; run tests/run once as root"));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{command:?}: {printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    printed.lines().map(line).collect()
}

/// What `tests/run` filled in the target directory, such as `documents/npm`.
pub(crate) fn fetched(what: &str) -> PathBuf {
    let bridge = Path::new(env!("CARGO_BIN_EXE_atoms-kafka-bridge"));
    let target = bridge.ancestors().nth(2).expect("target/PROFILE/BINARY");
    let folder = target.join(what);
    assert!(
        folder.join("stamp").is_file(),
        "nothing in {}: run tests/run once, it fetches the packages",
        folder.display()
    );
    folder
}
