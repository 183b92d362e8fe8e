//! Layering, every complaint's text, and that no secret is ever shown.

use std::path::Path;
use std::time::Duration;

use super::*;

const SECRET: (&str, &str) = ("ATOMS_WEBHOOK_SECRET", "0123456789abcdef");
const KAFKA: (&str, &str) = ("ATOMS_BRIDGE__KAFKA__BOOTSTRAP_SERVERS", "k:9092");

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load_layers(
        Some((Path::new("bridge.toml"), text)),
        Environment::new(variables),
    )
}

fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    lines(load(text, variables).unwrap_err())
}

fn unmet(text: &str, variables: &[(&str, &str)], needs: &[Need]) -> Vec<String> {
    let loaded = load(text, variables).unwrap();
    lines(loaded.require(needs).unwrap_err())
}

fn lines(error: ConfigError) -> Vec<String> {
    match error {
        ConfigError::Invalid(problems) => problems.iter().map(Problem::to_string).collect(),
        ConfigError::Unreadable { .. } | ConfigError::NotToml { .. } => vec![error.to_string()],
    }
}

fn webhook<'a>(config: &'a Config, name: &str) -> &'a Webhook {
    config.webhooks.get(name).unwrap()
}

fn exposed(webhook: &Webhook) -> Vec<&[u8]> {
    webhook.secrets.iter().map(|s| s.expose()).collect()
}

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
console = "127.0.0.1:8082"
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
url = "http://user:pass@127.0.0.1:8085"
schema_id = "header"

[atoms]
api_key = "env:ATOMS_API_KEY"
base_url = "https://api.smallest.ai/atoms/v1"
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
    assert_eq!(
        loaded.warnings,
        ["bridge.toml:5: listen.console is not used by this version"]
    );
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
    assert_eq!(loaded.warnings.len(), 5, "{:?}", loaded.warnings);
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
            ("ATOMS_BRIDGE__KAFKA__SSL_ENGINE_CALLBACK_DATA", "x"),
            ("ATOMS_BRIDGE__KAFKA__SSL_CERTIFICATE", "x"),
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
            "ssl_certificate=x",
            "ssl_engine_callback_data=x"
        ]
    );
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_what_was_meant() {
    let text = "[listen]\nmax_bdy = \"1MiB\"\n\n[jurnal]\npath = \"x\"\n[webhooks.sales]\nsecrets = \"literal:0123456789abcdef\"\nsecret = \"x\"\n[topics]\nretention = \"1d\"\nzzzzzzzzzzzzzzzzzz = 1";
    assert_eq!(
        problems(text, &[]),
        [
            "bridge.toml:2: listen.max_bdy: unknown key; did you mean listen.max_body?",
            "bridge.toml:5: jurnal.path: unknown key; did you mean journal.path?",
            "bridge.toml:8: webhooks.sales.secret: unknown key; did you mean webhooks.sales.secrets?",
            "bridge.toml:10: topics.retention: unknown key; did you mean journal.retention?",
            "bridge.toml:11: topics.zzzzzzzzzzzzzzzzzz: unknown key; known here: topics.prefix, topics.partitions, topics.replication, topics.all",
        ]
    );
}

#[test]
fn an_unknown_table_is_named_even_when_it_is_empty() {
    assert_eq!(
        problems("[jurnal]\n[xxxxxxxxxxx]", &[]),
        [
            "bridge.toml:1: jurnal: unknown key; did you mean journal?",
            "bridge.toml:2: xxxxxxxxxxx: unknown key; sections are listen, webhooks, journal, kafka, topics, registry, atoms",
        ]
    );
}

#[test]
fn an_unknown_variable_is_named_with_the_variable_that_was_meant() {
    let variables = [
        ("ATOMS_BRIDGE__LISTEN_MAX_BODY", "1"),
        ("ATOMS_BRIDGE__WEBHOOKS__SALES__SECRET", "x"),
        ("ATOMS_BRIDGE_SERVICE_HOST", "not ours"),
    ];
    assert_eq!(
        problems("", &variables),
        [
            "ATOMS_BRIDGE__LISTEN_MAX_BODY: unknown key; did you mean ATOMS_BRIDGE__LISTEN__MAX_BODY?",
            "ATOMS_BRIDGE__WEBHOOKS__SALES__SECRET: unknown key; did you mean ATOMS_BRIDGE__WEBHOOKS__SALES__SECRETS?",
        ]
    );
}

#[test]
fn a_wrong_value_says_what_is_accepted() {
    for (text, expected) in [
        (
            "[listen]\nwebhooks = \"8080\"",
            "bridge.toml:2: listen.webhooks: \"8080\" does not fit; write an address and port such as 0.0.0.0:8080 or [::1]:8080 (port 0: any free one)",
        ),
        (
            "[listen]\nmax_body = \"16Mb\"",
            "bridge.toml:2: listen.max_body: \"16Mb\" does not fit; write a size from 1 B to 512MiB such as 16MiB or 500KB",
        ),
        (
            "[listen]\nread_timeout = 15",
            "bridge.toml:2: listen.read_timeout: \"15\" does not fit; write a duration above 0 such as 500ms, 15s, 10m, 72h or 30d",
        ),
        (
            "[listen]\nread_timeout = [1]",
            "bridge.toml:2: listen.read_timeout: a list does not fit; write a duration above 0 such as 500ms, 15s, 10m, 72h or 30d",
        ),
        (
            "listen = 1",
            "bridge.toml:1: listen: this is a section: write its keys under [listen]",
        ),
        (
            "webhooks.sales = 1",
            "bridge.toml:1: webhooks.sales: this is a section: write its keys under [webhooks.sales]",
        ),
        (
            "[listen]\nwebhooks = \"0.0.0.0:1\"\nhealth = \"0.0.0.0:1\"",
            "bridge.toml:3: listen.health: 0.0.0.0:1 is listen.webhooks already; give health another port",
        ),
        (
            "[listen]\ntls = { cert = \"c\" }",
            "bridge.toml:2: listen.tls.cert: this version does not serve TLS; put a proxy that does before it, and remove this key",
        ),
        (
            "[journal]\nmax_bytes = \"much\"",
            "bridge.toml:2: journal.max_bytes: \"much\" does not fit; write a size above 0 such as 16MiB, 4GiB, 500KB or 1048576 (units B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)",
        ),
        (
            "[topics]\npartitions = 0",
            "bridge.toml:2: topics.partitions: \"0\" does not fit; write a whole number from 1 to 100000",
        ),
        (
            "[topics]\nreplication = 1.5",
            "bridge.toml:2: topics.replication: \"1.5\" does not fit; write a whole number from 1 to 1000",
        ),
        (
            "[topics]\nall = \"a b\"",
            "bridge.toml:2: topics.all: \"a b\" does not fit; write a topic's name: 1 to 249 of a-z A-Z 0-9 . _ -, and neither . nor ..",
        ),
        (
            "[topics]\nall = \"atoms.dead-letter\"",
            "bridge.toml:2: topics.all: \"atoms.dead-letter\" is a topic of the bridge already, each event would be there twice; name another",
        ),
        (
            "[topics]\nprefix = \"a/\"",
            "bridge.toml:2: topics.prefix: \"a/\" does not fit; write the beginning of topics' names: up to 200 of a-z A-Z 0-9 . _ -",
        ),
        (
            "[registry]\nschema_id = \"x\"",
            "bridge.toml:2: registry.schema_id: \"x\" does not fit; write \"header\", \"prefix\" or \"none\"",
        ),
        (
            "[webhooks.default]\nack = \"both\"",
            "bridge.toml:2: webhooks.default.ack: \"both\" does not fit; write \"journal\" or \"kafka\"",
        ),
        (
            "[webhooks.default]\nack_timeout = \"26s\"",
            "bridge.toml:2: webhooks.default.ack_timeout: longer than 25s; the sender gives up after 30s, and a delivery that it gave up looks lost to it",
        ),
        (
            "[webhooks.default]\nheader.name = \"x\"",
            "bridge.toml:2: webhooks.default.header.name: the header needs both name and value; write header = { name = \"x-api-key\", value = \"env:NAME\" }",
        ),
        (
            "[webhooks.default]\nheader = { name = \"Host\", value = \"literal:x\" }",
            "bridge.toml:2: webhooks.default.header.name: \"host\" is set by the sender itself; name a header of your own",
        ),
        (
            "[webhooks.Sales]\nsecrets = []",
            "bridge.toml:2: webhooks.Sales.secrets: \"Sales\" is no name for a webhook; write one in [a-z0-9_]+",
        ),
        (
            "\n[webhooks.sales]",
            "bridge.toml:2: webhooks.sales.secrets: a webhook needs a secret; write secrets = [\"env:NAME\"]",
        ),
        (
            "[webhooks.sales]\nsecrets = []",
            "bridge.toml:2: webhooks.sales.secrets: a webhook needs a secret; write secrets = [\"env:NAME\"]",
        ),
        (
            "[kafka]\nlinger.ms = 1\n\"linger.ms\" = 2",
            "bridge.toml:3: kafka.linger.ms: set twice, also at bridge.toml:2; remove one",
        ),
    ] {
        assert_eq!(problems(text, &[]), [expected], "{text}");
    }
}

#[test]
fn what_is_not_toml_is_named_by_line_and_never_quoted() {
    let text = "[webhooks.default]\nsecrets = [\"literal:topsecret\" x";
    let found = problems(text, &[]).concat();
    assert!(found.starts_with("bridge.toml:2:"), "{found}");
    assert!(
        found.contains("not TOML") && !found.contains("topsecret"),
        "{found}"
    );
}

#[test]
fn all_problems_are_reported_together() {
    let text = "[listen]\nhealth = 1\nx = 1\n[kafka]\nacks = 1";
    let error = load(text, &[("ATOMS_BRIDGE__TOPICS__PARTITIONS", "no")])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the configuration has 4 errors:\n  bridge.toml:2: listen.health: "),
        "{error}"
    );
    assert_eq!(error.lines().count(), 5, "{error}");
    assert!(error.ends_with("ATOMS_BRIDGE__TOPICS__PARTITIONS: \"no\" does not fit; write a whole number from 1 to 100000"), "{error}");
}

#[test]
fn properties_behind_a_guarantee_are_refused_with_the_reason() {
    for name in [
        "acks",
        "request.required.acks",
        "enable.idempotence",
        "message.timeout.ms",
        "delivery.timeout.ms",
        "transactional.id",
        "partitioner",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "enable.gapless.guarantee",
        "isolation.level",
        "enable.auto.commit",
        "auto.commit.enable",
        "group.id",
    ] {
        let found = problems(&format!("[kafka]\n{name} = \"1\""), &[]).concat();
        assert!(
            found.starts_with(&format!("bridge.toml:2: kafka.{name}: cannot be set: ")),
            "{found}"
        );
    }
    let found = problems("", &[("ATOMS_BRIDGE__KAFKA__ACKS", "0")]);
    assert_eq!(
        found,
        [
            "ATOMS_BRIDGE__KAFKA__ACKS: cannot be set: an event counts as published when all in-sync replicas have it (acks = all)"
        ]
    );
}

#[test]
fn only_commands_that_need_kafka_or_a_secret_miss_it() {
    let loaded = load("", &[]).unwrap();
    assert_eq!(
        lines(loaded.require_kafka().unwrap_err()),
        [
            "kafka.bootstrap.servers: not set; write \"bootstrap.servers\" = \"HOST:PORT\" under [kafka], or set ATOMS_BRIDGE__KAFKA__BOOTSTRAP_SERVERS"
        ]
    );
    assert_eq!(
        lines(loaded.require(&[Need::Webhooks]).unwrap_err()),
        [
            "webhooks.default.secrets: the environment variable ATOMS_WEBHOOK_SECRET is not set; it must hold the secret"
        ]
    );
    assert_eq!(
        lines(loaded.require(&[Need::Kafka, Need::Webhooks]).unwrap_err()).len(),
        2
    );
    assert!(load("", &[KAFKA]).unwrap().require_kafka().is_ok());
    let name = WebhookName::parse("sales").unwrap();
    assert_eq!(
        lines(loaded.require(&[Need::Webhook(name)]).unwrap_err()),
        ["webhooks.sales: no such webhook; configured: default"]
    );
}

#[test]
fn a_secret_that_cannot_be_resolved_names_its_source() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let text = format!(
        "[webhooks.a]\nsecrets = [\"env:UNSET\", \"env:EMPTY\", \"file:/nowhere/x\", \"file:{0}\", \"literal:\"]",
        empty.display()
    );
    let found = unmet(&text, &[("EMPTY", "")], &[Need::Webhooks]);
    let empty = "is empty, and anyone could sign with an empty secret";
    assert_eq!(
        found,
        [
            "bridge.toml:2: webhooks.a.secrets: the environment variable UNSET is not set; it must hold the secret".to_owned(),
            format!("bridge.toml:2: webhooks.a.secrets: the secret (env:EMPTY) {empty}"),
            "bridge.toml:2: webhooks.a.secrets: cannot read the secret's file /nowhere/x: No such file or directory (os error 2)".to_owned(),
            format!("bridge.toml:2: webhooks.a.secrets: the secret (file:{}/empty) {empty}", directory.path().display()),
            format!("bridge.toml:2: webhooks.a.secrets: the secret (literal:) {empty}"),
        ]
    );
}

#[test]
fn a_secrets_file_is_read_without_its_last_newline() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789abcdef\n").unwrap();
    let text = format!("[webhooks.a]\nsecrets = \"file:{}\"", file.path().display());
    let loaded = load(&text, &[]).unwrap();
    assert_eq!(exposed(webhook(&loaded.config, "a")), [b"0123456789abcdef"]);
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn short_secrets_and_useless_keys_are_warned_of() {
    let text =
        "[webhooks.a]\nsecrets = \"literal:short\"\nack_timeout = \"5s\"\n[journal]\nmax_bytes = 1";
    assert_eq!(
        load(text, &[]).unwrap().warnings,
        [
            "webhooks.a.secrets: 1 secret(s) shorter than 16 bytes can be guessed",
            "bridge.toml:3: webhooks.a.ack_timeout has no effect without ack = \"kafka\"",
            "journal.max_bytes (1) is below listen.max_body (16777216): the largest deliveries will be refused",
        ]
    );
}

#[test]
fn a_missing_explicit_file_is_an_error() {
    let error = Config::load(Some(Path::new("/nowhere/b.toml")), std::iter::empty()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the configuration file /nowhere/b.toml"
    );
}

#[test]
fn a_secret_in_the_wrong_spelling_is_not_repeated() {
    let commas = (
        "ATOMS_BRIDGE__WEBHOOKS__A__SECRETS",
        "literal:TOPSECRET1,TOPSECRET2",
    );
    let json = (
        "ATOMS_BRIDGE__WEBHOOKS__B__SECRETS",
        "[\"literal:TOPSECRET3\"",
    );
    let text = "[webhooks.c]\nsecrets = [\"TOPSECRET4\"]\nheader = { name = \"x\", value = \"TOPSECRET5\" }\n[atoms]\napi_key = \"TOPSECRET6\"";
    assert_eq!(
        problems(text, &[commas, json]),
        [
            "bridge.toml:2: webhooks.c.secrets: a secret is written env:NAME, file:PATH or literal:TEXT",
            "bridge.toml:3: webhooks.c.header.value: a secret is written env:NAME, file:PATH or literal:TEXT",
            "bridge.toml:5: atoms.api_key: a secret is written env:NAME, file:PATH or literal:TEXT",
            "ATOMS_BRIDGE__WEBHOOKS__A__SECRETS: a secret is written env:NAME, file:PATH or literal:TEXT",
            "ATOMS_BRIDGE__WEBHOOKS__B__SECRETS: begins with `[` but is no JSON list of strings; write [\"a\",\"b\"] or a,b",
        ]
    );
}

#[test]
fn no_secret_is_shown_anywhere() {
    let text = r#"
        [webhooks.a]
        secrets = ["literal:TOPSECRET-aaaaaaaa", "env:S"]
        header = { name = "x", value = "literal:TOPSECRET" }
        [kafka]
        sasl.password = "TOPSECRET"
        ssl.key.pem = "TOPSECRET"
        ssl.key.password = "env:S"
        ssl.keystore.password = "literal:TOPSECRET"
        sasl.oauthbearer.client.secret = "TOPSECRET"
        sasl.oauthbearer.config = "TOPSECRET"
        ssl_key = "TOPSECRET"
        client.id = "env:UNSET"
        [registry]
        url = "http://me:TOPSECRET@host:1/x"
        [atoms]
        api_key = "literal:TOPSECRET"
    "#;
    let loaded = load(text, &[("S", "TOPSECRET-bbbbbbbbb"), KAFKA]).unwrap();
    let shown = loaded.shown();
    let printed = format!(
        "{loaded:?}{:?}{shown:?}{}",
        loaded.config,
        loaded.warnings.concat()
    );
    assert!(!printed.contains("TOPSECRET"), "{printed}");
    assert!(printed.contains("k:9092"));

    let value = |key: &str| {
        let setting = shown.iter().find(|s| s.key == key).unwrap();
        (setting.value.as_str(), setting.secrets.as_slice())
    };
    let both = [SecretState::Set, SecretState::Set];
    assert_eq!(
        value("webhooks.a.secrets"),
        ("literal:***, env:S ***", &both[..])
    );
    assert_eq!(value("kafka.sasl.password"), ("***", &[][..]));
    assert_eq!(value("kafka.ssl.key.password"), ("env:S ***", &both[..1]));
    assert_eq!(value("registry.url").0, "http://***@host:1/x");
    let missing = SecretState::Missing(
        "the environment variable UNSET is not set; it must hold the secret".into(),
    );
    assert_eq!(value("kafka.client.id"), ("env:UNSET ***", &[missing][..]));
}
