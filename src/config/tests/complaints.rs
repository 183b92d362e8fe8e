//! Every complaint, word for word.

use super::*;

#[test]
fn an_unknown_key_is_named_with_its_line_and_what_was_meant() {
    let text = "[listen]\nmax_bdy = \"1MiB\"\n\n[jurnal]\npath = \"x\"\n[webhooks.sales]\nsecrets = \"literal:0123456789abcdef\"\nsecret = \"x\"\n[topics]\nread_timeout = \"1d\"\nzzzzzzzzzzzzzzzzzz = 1";
    assert_eq!(
        problems(text, &[]),
        [
            "bridge.toml:2: listen.max_bdy: unknown key; did you mean listen.max_body?",
            "bridge.toml:5: jurnal.path: unknown key; did you mean journal.path?",
            "bridge.toml:8: webhooks.sales.secret: unknown key; did you mean webhooks.sales.secrets?",
            "bridge.toml:10: topics.read_timeout: unknown key; did you mean listen.read_timeout?",
            "bridge.toml:11: topics.zzzzzzzzzzzzzzzzzz: unknown key; known here: topics.prefix, topics.partitions, topics.replication, topics.all, topics.retention, topics.retention_bytes, topics.max_message_bytes",
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
            "bridge.toml:2: listen.tls.cert: TLS needs both; write listen.tls = { cert = \"FILE\", key = \"FILE\" }",
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
        "retries",
        "message.send.max.retries",
        "queuing.strategy",
        "delivery.report.only.error",
        "message.max.bytes",
        "topic.blacklist",
        "enabled_events",
        "test.mock.num.brokers",
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
fn a_property_that_librdkafka_does_not_know_or_take_is_told_by_its_place_and_without_its_value() {
    let text = "[kafka]\nsasl.pasword = \"hunter2\"\nlinger.ms = \"hunter2\"\nno.such.thing.at.all = \"hunter2\"\nstats_cb = 1";
    let variables = [
        KAFKA,
        ("ATOMS_BRIDGE__KAFKA__SECURTY_PROTOCOL", "hunter2"),
        ("ATOMS_BRIDGE__KAFKA__SECURITY_PROTOCOL", "hunter2"),
    ];
    let expected = [
        "bridge.toml:3: kafka.linger.ms: librdkafka does not take this value; write 0 to 900000",
        "bridge.toml:4: kafka.no.such.thing.at.all: unknown key; librdkafka has no such property; librdkafka's CONFIGURATION.md lists them all",
        "bridge.toml:2: kafka.sasl.pasword: unknown key; did you mean kafka.sasl.password?",
        "ATOMS_BRIDGE__KAFKA__SECURITY_PROTOCOL: librdkafka does not take this value; write plaintext, ssl, sasl_plaintext, sasl_ssl",
        "ATOMS_BRIDGE__KAFKA__SECURTY_PROTOCOL: unknown key; did you mean ATOMS_BRIDGE__KAFKA__SECURITY_PROTOCOL?",
        "bridge.toml:5: kafka.stats_cb: librdkafka does not take this value; librdkafka's CONFIGURATION.md says what it takes",
    ];
    assert_eq!(unmet(text, &variables, &[Need::Kafka]), expected);
    let loaded = load(text, &variables).unwrap();
    assert_eq!(lines(loaded.judge_kafka().unwrap_err()), expected);
    // What needs no Kafka goes on without it.
    assert!(loaded.require(&[]).is_ok());
}

#[test]
fn properties_that_do_not_fit_together_are_told_where_one_of_them_stands() {
    let text = "[kafka]\nsecurity.protocol = \"ssl\"\nssl.ca.location = \"/no/such/file\"";
    let found = unmet(text, &[KAFKA], &[Need::Kafka]).concat();
    let beginning = "bridge.toml:3: kafka.ssl.ca.location: librdkafka makes no client of what is set under [kafka]: ";
    assert!(found.starts_with(beginning), "{found}");
    assert!(!found.contains("/no/such/file"), "{found}");
    let text = "[kafka]\nsecurity.protocol = \"sasl_plaintext\"\nsasl.mechanism = \"hunter2\"";
    let found = unmet(text, &[KAFKA], &[Need::Kafka]).concat();
    assert!(found.starts_with("bridge.toml:1: kafka: "), "{found}");
    assert!(!found.contains("hunter2"), "{found}");
    let loaded = load(text, &[KAFKA]).unwrap();
    assert_eq!(lines(loaded.judge_kafka().unwrap_err()), [found]);
}

#[test]
fn values_with_which_nothing_would_be_published_are_refused_with_the_reason() {
    for (text, complaint) in [
        (
            "queue.buffering.max.kbytes = 33791",
            "kafka.queue.buffering.max.kbytes: write at least 33792: with less room the largest event that listen.max_body lets in would wait in the journal for ever",
        ),
        (
            "linger.ms = 70000",
            "kafka.linger.ms: write at most 2000: a transaction waits so long for its last records, and ends by itself after transaction.timeout.ms",
        ),
        (
            "queue.buffering.max.ms = 0x7d1",
            "kafka.queue.buffering.max.ms: write at most 2000: a transaction waits so long for its last records, and ends by itself after transaction.timeout.ms",
        ),
        (
            "transaction.timeout.ms = 1000\nlinger.ms = 501",
            "kafka.linger.ms: write at most 500: a transaction waits so long for its last records, and ends by itself after transaction.timeout.ms",
        ),
        (
            "transaction.timeout.ms = 900001",
            "kafka.transaction.timeout.ms: write at most 900000: brokers allow 15 minutes by default, and the transaction of a bridge that died holds up its readers so long",
        ),
        (
            "retry.backoff.ms = 15000",
            "kafka.retry.backoff.ms: write at most 10000: a step of a transaction may be repeated only after so long, and one that takes 15 s is given up",
        ),
        (
            "api.version.request = \"f\"",
            "kafka.api.version.request: write true: transactions want brokers that tell their versions",
        ),
        (
            "allow.auto.create.topics = true",
            "kafka.allow.auto.create.topics: write false: a topic that a broker makes by itself has other partitions than the rest",
        ),
    ] {
        let found = problems(&format!("[kafka]\n{text}"), &[]).concat();
        let told = found.split_once(": ").unwrap_or_default().1;
        assert_eq!(told, complaint);
    }
    for text in [
        "queue.buffering.max.kbytes = 33792",
        "linger.ms = 2000",
        "queue.buffering.max.messages = 1",
        "transaction.timeout.ms = 1000",
        "batch.size = 1\nbatch.num.messages = 1\ncompression.type = \"zstd\"",
    ] {
        let loaded = load(&format!("[kafka]\n{text}"), &[KAFKA]).unwrap();
        assert!(loaded.require_kafka().is_ok(), "{text}");
    }
    let small = "[listen]\nmax_body = \"1MiB\"\n[kafka]\nqueue.buffering.max.kbytes = 3072";
    assert!(load(small, &[]).is_ok());
}

#[test]
fn two_names_of_one_property_are_a_contradiction() {
    assert_eq!(
        problems("[kafka]\nlinger.ms = 1\nqueue.buffering.max.ms = 2", &[]),
        [
            "bridge.toml:3: kafka.queue.buffering.max.ms: set twice, also at bridge.toml:2 as kafka.linger.ms; remove one"
        ]
    );
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
fn a_zero_byte_is_no_part_of_a_property() {
    let found = problems("[kafka]\nclient.id = \"a\\u0000b\"", &[]);
    let expected =
        "bridge.toml:2: kafka.client.id: text with a zero byte does not fit; write text without";
    assert_eq!(found, [expected]);
}

#[test]
fn a_registry_is_named_whole_or_not_at_all() {
    let url = "url = \"http://r:1\"\n";
    for (text, complaint) in [
        (
            "schema_id = \"prefix\"".to_owned(),
            "bridge.toml:2: registry.schema_id: means nothing without registry.url; set that too, or remove this",
        ),
        (
            "url = \"http://me:SECRET@r:1\"".to_owned(),
            "bridge.toml:2: registry.url: an address without user, password, query or fragment; write them as registry.username and registry.password, or registry.token",
        ),
        (
            format!("{url}username = \"me\""),
            "bridge.toml:3: registry.username: registry.username and registry.password belong together; set both",
        ),
        (
            format!("{url}username = \"me\"\npassword = \"literal:x\"\ntoken = \"literal:y\""),
            "bridge.toml:5: registry.token: registry.username and registry.token exclude each other; remove one",
        ),
        (
            format!("{url}token = \"SECRET\""),
            "bridge.toml:3: registry.token: a secret is written env:NAME, file:PATH or literal:TEXT",
        ),
    ] {
        assert_eq!(problems(&format!("[registry]\n{text}"), &[]), [complaint]);
    }
    let lacking = format!("[registry]\n{url}token = \"env:UNSET\"");
    assert_eq!(
        unmet(&lacking, &[], &[Need::Registry]),
        [
            "bridge.toml:3: registry.token: the environment variable UNSET is not set; it must hold the secret"
        ]
    );
    assert!(load("[registry]\nschema_id = \"none\"", &[]).is_ok());
}
