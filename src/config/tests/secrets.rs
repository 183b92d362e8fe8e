//! Secrets: found where they are, missed only by those who need them, shown to nobody.

use super::*;

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
        sasl.username = "env:S"
        [registry]
        url = "http://host:1/x"
        token = "literal:TOPSECRET"
        [atoms]
        base_url = "https://host:1/x"
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
    assert_eq!(value("atoms.api_key"), ("literal:***", &both[..1]));
    assert_eq!(value("registry.token"), ("literal:***", &both[..1]));
    let missing = SecretState::Missing(
        "the environment variable UNSET is not set; it must hold the secret".into(),
    );
    assert_eq!(value("kafka.client.id"), ("env:UNSET ***", &[missing][..]));
}
