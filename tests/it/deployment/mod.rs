//! What `examples/` and the Dockerfile say of running the bridge is what the binary does, and the tools that will read
//! those files accept them.
//!
//! The tools are the real ones (kubectl, kubernetes-validate, systemd-analyze, docker-compose, hadolint); none of them needs
//! a cluster, systemd running, or a container engine. What only those could show is tried with the kernel's own means: the
//! bridge runs in the image's file system under the manifest's restrictions.

mod compose;
mod container;
mod image;
mod kubernetes;
mod operations;
mod systemd;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use atoms_kafka_bridge::cli::Cli;
use clap::Parser;
use serde_json::Value;

use crate::harness::foreign;

/// A file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents of a YAML file.
fn yaml(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A tool that `tests/run` fetched for these tests.
fn tool(name: &str) -> Command {
    Command::new(
        foreign::fetched("deployment/python")
            .join("venv/bin")
            .join(name),
    )
}

/// What a command printed, to either stream; panics when it fails.
fn succeeds(command: &mut Command) -> String {
    let output = output(command);
    let said = said(&output);
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

fn output(command: &mut Command) -> Output {
    let run = command.output();
    run.unwrap_or_else(|error| panic!("{error}: {command:?}; run tests/run once as root"))
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|said| String::from_utf8_lossy(said))
        .concat()
}

/// The effective configuration by its keys, as the binary reads this file with these variables and without a complaint.
fn shown(file: Option<&Path>, variables: &[(String, String)]) -> BTreeMap<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atoms-kafka-bridge"));
    command.args(["config", "show", "--json"]);
    command.current_dir("/").env_clear();
    command.envs(variables.iter().cloned());
    if let Some(file) = file {
        command.arg("--config").arg(file);
    }
    let output = output(&mut command);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no warning");
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines = printed.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (
            text(&line["key"]).to_owned(),
            text(&line["value"]).to_owned(),
        )
    });
    lines.collect()
}

/// The arguments behind the program's name are a command of the bridge.
fn parses(arguments: &[&str]) -> Cli {
    let line = ["atoms-kafka-bridge"].iter().chain(arguments);
    Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// What the README promises that memory stays below.
fn memory_bytes(max_body: u64, connections: u64) -> u64 {
    assert!(
        read("README.md")
            .contains("2 × (256 MiB + `listen.max_body`) + 64 MiB + 32 KiB for each connection")
    );
    2 * ((256 << 20) + max_body) + (64 << 20) + (connections << 15)
}

/// A size as Kubernetes, systemd or the configuration spells it: 768Mi, 768M of systemd, 8GiB.
fn bytes(size: &str) -> u64 {
    let digits = size.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &size[digits.len()..] {
        "" => 0,
        "K" | "Ki" | "KiB" => 10,
        "M" | "Mi" | "MiB" | "m" => 20,
        "G" | "Gi" | "GiB" => 30,
        other => panic!("{other} in {size}"),
    };
    digits.parse::<u64>().unwrap() << unit
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
}

/// What the Dockerfile's last stage says with one of its instructions, such as `USER`.
fn instruction(name: &str) -> String {
    let dockerfile = read("Dockerfile");
    let last = dockerfile.rsplit("\nFROM ").next().unwrap();
    let mut lines = last.lines().filter_map(|line| line.strip_prefix(name));
    let found = lines
        .next()
        .unwrap_or_else(|| panic!("no {name} in the Dockerfile"));
    assert_eq!(lines.next(), None, "one {name}");
    found.trim().to_owned()
}

/// Where the image keeps the journal.
fn journal_in_the_image() -> PathBuf {
    let variable = instruction("ENV");
    let (name, path) = variable.split_once('=').unwrap();
    assert_eq!(name, "ATOMS_BRIDGE__JOURNAL__PATH");
    PathBuf::from(path)
}

/// Connections that the examples allow for.
const CONNECTIONS: u64 = 4000;
/// What the README promises of a SIGTERM.
const STOPS_WITHIN_SECONDS: u64 = 10;
