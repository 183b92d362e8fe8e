//! Defaults, file and environment over one another, and every way to spell a key.

use std::time::Duration;

use super::*;

const AS_PRINTED: &str = r#"
[listen]
webhooks = "0.0.0.0:8080"      # public: POST /webhooks/{name}, and GET /readyz (status only) for load balancers
health = "0.0.0.0:8081"        # /livez /readyz /metrics: no personal data
console = "127.0.0.1:8082"     # transcripts: loopback, or a token
max_body = "16MiB"
read_timeout = "15s"
# tls = { cert = "…", key = "…" }

[webhooks.default]             # POST /webhooks/default
secrets = ["env:ATOMS_WEBHOOK_SECRET"]   # any one may match: rotation

[journal]
path = "data/journal.db"
retention = "72h"
max_bytes = "4GiB"

[kafka]                        # any librdkafka property, by its own name; nested tables are flattened with dots
"bootstrap.servers" = "127.0.0.1:9092"

[topics]
prefix = "atoms."
# all = "atoms.events"         # also every event on one topic: total order within a call

[registry]

[atoms]
"#;

const WITH_EVERYTHING: &str = r#"
[listen]
webhooks = "127.0.0.1:0"
health = "127.0.0.1:0"
console = "0.0.0.0:8082"
console_token = "literal:0123456789abcdef"
console_hosts = ["Bridge.example.com"]
max_body = "1MiB"
read_timeout = "5s"

[webhooks.default]
secrets = ["env:ATOMS_WEBHOOK_SECRET"]
header = { name = "X-Api-Key", value = "env:API_KEY" }
topic_prefix = "atoms.sales."
ack = "kafka"
ack_timeout = "2s"

[journal]
path = "j.db"
retention = "30d"
max_bytes = "2GiB"

[kafka]
"bootstrap.servers" = "a:9092,b:9092"
socket.keepalive.enable = true
linger.ms = 3
[kafka.sasl]
username = "u"
password = "env:SASL"

[topics]
prefix = "x."
partitions = 6
replication = 3
all = "x.events"

[registry]
url = "https://127.0.0.1:8085/apis/ccompat/v7/"
schema_id = "header"
username = "bridge"
password = "env:SASL"
ca = "ca.pem"

[atoms]
api_key = "env:ATOMS_API_KEY"
base_url = "https://api.smallest.ai/atoms/v1"
requests_per_second = 20
timeout = "10s"
"#;

#[test]
fn two_variables_are_enough() {
    let loaded = load("", &[SECRET, KAFKA]).unwrap();
    let config = loaded.require(&[Need::Kafka, Need::Webhooks]).unwrap();
    assert_eq!(exposed(webhook(&config, "default")), [b"0123456789abcdef"]);
    assert_eq!(config.kafka["bootstrap.servers"], "k:9092");
    assert_eq!(config.listen.webhooks.port(), 8080);
    assert_eq!(config.listen.max_body_bytes, 16 << 20);
    assert_eq!(config.journal.retention, Duration::from_secs(72 * 3600));
    assert_eq!(
        (config.topics.partitions, config.topics.replication),
        (12, None)
    );
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn the_documented_example_loads() {
    let loaded = load(AS_PRINTED, &[SECRET]).unwrap();
    assert!(loaded.require(&[Need::Kafka, Need::Webhooks]).is_ok());
    assert_eq!(loaded.warnings, [""; 0]);
    let console = loaded.config.listen.console.unwrap();
    assert_eq!(console.address.to_string(), "127.0.0.1:8082");
}

#[test]
fn every_documented_key_loads() {
    let variables = [SECRET, ("API_KEY", "second"), ("SASL", "word")];
    let loaded = load(WITH_EVERYTHING, &variables).unwrap();
    let config = loaded.require(&[Need::Kafka, Need::Webhooks]).unwrap();
    let webhook = webhook(&config, "default");
    let header = webhook.header.as_ref().unwrap();
    assert_eq!(
        (header.name.as_str(), header.value.expose()),
        ("x-api-key", &b"second"[..])
    );
    assert_eq!(webhook.topic_prefix.as_deref(), Some("atoms.sales."));
    assert_eq!(
        webhook.ack,
        Ack::Kafka {
            timeout: Duration::from_secs(2)
        }
    );
    let kafka: Vec<_> = config
        .kafka
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(
        kafka,
        [
            "bootstrap.servers=a:9092,b:9092",
            "linger.ms=3",
            "sasl.password=word",
            "sasl.username=u",
            "socket.keepalive.enable=true"
        ]
    );
    assert_eq!(
        (config.topics.partitions, config.topics.replication),
        (6, Some(3))
    );
    assert_eq!(config.topics.all.as_deref(), Some("x.events"));
    let registry = config.registry.as_ref().unwrap();
    assert_eq!(registry.url, "https://127.0.0.1:8085/apis/ccompat/v7");
    assert_eq!(registry.schema_id, SchemaId::Header);
    assert!(
        matches!(&registry.credentials, Some(Credentials::Basic { username, .. }) if username == "bridge")
    );
    let console = config.listen.console.as_ref().unwrap();
    assert_eq!(console.hosts, ["bridge.example.com"]);
    assert!(console.token.is_some());
    let atoms = &config.atoms;
    assert_eq!(atoms.base_url, "https://api.smallest.ai/atoms/v1");
    assert_eq!(atoms.requests_per_second, 20);
    assert_eq!(atoms.timeout, Duration::from_secs(10));
    assert_eq!(loaded.warnings.len(), 0, "{:?}", loaded.warnings);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_defaults() {
    let text = "[listen]\nmax_body = \"1MiB\"\nread_timeout = \"1s\"";
    let loaded = load(text, &[("ATOMS_BRIDGE__LISTEN__MAX_BODY", "2MiB")]).unwrap();
    assert_eq!(loaded.config.listen.max_body_bytes, 2 << 20);
    assert_eq!(loaded.config.listen.read_timeout, Duration::from_secs(1));
    let origin = |key: &str| {
        let shown = loaded.shown().into_iter().find(|s| s.key == key);
        shown.unwrap().origin.to_string()
    };
    assert_eq!(
        origin("listen.max_body"),
        "env ATOMS_BRIDGE__LISTEN__MAX_BODY"
    );
    assert_eq!(origin("listen.read_timeout"), "bridge.toml:3");
    assert_eq!(origin("listen.health"), "default");
}

#[test]
fn lists_in_the_environment_are_json_or_commas() {
    for list in [
        "literal:aaaaaaaaaaaaaaaa, literal:b",
        r#"["literal:aaaaaaaaaaaaaaaa","literal:b"]"#,
    ] {
        let loaded = load("", &[("ATOMS_BRIDGE__WEBHOOKS__SALES__SECRETS", list)]).unwrap();
        assert_eq!(
            exposed(webhook(&loaded.config, "sales")),
            [&b"aaaaaaaaaaaaaaaa"[..], b"b"]
        );
        assert!(!loaded.config.webhooks.contains_key("default"));
    }
}

#[test]
fn webhooks_are_spelled_in_the_environment_with_any_name() {
    let loaded = load(
        "",
        &[
            (
                "ATOMS_BRIDGE__WEBHOOKS__A__B_1__SECRETS",
                "literal:aaaaaaaaaaaaaaaa",
            ),
            (
                "ATOMS_BRIDGE__WEBHOOKS__A__B_1__HEADER__NAME",
                "authorization",
            ),
            (
                "ATOMS_BRIDGE__WEBHOOKS__A__B_1__HEADER__VALUE",
                "literal:x,y",
            ),
            ("ATOMS_BRIDGE__WEBHOOKS__A__B_1__TOPIC_PREFIX", "p."),
        ],
    )
    .unwrap();
    let webhook = webhook(&loaded.config, "a__b_1");
    assert_eq!(webhook.header.as_ref().unwrap().value.expose(), b"x,y");
    assert_eq!(webhook.topic_prefix.as_deref(), Some("p."));
}

#[test]
fn kafka_properties_are_spelled_in_the_environment() {
    let loaded = load(
        "[kafka]\nmetadata.broker.list = \"old:1\"",
        &[
            KAFKA,
            ("ATOMS_BRIDGE__KAFKA__SASL_USERNAME", "u"),
            ("ATOMS_BRIDGE__KAFKA__SSL_CA_LOCATION", "/ca"),
            ("ATOMS_BRIDGE__KAFKA__LOG_LEVEL", "7"),
            ("ATOMS_BRIDGE__KAFKA__SSL__CRL__LOCATION", "/crl"),
        ],
    )
    .unwrap();
    let names: Vec<_> = loaded
        .config
        .kafka
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(
        names,
        [
            "bootstrap.servers=k:9092",
            "log_level=7",
            "sasl.username=u",
            "ssl.ca.location=/ca",
            "ssl.crl.location=/crl",
        ]
    );
}
