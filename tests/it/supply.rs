//! The supply chain: licences, sources and duplicates are what `.ci/deny.toml` allows, and the bill of materials that
//! `.ci/sbom` prints is one by CycloneDX's own judgement and names what is really in the binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::foreign;

#[test]
fn cargo_deny_finds_nothing_that_is_not_allowed() {
    let dir = TempDir::with_prefix("deny-").unwrap();
    let config = fs::read_to_string(root().join(".ci/deny.toml")).unwrap();
    let judge = |config: &str| deny(dir.path(), config);
    let verdict = judge(&config);
    assert!(verdict.status.success(), "{}", said(&verdict));
    // It would tell.
    for (right, wrong, finding) in [
        ("\"MIT\", ", "", "error[rejected]"),
        (
            "{ crate = \"rustix@0.38\"",
            "{ crate = \"rustix@0.37\"",
            "error[duplicate]",
        ),
        (
            "[sources]\n",
            "[sources]\nallow-registry = []\n",
            "error[source-not-allowed]",
        ),
    ] {
        let spoilt = config.replacen(right, wrong, 1);
        assert_ne!(spoilt, config, "{right}");
        let verdict = judge(&spoilt);
        assert!(
            !verdict.status.success() && said(&verdict).contains(finding),
            "{}",
            said(&verdict)
        );
    }
}

#[test]
fn the_bill_of_materials_is_one_and_says_what_is_in_the_binary() {
    let printed = succeeds(&mut Command::new(root().join(".ci/sbom")));
    let again = succeeds(&mut Command::new(root().join(".ci/sbom")));
    assert!(printed == again, "the same lock file gives the same bytes");
    let bill: Value = serde_json::from_str(&printed).unwrap();
    let dir = TempDir::with_prefix("sbom-").unwrap();
    let judge = |text: &str| {
        let file = dir.path().join("bom.json");
        fs::write(&file, text).unwrap();
        let mut python = Command::new(tools().join("python"));
        let judged = python
            .arg(root().join("tests/deployment/sbom.py"))
            .arg(file)
            .output();
        judged.expect("python is there")
    };
    let verdict = judge(&printed);
    assert!(verdict.status.success(), "{}", said(&verdict));
    assert!(
        !judge(&printed.replacen("\"type\": \"library\"", "\"type\": \"thing\"", 1))
            .status
            .success()
    );

    let components = bill["components"].as_array().unwrap();
    let version = |name: &str| {
        let mut found = components
            .iter()
            .filter(|component| component["name"] == name);
        let version = found.next().unwrap_or_else(|| panic!("no {name}"))["version"]
            .as_str()
            .unwrap();
        assert!(found.next().is_none(), "one {name}");
        version
    };
    assert_eq!(version("sqlite"), rusqlite::version());
    assert_eq!(
        version("librdkafka"),
        rdkafka::util::get_rdkafka_version().1
    );
    let binary = fs::read(env!("CARGO_BIN_EXE_atoms-kafka-bridge")).unwrap();
    let openssl = format!("OpenSSL {} ", version("openssl"));
    assert!(
        memchr::memmem::find(&binary, openssl.as_bytes()).is_some(),
        "{openssl}"
    );
    for name in ["axum", "rustls", "tokio"] {
        version(name);
    }
    for component in components
        .iter()
        .filter(|component| component.get("cpe").is_none())
    {
        assert!(
            component["hashes"][0]["content"].is_string() && component["licenses"].is_array(),
            "{component}"
        );
        // What only tests or builds is not in the program.
        assert!(
            !["proptest", "jsonschema", "cc", "syn"].contains(&component["name"].as_str().unwrap())
        );
    }
}

/// cargo-deny's verdict on this machine's dependencies; nobody is asked.
fn deny(dir: &Path, config: &str) -> Output {
    let (file, metadata) = (dir.join("deny.toml"), dir.join("metadata.json"));
    fs::write(&file, config).unwrap();
    let platform = succeeds(Command::new("rustc").arg("-vV"));
    let platform = platform
        .split("host: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let mut cargo = Command::new("cargo");
    cargo.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--offline",
        "--filter-platform",
        platform,
    ]);
    fs::write(&metadata, succeeds(cargo.current_dir(root()))).unwrap();
    let mut deny = Command::new(tools().join("cargo-deny"));
    deny.args(["--offline", "--color", "never", "--config"])
        .arg(file)
        .arg("--metadata-path")
        .arg(metadata);
    deny.args(["check", "licenses", "bans", "sources"])
        .current_dir(root());
    deny.output()
        .unwrap_or_else(|error| panic!("{error}: {deny:?}"))
}

fn succeeds(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{error}: {command:?}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|said| String::from_utf8_lossy(said))
        .concat()
}

fn tools() -> PathBuf {
    foreign::fetched("deployment/python").join("venv/bin")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
