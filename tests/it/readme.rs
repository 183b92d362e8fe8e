//! The README tells the truth: its configuration loads, and each guarantee names tests that exist.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_atoms-kafka-bridge");

#[test]
fn the_configuration_in_the_readme_loads_also_with_every_comment_taken_away() {
    let printed = block("```toml");
    let uncommented: String = printed
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_ne!(printed, uncommented);
    for text in [printed, uncommented] {
        let dir = TempDir::with_prefix("readme-").unwrap();
        fs::write(dir.path().join("bridge.toml"), &text).unwrap();
        let output = Command::new(BINARY)
            .args(["config", "show"])
            .current_dir(dir.path())
            .env("ATOMS_WEBHOOK_SECRET", "a secret that is long enough")
            .env("ATOMS_WEBHOOK_KEY", "a second factor")
            .env("KAFKA_PASSWORD", "a password")
            .env("REGISTRY_PASSWORD", "another")
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{text}\n{log}");
        assert_eq!(log, "", "no warning either");
    }
}

#[test]
fn every_guarantee_names_tests_that_exist() {
    let readme = readme();
    let section = readme.split("## Guarantees").nth(1).unwrap();
    let table = section.split("**Not promised.**").next().unwrap();
    let sources: String = rust_files("src")
        .into_iter()
        .chain(rust_files("tests"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(2)
        .collect();
    assert!(rows.len() >= 10, "{table}");
    for row in rows {
        let tests = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test in: {row}");
        for name in names.into_iter().filter(|name| !name.starts_with('…')) {
            assert!(
                sources.contains(&format!("fn {name}(")),
                "no test {name}, named in: {row}"
            );
        }
    }
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The first fenced block that begins with this line.
fn block(fence: &str) -> String {
    let readme = readme();
    let behind = readme.split(&format!("{fence}\n")).nth(1).unwrap();
    behind.split("```").next().unwrap().to_owned()
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
