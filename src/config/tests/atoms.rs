//! `[atoms]`: a key is found where it usually is, missed only by those who need it, and never shown.

use std::time::Duration;

use super::*;

#[test]
fn the_key_is_found_in_its_usual_variable_unless_something_else_is_written() {
    for (text, expected) in [
        ("", &b"usual"[..]),
        ("[atoms]\napi_key = \"env:OTHER\"", b"other"),
    ] {
        let variables = [("ATOMS_API_KEY", "usual"), ("OTHER", "other")];
        let config = load(text, &variables)
            .unwrap()
            .require(&[Need::ApiKey])
            .unwrap();
        assert_eq!(config.atoms.api_key.unwrap().expose(), expected);
        assert_eq!(config.atoms.base_url, "https://api.smallest.ai/atoms/v1");
        assert_eq!(config.atoms.requests_per_second, 5);
        assert_eq!(config.atoms.timeout, Duration::from_secs(30));
        let times = (config.atoms.reconcile_every, config.atoms.settling_time);
        assert_eq!(
            times,
            (Some(Duration::from_secs(60)), Duration::from_secs(600))
        );
    }
}

#[test]
fn without_a_key_only_the_commands_that_need_it_are_told() {
    assert!(load("", &[]).unwrap().require(&[Need::Atoms]).is_ok());
    assert_eq!(
        unmet("", &[], &[Need::ApiKey]),
        [
            "atoms.api_key: not set; make a key in the Atoms dashboard and put it into ATOMS_API_KEY, or write api_key = \"env:NAME\" under [atoms]"
        ]
    );
}

#[test]
fn a_key_that_is_written_but_not_there_is_told_to_serve_as_well() {
    let text = "[atoms]\napi_key = \"env:UNSET\"";
    for need in [Need::Atoms, Need::ApiKey] {
        assert_eq!(
            unmet(text, &[], &[need]),
            [
                "bridge.toml:2: atoms.api_key: the environment variable UNSET is not set; it must hold the secret"
            ]
        );
    }
    let usual = [("ATOMS_API_KEY", "")];
    assert!(load("", &usual).unwrap().require(&[Need::Atoms]).is_ok());
}

#[test]
fn a_key_over_plain_http_is_warned_of_but_not_on_this_machine() {
    let key = [("ATOMS_API_KEY", "key")];
    for (url, warned) in [
        ("https://api.example.com", false),
        ("http://127.0.0.1:9/x/", false),
        ("http://localhost:9", false),
        ("http://[::1]:9", false),
        ("http://api.example.com", true),
        ("http://127.0.0.1.example.com", true),
    ] {
        let loaded = load(&format!("[atoms]\nbase_url = \"{url}\""), &key).unwrap();
        assert_eq!(!loaded.warnings.is_empty(), warned, "{url}");
        assert!(!loaded.config.atoms.base_url.ends_with('/'));
    }
}

#[test]
fn reconciliation_can_be_left_to_commands() {
    let config = load("[atoms]\nreconcile_every = \"off\"", &[])
        .unwrap()
        .config;
    assert_eq!(config.atoms.reconcile_every, None);
    let found = problems("[atoms]\nreconcile_every = \"never\"", &[]);
    assert!(
        found.len() == 1 && found[0].contains("or \"off\""),
        "{found:?}"
    );
}

#[test]
fn a_pace_beyond_every_plan_is_refused() {
    for rate in ["0", "101", "1.5"] {
        let text = format!("[atoms]\nrequests_per_second = {rate}");
        let found = problems(&text, &[]);
        assert!(
            found.len() == 1 && found[0].contains("from 1 to 100"),
            "{found:?}"
        );
    }
}

#[test]
fn an_address_that_says_too_much_is_refused_without_being_shown() {
    for url in ["https://me:word@host/x", "https://host/x?key=word"] {
        let found = problems(&format!("[atoms]\nbase_url = \"{url}\""), &[]);
        assert_eq!(
            found,
            [
                "bridge.toml:2: atoms.base_url: an address without user, password, query or fragment; the key is atoms.api_key"
            ]
        );
    }
}
