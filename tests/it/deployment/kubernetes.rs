//! `examples/kubernetes`: taken by kubectl and by Kubernetes' published schemas, and the pod is what the binary wants.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    CONNECTIONS, STOPS_WITHIN_SECONDS, bytes, instruction, journal_in_the_image, list,
    memory_bytes, number, output, parses, read, root, said, shown, succeeds, text, tool, yaml,
};

#[test]
fn the_manifests_are_what_kubernetes_publishes_schemas_for() {
    let dir = TempDir::with_prefix("kubernetes-").unwrap();
    let all = rendered() + "---\n" + &read("examples/kubernetes/secret.example.yaml");
    let documents = yaml(&all).len();
    assert!(documents >= 8, "{documents}");
    for version in VERSIONS {
        let said = succeeds(&mut judge(dir.path(), &all, version));
        assert_eq!(
            said.matches(" passed for resource").count(),
            documents,
            "{said}"
        );
    }
    // It would tell.
    for (right, wrong) in [
        ("readOnlyRootFilesystem", "readonlyRootFilesystem"),
        ("replicas: 2", "replicas: two"),
    ] {
        let spoilt = all.replacen(right, wrong, 1);
        assert_ne!(spoilt, all);
        let output = output(&mut judge(dir.path(), &spoilt, VERSIONS[0]));
        assert!(!output.status.success(), "{wrong}: {}", said(&output));
    }
}

#[test]
fn ports_paths_user_and_limits_are_those_of_the_binary() {
    let set = objects();
    let set = &set["StatefulSet"][0];
    let pod = &set["spec"]["template"]["spec"];
    let bridge = &pod["containers"][0];
    let config = configuration();

    let arguments: Vec<&str> = list(&bridge["args"]).iter().map(text).collect();
    let cli = parses(&arguments);
    let mounted = cli.common.config.unwrap();
    assert_eq!(mounted.file_name().unwrap(), "bridge.toml");
    let mounts = mounts(bridge);
    assert_eq!(mounts["config"], mounted.parent().unwrap());
    assert_eq!(mounts["journal"], journal_in_the_image().parent().unwrap());
    assert!(mounts.values().all(|one| {
        mounts
            .values()
            .all(|other| one == other || !one.starts_with(other))
    }));

    let ports = ports(bridge);
    for (name, key) in [("webhooks", "listen.webhooks"), ("health", "listen.health")] {
        assert_eq!(config[key], format!("0.0.0.0:{}", ports[name]));
        assert!(
            instruction("EXPOSE")
                .split(' ')
                .any(|port| port == ports[name].to_string())
        );
    }

    let body = bytes(&config["listen.max_body"]);
    let limit = bytes(text(&bridge["resources"]["limits"]["memory"]));
    assert!(limit >= memory_bytes(body, CONNECTIONS), "{limit}");
    let volume = &set["spec"]["volumeClaimTemplates"][0];
    let volume = bytes(text(&volume["spec"]["resources"]["requests"]["storage"]));
    let journal = bytes(&config["journal.max_bytes"]);
    assert!(volume >= journal + (256 << 20) + (1 << 30), "{volume}");

    let before = number(&bridge["lifecycle"]["preStop"]["sleep"]["seconds"]);
    let grace = number(&pod["terminationGracePeriodSeconds"]);
    assert!(grace >= before + STOPS_WITHIN_SECONDS + 5);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(bridge[probe]["httpGet"]["port"], "health");
        let path = if probe == "readinessProbe" {
            "/readyz"
        } else {
            "/livez"
        };
        assert_eq!(bridge[probe]["httpGet"]["path"], path);
    }
}

#[test]
fn the_pod_keeps_the_restricted_standard_and_is_the_images_user() {
    let objects = objects();
    let pod = &objects["StatefulSet"][0]["spec"]["template"]["spec"];
    let bridge = &pod["containers"][0];
    assert_eq!(
        bridge["securityContext"],
        json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
    );
    let of_pod = &pod["securityContext"];
    assert_eq!(of_pod["runAsNonRoot"], true);
    assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(of_pod["fsGroup"], of_pod["runAsGroup"]);
    let user = format!("{}:{}", of_pod["runAsUser"], of_pod["runAsGroup"]);
    assert_eq!(instruction("USER"), user);
    assert_eq!(pod["automountServiceAccountToken"], false);
    for kind in ["hostNetwork", "hostPID", "hostIPC"] {
        assert_eq!(pod[kind], Value::Null);
    }
    let kinds: BTreeSet<&str> = list(&pod["volumes"])
        .iter()
        .flat_map(|volume| volume.as_object().unwrap().keys())
        .map(String::as_str)
        .collect();
    assert_eq!(kinds, BTreeSet::from(["configMap", "name", "secret"]));
}

#[test]
fn the_objects_belong_together() {
    let objects = objects();
    let one = |kind: &str| {
        assert_eq!(objects[kind].len(), 1, "{kind}");
        objects[kind][0].clone()
    };
    let set = one("StatefulSet");
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    let ports = ports(&set["spec"]["template"]["spec"]["containers"][0]);
    assert_eq!(&set["spec"]["selector"]["matchLabels"], labels);
    let policy = one("NetworkPolicy");
    assert_eq!(&policy["spec"]["podSelector"]["matchLabels"], labels);
    assert_eq!(
        &one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        labels
    );
    let namespace = &one("Namespace")["metadata"]["name"];
    for object in objects
        .values()
        .flatten()
        .filter(|object| object["kind"] != "Namespace")
    {
        assert_eq!(&object["metadata"]["namespace"], namespace);
    }

    let mut services = BTreeMap::new();
    for service in &objects["Service"] {
        assert_eq!(&service["spec"]["selector"], labels);
        for port in list(&service["spec"]["ports"]) {
            assert!(ports.contains_key(text(&port["targetPort"])));
            services.insert(
                (
                    text(&service["metadata"]["name"]).to_owned(),
                    text(&port["name"]).to_owned(),
                ),
                (),
            );
        }
    }
    let ingress = one("Ingress");
    for rule in list(&ingress["spec"]["rules"]) {
        for path in list(&rule["http"]["paths"]) {
            assert_eq!(path["path"], "/webhooks/");
            let to = &path["backend"]["service"];
            let to = (
                text(&to["name"]).to_owned(),
                text(&to["port"]["name"]).to_owned(),
            );
            assert!(services.contains_key(&to), "{to:?}");
        }
    }
    let allowed =
        &ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"];
    assert_eq!(
        bytes(text(allowed)),
        bytes(&configuration()["listen.max_body"])
    );
    let governing = text(&set["spec"]["serviceName"]);
    assert!(services.keys().any(|(name, _)| name == governing));
    for rule in list(&policy["spec"]["ingress"]) {
        for port in list(&rule["ports"]) {
            assert!(ports.contains_key(text(&port["port"])));
        }
        assert!(!list(&rule["from"]).is_empty(), "from anywhere");
    }
    let monitor = &yaml(&read("examples/kubernetes/podmonitor.yaml"))[0];
    assert_eq!(&monitor["spec"]["selector"]["matchLabels"], labels);
    let scraped = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(
        (text(&scraped["port"]), text(&scraped["path"])),
        ("health", "/metrics")
    );
    let job = text(&scraped["relabelings"][0]["replacement"]);
    assert!(read("examples/monitoring/alerts.yml").contains(&format!("job=\"{job}\"")));
}

#[test]
fn every_secret_of_the_configuration_is_in_the_secret() {
    let objects = objects();
    let pod = &objects["StatefulSet"][0]["spec"]["template"]["spec"];
    let mounted = &mounts(&pod["containers"][0])["secrets"];
    let example = read("examples/kubernetes/secret.example.yaml");
    let secret = &yaml(&example)[0];
    let volume = list(&pod["volumes"])
        .iter()
        .find(|volume| volume["name"] == "secrets")
        .unwrap();
    assert_eq!(volume["secret"]["secretName"], secret["metadata"]["name"]);
    let text = read("examples/kubernetes/bridge.toml");
    let sources: Vec<&str> = text
        .split("\"file:")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert!(!sources.is_empty());
    for source in sources {
        let source = Path::new(source);
        assert_eq!(source.parent().unwrap(), mounted);
        let key = source.file_name().unwrap().to_str().unwrap();
        assert!(
            example.contains(&format!("  {key}: ")) || example.contains(&format!("# {key}: ")),
            "{key}"
        );
    }
    assert!(!text.contains("literal:"));
}

/// What `kubectl apply -k` would send.
fn rendered() -> String {
    let mut kubectl = Command::new("kubectl");
    succeeds(
        kubectl
            .arg("kustomize")
            .arg(root().join("examples/kubernetes")),
    )
}

/// The same by kind.
pub(super) fn objects() -> BTreeMap<String, Vec<Value>> {
    let mut objects = BTreeMap::<_, Vec<_>>::new();
    for object in yaml(&rendered()) {
        objects
            .entry(text(&object["kind"]).to_owned())
            .or_default()
            .push(object);
    }
    objects
}

/// The configuration in the ConfigMap, as the binary reads it in the image.
fn configuration() -> BTreeMap<String, String> {
    let map = &objects()["ConfigMap"][0];
    let dir = TempDir::with_prefix("configmap-").unwrap();
    let file = dir.path().join("bridge.toml");
    fs::write(&file, text(&map["data"]["bridge.toml"])).unwrap();
    let journal = journal_in_the_image().to_str().unwrap().to_owned();
    shown(
        Some(&file),
        &[("ATOMS_BRIDGE__JOURNAL__PATH".to_owned(), journal)],
    )
}

/// The container's volumes, and where it finds them.
pub(super) fn mounts(container: &Value) -> BTreeMap<String, std::path::PathBuf> {
    let mount = |mount: &Value| {
        (
            text(&mount["name"]).to_owned(),
            text(&mount["mountPath"]).into(),
        )
    };
    list(&container["volumeMounts"]).iter().map(mount).collect()
}

fn ports(container: &Value) -> BTreeMap<String, u64> {
    let port = |port: &Value| {
        (
            text(&port["name"]).to_owned(),
            number(&port["containerPort"]),
        )
    };
    list(&container["ports"]).iter().map(port).collect()
}

fn judge(dir: &Path, manifests: &str, version: &str) -> Command {
    let file = dir.join("manifests.yaml");
    fs::write(&file, manifests).unwrap();
    let mut command = tool("kubernetes-validate");
    command.args(["--strict", "-k", version]).arg(file);
    command
}

/// The oldest that the manifests are for, and the newest whose schemas the tool has.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];
