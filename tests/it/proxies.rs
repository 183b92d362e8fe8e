//! The client's address in the log: what a proxy says counts only where the configuration trusts that proxy.

use std::time::Duration;

use serde_json::Value;

use crate::harness::bridge::Bridge;
use crate::harness::until;

#[test]
fn the_clients_address_is_a_proxys_word_only_where_it_is_trusted() {
    for (networks, header, expected) in [
        (None, "x-forwarded-for", "127.0.0.1"),
        (Some("10.0.0.0/8"), "x-forwarded-for", "127.0.0.1"),
        (Some("127.0.0.1"), "x-forwarded-for", "198.51.100.7"),
        (
            Some("10.0.0.0/8, 127.0.0.0/8"),
            "x-forwarded-for",
            "198.51.100.7",
        ),
        (Some("127.0.0.0/8"), "forwarded", "192.0.2.60"),
    ] {
        let mut bridge = Bridge::new("127.0.0.1:1").with("LISTEN__CLIENT_HEADER", header);
        if let Some(networks) = networks {
            bridge = bridge.with("LISTEN__TRUSTED_PROXIES", networks);
        }
        let bridge = bridge.start();
        let headers = [
            ("x-signature", "00"),
            ("x-forwarded-for", "203.0.113.1, 198.51.100.7"),
            ("forwarded", "for=203.0.113.2, for=192.0.2.60"),
        ];
        let answer = bridge
            .client()
            .request("POST", "/webhooks/default", &headers, b"{}");
        assert_eq!(answer.expect("an answer").status, 401);
        let line = until("the refusal in the log", Duration::from_secs(5), || {
            let log = bridge.log();
            let line = log.lines().find(|line| line.contains("wrong signature"));
            line.map(str::to_owned).ok_or(log)
        });
        assert!(
            line.contains(&format!("client={expected}")),
            "{networks:?} {header}: {line}"
        );
    }
}

#[test]
fn trusted_proxies_are_shown_and_checked() {
    let bridge = Bridge::new("127.0.0.1:1").with("LISTEN__TRUSTED_PROXIES", "10.0.0.0/8,fd00::1");
    let shown = bridge.run(&["config", "show", "--json"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let line = shown
        .lines()
        .find(|line| line.contains("listen.trusted_proxies"));
    let line: Value = serde_json::from_str(line.expect("the key is shown")).expect("JSON");
    assert_eq!(line["value"], "10.0.0.0/8,fd00::1");
    assert!(shown.contains("listen.client_header"), "{shown}");

    let wrong = bridge.with("LISTEN__TRUSTED_PROXIES", "10.0.0.0/8,proxy.example");
    let told = wrong.run(&["config", "show"]);
    assert_eq!(told.status.code(), Some(2));
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("ATOMS_BRIDGE__LISTEN__TRUSTED_PROXIES: \"proxy.example\" does not fit; write the address of a proxy, or a network such as 10.0.0.0/8"), "{told}");
}
