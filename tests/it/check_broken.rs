//! `check` on set-ups of which one thing is broken: the line that each gets, and that no other line is hidden by it.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use atoms_kafka_bridge::sender::simulator::{KEY, Simulator};

use crate::check::{Checked, Expected};
use crate::harness::bridge::Bridge;
use crate::harness::disk::{self, Disk};
use crate::harness::registry::shared_registry;
use crate::harness::tls::{Authority, openssl};
use crate::harness::{ports, shared_broker, unique};

#[test]
fn a_configuration_that_is_wrong_is_told_by_line_and_hides_nothing_that_can_be_told() {
    let prefix = prepared();
    let sound = || sound(&prefix);
    let file = |text: &str| sound().with_file("bridge.toml", text);
    let wrong = "[listen]\nwebhoks = \"0.0.0.0:1\"\n\n[journal]\nretention = \"soon\"\n";
    let checked = Checked::of(&file(wrong));
    checked.has(
        "an unknown key",
        &Expected::failure(
            "configuration",
            "bridge.toml:2: listen.webhoks: unknown key",
            "did you mean listen.webhooks",
        ),
    );
    checked.has(
        "a value that does not fit",
        &Expected::failure(
            "configuration",
            "bridge.toml:5: journal.retention: \"soon\" does not fit",
            "write a duration",
        ),
    );
    checked.has(
        "(what follows from it)",
        &Expected::waits("kafka", "configuration"),
    );
    assert_eq!(checked.code, Some(2));

    let checked = Checked::of(&file("[journal]\npath = \"a\nb\n"));
    checked.has(
        "a file that is no TOML",
        &Expected::failure(
            "configuration",
            "bridge.toml:3:2: not TOML",
            "mend the file",
        ),
    );
    assert_eq!(checked.code, Some(2));

    let checked = Checked::of(&sound().with("WEBHOOKS__DEFAULT__SECRETS", "env:NOBODY_SET_IT"));
    checked.has(
        "a secret that is not there",
        &Expected::failure(
            "secrets",
            "the environment variable NOBODY_SET_IT is not set",
            "it must hold the secret",
        ),
    );
    checked.has("(the other lines)", &Expected::ok("rights", ""));
    checked.has(
        "(what follows from it)",
        &Expected::waits("delivery", "secrets"),
    );
    assert_eq!(checked.code, Some(2));

    let checked = Checked::of(
        &sound()
            .with("WEBHOOKS__DEFAULT__SECRETS", "file:empty")
            .with_file("empty", "\n"),
    );
    checked.has(
        "an empty secret",
        &Expected::failure("secrets", "the secret (file:empty) is empty", "config show"),
    );
    assert_eq!(checked.code, Some(2));

    let checked = Checked::of(&sound().with("WEBHOOKS__DEFAULT__SECRETS", "literal:a short one"));
    checked.has(
        "a short secret",
        &Expected::warning("secrets", "shorter than 16 bytes", ""),
    );
    checked.has(
        "(its length)",
        &Expected::ok("secrets", "webhooks.default: 11 bytes"),
    );
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    let shown = format!("{checked:?}");
    assert!(!shown.contains("a short one"), "{shown}");
}

#[test]
fn a_kafka_that_cannot_be_reached_is_told_with_what_was_heard() {
    let prefix = prepared();
    for (name, key, value, what, todo) in [
        (
            "nobody listens at bootstrap.servers",
            "KAFKA__BOOTSTRAP_SERVERS",
            "127.0.0.1:1",
            "Connection refused",
            "brokers of bootstrap.servers run",
        ),
        (
            "a broker's name that nobody knows",
            "KAFKA__BOOTSTRAP_SERVERS",
            "no-such-broker.invalid:9092",
            "Failed to resolve",
            "check the name in bootstrap.servers",
        ),
        (
            "TLS towards a broker that has none",
            "KAFKA__SECURITY_PROTOCOL",
            "ssl",
            "SSL",
            "security.protocol",
        ),
    ] {
        let checked = Checked::of(&sound(&prefix).with(key, value));
        checked.has(name, &Expected::failure("kafka", what, todo));
        for (check, on) in [
            ("topics", "kafka"),
            ("rights", "kafka"),
            ("delivery", "kafka"),
        ] {
            checked.has("(what follows from it)", &Expected::waits(check, on));
        }
        checked.has("(the other lines)", &Expected::ok("serve", ""));
        assert_eq!(checked.code, Some(1));
    }
}

#[test]
fn a_property_that_librdkafka_does_not_take_is_wrong_configuration_in_check_too() {
    let prefix = prepared();
    let checked = Checked::of(&sound(&prefix).with("KAFKA__SASL_PASWORD", "hunter2"));
    checked.has(
        "a property that librdkafka does not know",
        &Expected::failure(
            "configuration",
            "ATOMS_BRIDGE__KAFKA__SASL_PASWORD: unknown key",
            "did you mean ATOMS_BRIDGE__KAFKA__SASL_PASSWORD?",
        ),
    );
    checked.has("(what follows)", &Expected::waits("kafka", "configuration"));
    checked.has("(the other lines)", &Expected::ok("serve", ""));
    assert_eq!(checked.code, Some(2));
    assert!(!format!("{checked:?}").contains("hunter2"), "{checked:?}");
}

#[test]
fn a_disk_that_is_not_fit_for_a_journal_is_told() {
    let prefix = prepared();
    let sound = || sound(&prefix);
    let small = Disk::new(48);
    let path = disk::text(&small.path().join("data/journal.db"));
    let on_small = sound().with("JOURNAL__PATH", &path);
    let checked = Checked::of(&on_small);
    checked.has(
        "a disk with less room than journal.max_bytes",
        &Expected::warning(
            "disk",
            "are needed for journal.max_bytes",
            "or lower journal.max_bytes",
        ),
    );
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    let ballast = small.fill();
    let checked = Checked::of(&on_small);
    checked.has(
        "a full disk",
        &Expected::failure("disk", "deliveries are answered 503", "make room there"),
    );
    checked.has(
        "(what follows from it)",
        &Expected::waits("delivery", "disk"),
    );
    drop(ballast);

    let checked = Checked::of(
        &sound()
            .with("JOURNAL__PATH", "data/journal.db")
            .with_file("data", ""),
    );
    checked.has(
        "a file where the journal's directory should be",
        &Expected::failure(
            "disk",
            "cannot be at data/journal.db",
            "correct journal.path",
        ),
    );
    let memory = format!("/dev/shm/{}/journal.db", unique("check"));
    let checked = Checked::of(&sound().with("JOURNAL__PATH", &memory));
    checked.has(
        "a journal in memory",
        &Expected::failure("disk", "is in memory (tmpfs)", "give journal.path a disk"),
    );
    let checked = Checked::of(&sound().with("JOURNAL__PATH", "journal.db").with_file(
        "journal.db",
        "somebody's own file, and nothing that SQLite knows",
    ));
    checked.has(
        "another file where the journal should be",
        &Expected::failure("journal", "is not a journal", "journal.path"),
    );
    assert_eq!(checked.code, Some(1));
}

#[test]
fn topics_that_are_not_as_they_should_be_are_told_one_by_one() {
    let broker = shared_broker();
    let prefix = unique("check-topics") + ".";
    let bridge = sound(&prefix).with("TOPICS__RETENTION", "7d");
    let topic = |name: &str| format!("{prefix}{name}");
    let retention = ("retention.ms", "604800000");
    let roomy = ("max.message.bytes", "40000000");
    broker.create_topic_with(&topic("pre-conversation"), 2, &[retention, roomy]);
    broker.create_topic_with(
        &topic("post-conversation"),
        3,
        &[retention, ("max.message.bytes", "1000")],
    );
    broker.create_topic_with(
        &topic("analytics-completed"),
        3,
        &[retention, roomy, ("cleanup.policy", "compact")],
    );
    broker.create_topic_with(
        &topic("unrecognized"),
        3,
        &[roomy, ("retention.ms", "60000")],
    );
    let checked = Checked::await_topics(&bridge, 4);
    for (name, expected) in [
        (
            "a topic that is not there",
            Expected::failure("topics", "dead-letter is missing", "run `topics ensure`"),
        ),
        (
            "another partition count",
            Expected::failure(
                "topics",
                "pre-conversation has 2 partitions, another has 3",
                "--alter --topic",
            ),
        ),
        (
            "a limit below the largest record",
            Expected::failure(
                "topics",
                "max.message.bytes is 1000 and should be",
                "topics ensure --alter",
            ),
        ),
        (
            "a compacted topic",
            Expected::failure(
                "topics",
                "cleanup.policy is compact",
                "topics ensure --alter",
            ),
        ),
        (
            "another retention than configured",
            Expected::warning("topics", "retention.ms is 60000", "topics ensure --alter"),
        ),
        ("(the other lines)", Expected::ok("rights", "")),
        (
            "(what follows from it)",
            Expected::waits("delivery", "topics"),
        ),
    ] {
        checked.has(name, &expected);
    }
    assert_eq!(checked.code, Some(1));
}

#[test]
fn a_registry_that_does_not_help_is_told() {
    let prefix = prepared();
    let registry = shared_registry();
    let with = |url: &str| sound(&prefix).with("REGISTRY__URL", url);
    let root = format!("http://{}", registry.address());
    for (name, url, what, todo) in [
        (
            "a registry that is not there",
            "http://127.0.0.1:1",
            "cannot reach the registry",
            "check registry.url, and that it runs",
        ),
        (
            "an address that is no registry's",
            root.as_str(),
            "not as a registry does",
            "root of the Confluent-compatible API",
        ),
        (
            "schemas that nobody registered",
            &registry.url(),
            "pre-conversation-value is not registered",
            "run `schemas register`",
        ),
    ] {
        let checked = Checked::of(&with(url));
        checked.has(name, &Expected::failure("registry", what, todo));
        checked.has("(the other lines)", &Expected::ok("delivery", "read back"));
        assert_eq!(checked.code, Some(1));
    }
    let subject = format!("{prefix}unrecognized-value");
    registry.register(&subject, ANOTHER);
    let checked = Checked::of(&with(&registry.url()));
    checked.has(
        "another schema under our subject",
        &Expected::failure(
            "registry",
            "version 1 there is not this program's schema",
            "schemas register",
        ),
    );
    let prefixed = with("http://127.0.0.1:1").with("REGISTRY__SCHEMA_ID", "prefix");
    Checked::of(&prefixed).has(
        "(with schema_id = \"prefix\", what follows from it)",
        &Expected::waits("delivery", "registry"),
    );
}

#[test]
fn a_serve_that_runs_otherwise_than_configured_is_told() {
    let prefix = prepared();
    let taken = TcpListener::bind(ports::free_address()).expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let checked = Checked::of(&sound(&prefix).with("LISTEN__WEBHOOKS", &address));
    checked.has(
        "an address that somebody else has",
        &Expected::failure("serve", "cannot be bound", "is another process using it"),
    );
    checked.has("(the other lines)", &Expected::ok("delivery", "read back"));
    assert_eq!(checked.code, Some(1));
    drop(taken);

    let mut bridge = sound(&prefix).start();
    bridge.await_publishing();
    bridge.set(
        "WEBHOOKS__DEFAULT__SECRETS",
        "literal:another secret than it was started with",
    );
    Checked::of(&bridge).has(
        "serve was started with another secret",
        &Expected::failure("delivery", "401", "restart it"),
    );
    bridge.set("WEBHOOKS__DEFAULT__SECRETS", "env:ATOMS_WEBHOOK_SECRET");
    bridge.set("WEBHOOKS__NEWER__SECRETS", "env:ATOMS_WEBHOOK_SECRET");
    let checked = Checked::of(&bridge);
    checked.has(
        "serve does not know a webhook",
        &Expected::failure(
            "delivery",
            "webhooks.newer: 404",
            "restart it with this configuration",
        ),
    );
    checked.has(
        "(the other webhook)",
        &Expected::ok("delivery", "webhooks.default: taken by serve"),
    );
    bridge.set("LISTEN__HEALTH", &ports::free_address().to_string());
    Checked::of(&bridge).has(
        "serve tells its health elsewhere",
        &Expected::failure("serve", "nothing tells its health", "another configuration"),
    );
    bridge.set("LISTEN__WEBHOOKS", &ports::free_address().to_string());
    let checked = Checked::of(&bridge);
    checked.has(
        "serve listens elsewhere",
        &Expected::failure("delivery", "no answer", "listen.webhooks"),
    );
    assert_eq!(checked.code, Some(1));
}

#[test]
fn atoms_api_is_asked_whether_it_takes_the_key() {
    let prefix = prepared();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let api = runtime
        .block_on(Simulator::start(any))
        .expect("a free port");
    let with = |key: &str, url: &str| {
        sound(&prefix)
            .with("ATOMS__API_KEY", &format!("literal:{key}"))
            .with("ATOMS__BASE_URL", url)
    };
    let url = api.base_url();
    let checked = Checked::of(&with(KEY, &url));
    checked.has(
        "(a key that is taken)",
        &Expected::ok("api", "the key is taken"),
    );
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    let checked = Checked::of(&with("not-the-key", &url));
    checked.has(
        "a key that the API refuses",
        &Expected::failure("api", "the API key is refused", "check atoms.api_key"),
    );
    assert!(
        !format!("{checked:?}").contains("not-the-key"),
        "{checked:?}"
    );
    assert_eq!(checked.code, Some(1));
    let checked = Checked::of(&with("any", "http://127.0.0.1:1"));
    checked.has(
        "an API that is not there",
        &Expected::warning("api", "does not answer", "all the same"),
    );
    assert_eq!(checked.code, Some(0), "{checked:#?}");
}

#[test]
fn a_certificate_is_told_with_its_name_and_its_end() {
    let prefix = prepared();
    let authority = Authority::new();
    let certificate = authority.issue("ours");
    let with = |cert: &Path, key: &Path| {
        sound(&prefix)
            .with("LISTEN__TLS__CERT", &disk::text(cert))
            .with("LISTEN__TLS__KEY", &disk::text(key))
    };
    // The harness issues for two days.
    let checked = Checked::of(&with(&certificate.cert, &certificate.key));
    let soon = Expected::warning("tls", "for localhost and 127.0.0.1, until", "renew it");
    checked.has("a certificate that ends within a week", &soon);
    checked.has("(through TLS)", &Expected::ok("delivery", "read back"));
    assert_eq!(checked.code, Some(0), "{checked:#?}");

    let name = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=nobody",
        "-keyout",
        "nobody.key",
        "-out",
        "nobody.pem",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-days",
        "90",
    ];
    let dir = certificate.cert.parent().expect("it is in a directory");
    openssl(dir, &name);
    let checked = Checked::of(&with(&dir.join("nobody.pem"), &dir.join("nobody.key")));
    let nobody = Expected::failure("tls", "names no host", "subjectAltName");
    checked.has("a certificate without a name", &nobody);
    assert_eq!(checked.code, Some(1));

    let checked = Checked::of(&with(&certificate.cert, &dir.join("nobody.key")));
    let stranger = Expected::failure(
        "configuration",
        "is not that of the first certificate",
        "same order",
    );
    checked.has("another certificate's key", &stranger);
    checked.has(
        "(what follows from it)",
        &Expected::waits("delivery", "configuration"),
    );
    assert_eq!(checked.code, Some(2));
}

/// A prefix whose topics are there.
fn prepared() -> String {
    let prefix = unique("check-broken") + ".";
    let ensured = sound(&prefix).run(&["topics", "ensure"]);
    assert!(ensured.status.success(), "{ensured:?}");
    prefix
}

/// A set-up in which nothing is broken, but for what a test's own temporary directory lacks.
fn sound(prefix: &str) -> Bridge {
    Bridge::new(&shared_broker().address())
        .with("TOPICS__PREFIX", prefix)
        .with("TOPICS__PARTITIONS", "2")
}

/// A schema that is not ours.
const ANOTHER: &str = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}"#;
