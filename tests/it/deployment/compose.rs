//! `docker-compose.yml`: docker compose takes it, the services find one another, and the health check tells a registry that
//! answers from one that does not. No container is started.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{
    STOPS_WITHIN_SECONDS, journal_in_the_image, list, output, parses, read, root, said, shown,
    succeeds, text, tool, yaml,
};
use crate::harness::registry::shared_registry;

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
