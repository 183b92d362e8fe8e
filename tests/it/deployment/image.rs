//! The Dockerfile and `docker-compose.yml`: their own tools take them, the image has what the build reads and what the
//! binary links, and the services find one another.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::container::libraries;
use super::{
    STOPS_WITHIN_SECONDS, instruction, journal_in_the_image, list, output, parses, read, root,
    said, shown, succeeds, text, tool, yaml,
};
use crate::harness::registry::shared_registry;

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

#[test]
fn compose_takes_the_file_and_every_service_finds_what_it_needs() {
    let composed = composed();
    let services = &composed["services"];
    for name in [
        "kafka",
        "registry",
        "schemas",
        "kafka-ui",
        "bridge",
        "prometheus",
        "grafana",
    ] {
        assert!(services[name].is_object(), "no {name}");
    }
    for name in ["bridge", "schemas"] {
        let service = &services[name];
        let variables: Vec<(String, String)> = service["environment"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), text(value).to_owned()))
            .collect();
        let shown = shown(None, &variables);
        assert_eq!(
            shown["registry.url"],
            text(&services["kafka-ui"]["environment"]["KAFKA_CLUSTERS_0_SCHEMAREGISTRY"])
        );
        assert_eq!(
            (&service["read_only"], &service["cap_drop"][0]),
            (&Value::Bool(true), &Value::from("ALL"))
        );
        // Another service under its own name and at the port that it has inside.
        let registry = shown["registry.url"].strip_prefix("http://").unwrap();
        assert!(registry.starts_with(&format!(
            "registry:{}/",
            services["registry"]["ports"][0]["target"]
        )));
    }
    let command: Vec<&str> = list(&services["schemas"]["command"])
        .iter()
        .map(text)
        .collect();
    parses(&command);
    let bridge = &services["bridge"];
    assert_eq!(
        bridge["depends_on"]["schemas"]["condition"],
        "service_completed_successfully"
    );
    assert_eq!(
        bridge["volumes"][0]["target"],
        journal_in_the_image().parent().unwrap().to_str().unwrap()
    );
    let grace: u64 = text(&bridge["stop_grace_period"])
        .trim_end_matches('s')
        .parse()
        .unwrap();
    assert!(grace >= STOPS_WITHIN_SECONDS + 5);
    let kafka = &services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"];
    let broker = text(&bridge["environment"]["ATOMS_BRIDGE__KAFKA__BOOTSTRAP_SERVERS"]);
    assert!(text(kafka).contains(&format!("//{broker},")));
    // Beyond this machine only the webhooks' port, since the others show transcripts or take writes from anyone.
    for (name, service) in services.as_object().unwrap() {
        for port in service["ports"].as_array().into_iter().flatten() {
            let public = name == "bridge" && port["target"] == 8080;
            assert_eq!(port["host_ip"] == "127.0.0.1", !public, "{name}: {port}");
        }
    }
}

#[test]
fn the_registrys_health_check_tells_a_registry_from_none() {
    let composed = composed();
    let check = list(&composed["services"]["registry"]["healthcheck"]["test"]);
    let [kind, shell, option, script] = check else {
        panic!("{check:?}")
    };
    assert_eq!((text(kind), text(option)), ("CMD", "-c"));
    let url = shared_registry().url();
    let (host, port) = url.split('/').nth(2).unwrap().split_once(':').unwrap();
    for (port, healthy) in [(port, true), ("9", false)] {
        let script = text(script).replace("/127.0.0.1/8080", &format!("/{host}/{port}"));
        let output = output(Command::new(text(shell)).args(["-c", &script]));
        assert_eq!(
            output.status.success(),
            healthy,
            "{script}: {}",
            said(&output)
        );
    }
}

#[test]
fn monitoring_reads_the_bridge_by_the_name_that_the_alerts_want() {
    let composed = composed();
    let services = &composed["services"];
    for name in ["prometheus", "grafana"] {
        assert_eq!(services[name]["profiles"][0], "monitoring");
        for volume in list(&services[name]["volumes"])
            .iter()
            .filter(|volume| volume["type"] == "bind")
        {
            assert!(Path::new(text(&volume["source"])).is_file(), "{volume}");
        }
    }
    let file = root().join("examples/monitoring/prometheus.yml");
    succeeds(
        Command::new("promtool")
            .args(["check", "config"])
            .arg(&file),
    );
    let scrape = &yaml(&read("examples/monitoring/prometheus.yml"))[0]["scrape_configs"][0];
    let job = text(&scrape["job_name"]);
    assert!(read("examples/monitoring/alerts.yml").contains(&format!("job=\"{job}\"")));
    let target = text(&scrape["static_configs"][0]["targets"][0]);
    let health = &shown(None, &[])["listen.health"];
    assert_eq!(
        target,
        format!("bridge:{}", health.rsplit(':').next().unwrap())
    );
    let source = &yaml(&read("examples/monitoring/grafana/datasource.yml"))[0]["datasources"][0];
    assert_eq!(
        text(&source["url"]),
        format!(
            "http://prometheus:{}",
            services["prometheus"]["ports"][0]["target"]
        )
    );
    let provider = &yaml(&read("examples/monitoring/grafana/dashboards.yml"))[0]["providers"][0];
    let dashboard =
        text(&services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]);
    assert_eq!(
        Path::new(dashboard).parent().unwrap(),
        Path::new(text(&provider["options"]["path"]))
    );
    let mounted = list(&services["grafana"]["volumes"])
        .iter()
        .any(|volume| volume["target"] == dashboard);
    assert!(mounted, "{dashboard}");
}

/// The compose file as docker compose understands it, with every profile.
fn composed() -> Value {
    let mut compose = tool("docker-compose");
    compose
        .args(["--profile", "*", "config", "--format", "json"])
        .current_dir(root());
    let printed = succeeds(compose.env("ATOMS_WEBHOOK_SECRET", "a secret that is long enough"));
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
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
