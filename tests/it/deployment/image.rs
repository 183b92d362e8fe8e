//! The Dockerfile: its own tool takes it, and the image has what the build reads and what the binary links. The compiling
//! itself, which takes minutes, is left to whoever has a container engine.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::container::libraries;
use super::{instruction, journal_in_the_image, output, read, root, said, succeeds, tool};

#[test]
fn hadolint_has_nothing_against_the_dockerfile() {
    let dockerfile = root().join("Dockerfile");
    assert_eq!(succeeds(tool("hadolint").arg(&dockerfile)), "");
    // It would tell.
    let dir = TempDir::with_prefix("dockerfile-").unwrap();
    let spoilt = dir.path().join("Dockerfile");
    fs::write(
        &spoilt,
        read("Dockerfile").replace("--no-install-recommends", ""),
    )
    .unwrap();
    let output = output(tool("hadolint").arg(spoilt));
    assert!(
        !output.status.success() && said(&output).contains("DL3015"),
        "{}",
        said(&output)
    );
}

#[test]
fn the_image_has_what_the_build_reads() {
    let copied = copied();
    for file in included() {
        assert!(
            copied.iter().any(|copied| file.starts_with(copied)),
            "{} is not copied",
            file.display()
        );
    }
    for copied in &copied {
        assert!(root().join(copied).exists(), "{copied}");
        assert!(
            read(".dockerignore").contains(&format!("!{copied}\n")),
            "{copied} is ignored"
        );
    }
}

#[test]
fn the_dependencies_alone_are_a_package_that_cargo_takes() {
    let dir = TempDir::with_prefix("build-").unwrap();
    for file in ["Cargo.toml", "Cargo.lock"] {
        fs::copy(root().join(file), dir.path().join(file)).unwrap();
    }
    let dockerfile = read("Dockerfile");
    let (_, step) = dockerfile
        .split_once("COPY Cargo.toml Cargo.lock ./\nRUN ")
        .unwrap();
    let (step, _) = step.split_once("\n\n").unwrap();
    assert_eq!(step.matches(BUILD).count(), 1, "{step}");
    // All but the compiling, which takes minutes.
    let step = step.replace(
        BUILD,
        "cargo metadata --format-version 1 --no-deps --locked --offline",
    );
    let mut shell = Command::new("sh");
    let printed = succeeds(shell.args(["-c", &step]).current_dir(dir.path()));
    assert!(printed.contains("\"kind\":[\"bin\"]"), "{printed}");
}

#[test]
fn both_stages_are_one_debian_and_the_final_one_has_what_the_binary_links() {
    let dockerfile = read("Dockerfile");
    let from: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "))
        .collect();
    let [build, last] = from[..] else {
        panic!("{from:?}")
    };
    assert!(build.contains("-bookworm ") && last.starts_with("debian:bookworm-"));
    let rust = build
        .strip_prefix("rust:1.")
        .unwrap()
        .split('-')
        .next()
        .unwrap();
    let manifest = read("Cargo.toml");
    let (_, least) = manifest.split_once("rust-version = \"1.").unwrap();
    assert!(rust.parse::<u32>().unwrap() >= least.split('"').next().unwrap().parse().unwrap());

    let libraries = libraries();
    let names: BTreeSet<&str> = libraries
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert!(names.contains("libc.so.6"));
    for name in names {
        // Of the packages libc6 and libgcc-s1, which every Debian has.
        assert!(
            ["libc.so.6", "libm.so.6", "libgcc_s.so.1"].contains(&name)
                || name.starts_with("ld-linux"),
            "{name}"
        );
    }
    let directory = journal_in_the_image();
    let directory = directory.parent().unwrap().to_str().unwrap();
    assert_eq!(
        (instruction("VOLUME"), instruction("WORKDIR")),
        (directory.to_owned(), directory.to_owned())
    );
    assert!(last_stage().contains(&format!("-o bridge -g bridge {directory}\n")));
}

/// What the build stage copies from the repository.
fn copied() -> Vec<String> {
    let dockerfile = read("Dockerfile");
    let lines = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "));
    let own = lines.filter(|line| !line.starts_with("--from"));
    own.flat_map(|line| {
        let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        words.pop();
        words
    })
    .collect()
}

/// The files that are compiled into the binary, from the repository's root.
fn included() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(&path).unwrap_or_default();
            let compiled = source.split("#[cfg(test)]").next().unwrap();
            for named in compiled.split("include_").skip(1) {
                let Some((_, rest)) = named.split_once("!(\"") else {
                    continue;
                };
                let file = folder.join(rest.split('"').next().unwrap());
                let file = file.canonicalize().unwrap();
                found.push(
                    file.strip_prefix(root().canonicalize().unwrap())
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    found
}

fn last_stage() -> String {
    read("Dockerfile")
        .rsplit("\nFROM ")
        .next()
        .unwrap()
        .to_owned()
}

const BUILD: &str = "cargo build --release --locked --bin atoms-kafka-bridge";
