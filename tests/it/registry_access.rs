//! How the bridge gets at a registry: users, tokens, TLS, one that is unwell, one that is not there, and what is said then.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::json;

use crate::harness::bridge::Bridge;
use crate::harness::gate::Gate;
use crate::harness::registry::{API, Registry, shared_registry};
use crate::harness::{ports, unique, until};

#[test]
fn a_user_and_a_token_open_the_registry_and_a_wrong_one_is_told_without_being_shown() {
    // me:s3cret-of-mine, as Basic spells it.
    let basic = "Basic bWU6czNjcmV0LW9mLW1pbmU=";
    let user = [
        ("REGISTRY__USERNAME", "me"),
        ("REGISTRY__PASSWORD", "env:REGISTRY_SECRET"),
    ];
    let token = [("REGISTRY__TOKEN", "env:REGISTRY_SECRET")];
    for (wanted, keys) in [(basic, &user[..]), ("Bearer s3cret-of-mine", &token)] {
        let gate = Gate::start(shared_registry().address(), wanted);
        let bridge = asking(&format!("{}{API}", gate.url()), keys);
        let right = bridge.with_variable("REGISTRY_SECRET", "s3cret-of-mine");
        succeeded(&right.run(&REGISTER));
        assert!(gate.passed() >= 4 * 4, "everything was asked with it");

        gate.be_unwell(2);
        succeeded(&right.run(&REGISTER));

        let wrong = right.with_variable("REGISTRY_SECRET", "n0t-the-secret");
        let told = failed(&wrong.run(&REGISTER));
        assert!(
            told.contains("HTTP 401") && told.contains("registry.password, or registry.token"),
            "{told}"
        );
        assert!(!told.contains("n0t-the-secret"), "{told}");
    }
}

#[test]
fn a_registry_behind_tls_is_trusted_by_its_authority_alone() {
    let tls = ports::free_address();
    let registry = Registry::prepare();
    let dir = registry.dir().to_owned();
    certificates(&dir);
    let store = dir.join("registry.p12").display().to_string();
    let mut registry = registry
        .with_variable("QUARKUS_HTTP_SSL_PORT", &tls.port().to_string())
        .with_variable("QUARKUS_HTTP_SSL_CERTIFICATE_KEY_STORE_FILE", &store)
        .with_variable(
            "QUARKUS_HTTP_SSL_CERTIFICATE_KEY_STORE_PASSWORD",
            "password",
        );
    registry.resume();
    await_listening(tls);

    let bridge = asking(&format!("https://{tls}{API}"), &[]);
    let told = failed(&bridge.run(&REGISTER));
    assert!(
        told.contains("cannot reach the registry") && told.contains("certificate"),
        "{told}"
    );
    let ca = dir.join("ca.pem").display().to_string();
    let bridge = bridge.with("REGISTRY__CA", &ca);
    succeeded(&bridge.run(&REGISTER));
    let told = failed(&bridge.with("REGISTRY__CA", "/no/such.pem").run(&REGISTER));
    assert!(
        told.contains("cannot read certificates from /no/such.pem, the registry.ca"),
        "{told}"
    );
}

#[test]
fn a_registry_that_does_not_judge_beforehand_is_stood_in_for_by_our_own_rules() {
    let registry = shared_registry();
    let gate = Gate::start(registry.address(), "Bearer s3cret-of-mine");
    gate.hide("/apis/ccompat/v7/compatibility");
    let prefix = unique("stands-in.");
    let subject = format!("{prefix}unrecognized-value");
    let other = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"stage":{"type":"string"}}}"#;
    registry.register(&subject, other);
    let level = json!({ "compatibility": "FORWARD_TRANSITIVE" });
    registry.request("PUT", &format!("/config/{subject}"), &level);
    let bridge = asking(
        &format!("{}{API}", gate.url()),
        &[("REGISTRY__TOKEN", "literal:s3cret-of-mine")],
    )
    .with("TOPICS__PREFIX", &prefix);
    for arguments in [&["schemas", "register", "--dry-run"][..], &REGISTER] {
        let output = bridge.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            told.contains("version 1: stage: was string and is integer"),
            "{told}"
        );
    }
    assert_eq!(registry.versions(&subject), [1]);
}

#[test]
fn what_is_no_registry_is_told_with_what_to_do() {
    let bridge = asking("http://127.0.0.1:1", &[]);
    let told = failed(&bridge.run(&REGISTER));
    assert!(
        told.contains("cannot reach the registry at http://127.0.0.1:1"),
        "{told}"
    );

    let root = format!("http://{}", shared_registry().address());
    let told = failed(&asking(&root, &[]).run(&REGISTER));
    assert!(
        told.contains("registry.url is the root of the Confluent-compatible API"),
        "{told}"
    );

    let output = Bridge::new("127.0.0.1:1").run(&REGISTER);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("set registry.url"));
}

fn asking(url: &str, keys: &[(&str, &str)]) -> Bridge {
    let bridge = Bridge::new("127.0.0.1:1")
        .with("REGISTRY__URL", url)
        .with("TOPICS__PREFIX", &unique("access."));
    keys.iter()
        .fold(bridge, |bridge, (key, value)| bridge.with(key, value))
}

fn succeeded(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An authority, and a certificate that it signed for 127.0.0.1, by the JDK's own tool.
fn certificates(dir: &Path) {
    let keytool = |arguments: &str| {
        let mut command = Command::new("keytool");
        command
            .args(["-storepass", "password", "-noprompt"])
            .args(arguments.split(' '));
        let output = command
            .current_dir(dir)
            .output()
            .expect("keytool comes with the JDK");
        assert!(output.status.success(), "keytool {arguments}: {output:?}");
    };
    for arguments in [
        "-genkeypair -keystore ca.p12 -alias ca -dname CN=authority -keyalg EC -ext bc:c -validity 30",
        "-exportcert -keystore ca.p12 -alias ca -rfc -file ca.pem",
        "-genkeypair -keystore registry.p12 -alias own -dname CN=registry -keyalg EC -validity 30",
        "-certreq -keystore registry.p12 -alias own -file own.csr",
        "-gencert -keystore ca.p12 -alias ca -infile own.csr -outfile own.pem -rfc -ext san=ip:127.0.0.1 -validity 30",
        "-importcert -keystore registry.p12 -alias ca -file ca.pem",
        "-importcert -keystore registry.p12 -alias own -file own.pem",
    ] {
        keytool(arguments);
    }
}

fn await_listening(address: SocketAddr) {
    until(
        "the registry to listen with TLS",
        Duration::from_secs(10),
        || {
            std::net::TcpStream::connect(address)
                .map(drop)
                .map_err(|error| error.to_string())
        },
    );
}

const REGISTER: [&str; 2] = ["schemas", "register"];
