//! A configuration that changes while the bridge runs: valid or not at all, with or without a signal.

use std::path::Path;
use std::{fs, io};

use crate::harness::bridge::{Bridge, signature};
use crate::harness::calls::{delivery, id, judge};
use crate::harness::reloading::{applied, await_notice, metric, refused, reload, replace};
use crate::harness::{kcat, shared_broker, unique};

#[test]
fn a_wrong_configuration_changes_nothing_and_says_each_problem_in_a_line() {
    let mut bridge = start(OLD, "");
    let right = configuration("");
    for (file, content, lines) in [
        (
            "secret",
            "\n",
            &["bridge.toml:2: webhooks.default.secrets: the secret (file:secret) is empty"][..],
        ),
        (
            "bridge.toml",
            "[webhooks.default]\nsecret = [\"file:secret\"]\nack = \"both\"\n",
            &[
                "bridge.toml:2: webhooks.default.secret: unknown key",
                "bridge.toml:3: webhooks.default.ack: \"both\"",
            ],
        ),
        ("bridge.toml", "[webhooks", &["bridge.toml:1:10: not TOML"]),
        (
            "bridge.toml",
            "[webhooks.default]\nsecrets = [\"file:absent\"]\n",
            &["cannot read the secret's file absent"],
        ),
    ] {
        let (old, before) = (bridge.log().len(), refused(&bridge));
        replace(bridge.dir(), file, content);
        bridge.running().signal("HUP");
        await_notice(&bridge, refused, before);
        assert_eq!(metric(&bridge, ALARM), 1);
        let log = bridge.log().split_off(old);
        for line in lines {
            let told = |l: &str| {
                l.contains("the configuration is not reloaded, the old one stays: ")
                    && l.contains(line)
            };
            assert!(log.lines().any(told), "{line} in {log}");
        }
        assert_eq!(
            post(&bridge, "default", OLD, "kept"),
            200,
            "the old secret stays"
        );

        let before = applied(&bridge);
        replace(bridge.dir(), "secret", OLD);
        replace(bridge.dir(), "bridge.toml", &right);
        await_notice(&bridge, applied, before);
        assert_eq!(metric(&bridge, ALARM), 0);
    }
}

#[test]
fn a_file_that_vanishes_or_is_emptied_takes_no_webhook_with_it() {
    let sales = "[webhooks.sales]\nsecrets = [\"file:secret\"]\n";
    let bridge = start(OLD, sales);
    let file = bridge.dir().join("bridge.toml");
    for (id, spoil) in [
        (
            "gone",
            (|file| fs::remove_file(file)) as fn(&Path) -> io::Result<()>,
        ),
        ("emptied", |file| fs::write(file, "")),
    ] {
        let before = refused(&bridge);
        spoil(&file).expect("the directory is writable");
        await_notice(&bridge, refused, before);
        assert_eq!(post(&bridge, "sales", OLD, id), 200);
        assert_eq!(metric(&bridge, ALARM), 1);
        let before = applied(&bridge);
        replace(bridge.dir(), "bridge.toml", &configuration(sales));
        await_notice(&bridge, applied, before);
        assert_eq!(metric(&bridge, ALARM), 0);
    }
}

#[test]
fn a_file_that_was_missing_is_taken_up_when_it_comes() {
    let bridge = start(OLD, "");
    replace(
        bridge.dir(),
        "bridge.toml",
        "[webhooks.default]\nsecrets = [\"file:later\"]\n",
    );
    await_notice(&bridge, refused, 0);
    assert_eq!(post(&bridge, "default", OLD, "a"), 200);
    replace(bridge.dir(), "later", NEW);
    await_notice(&bridge, applied, 0);
    assert_eq!(post(&bridge, "default", OLD, "b"), 401);
    assert_eq!(post(&bridge, "default", NEW, "c"), 200);
}

#[test]
fn a_secret_is_rotated_by_its_files_without_a_signal() {
    let bridge = start(OLD, "");
    let two = "[webhooks.default]\nsecrets = [\"file:secret\", \"file:next\"]\n";
    fs::write(bridge.dir().join("next"), NEW).expect("the directory is writable");
    fs::write(bridge.dir().join("bridge.toml"), two).expect("the directory is writable");
    await_notice(&bridge, applied, 0);
    assert_eq!(post(&bridge, "default", OLD, "a"), 200);
    assert_eq!(post(&bridge, "default", NEW, "b"), 200);
    // What was refused before its secret was known is mended by the running bridge, with what it knows now.
    assert_eq!(post(&bridge, "default", NEWEST, "c"), 401);
    let before = applied(&bridge);
    replace(bridge.dir(), "secret", NEWEST);
    await_notice(&bridge, applied, before);
    assert_eq!(post(&bridge, "default", OLD, "d"), 401, "its time is over");
    assert_eq!(post(&bridge, "default", NEW, "e"), 200);
    let retried = bridge.run(&["quarantine", "retry", "--all"]);
    assert!(retried.status.success(), "{retried:?}");
    assert_eq!(
        bridge.pending(),
        4,
        "what was refused for want of the secret is there: {retried:?}"
    );
}

#[test]
fn what_only_a_restart_can_change_is_named_and_the_rest_counts() {
    let mut bridge = start(OLD, "");
    let more = "[webhooks.sales]\nsecrets = [\"file:secret\"]\n[journal]\npath = \"elsewhere.db\"\n[kafka]\n\"client.id\" = \"x\"\n";
    replace(bridge.dir(), "bridge.toml", &configuration(more));
    reload(&mut bridge);
    let log = bridge.log();
    assert!(
        log.contains("counts after a restart only: journal.path, kafka.client.id"),
        "{log}"
    );
    assert!(
        log.contains("configuration reloaded: webhook sales is new"),
        "{log}"
    );
    assert_eq!(post(&bridge, "sales", OLD, "a"), 200);
    assert!(!bridge.dir().join("elsewhere.db").exists());
    replace(bridge.dir(), "bridge.toml", &configuration(""));
    reload(&mut bridge);
    assert_eq!(post(&bridge, "sales", OLD, "b"), 404);
    assert!(bridge.log().contains("webhook sales is gone"));
}

#[test]
fn a_webhook_that_comes_has_its_own_topics_from_its_first_delivery() {
    let (prefix, own) = (
        format!("{}.", unique("routes")),
        format!("{}.", unique("routes-own")),
    );
    let broker = shared_broker().address();
    let mut bridge = prepare(Bridge::new(&broker), OLD, "")
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2")
        .start();
    bridge.await_publishing();
    let sales =
        format!("[webhooks.sales]\nsecrets = [\"file:secret\"]\ntopic_prefix = \"{own}\"\n");
    replace(bridge.dir(), "bridge.toml", &configuration(&sales));
    reload(&mut bridge);
    for step in 0..20 {
        assert_eq!(
            post_body(&bridge, "sales", OLD, &delivery("CALL-routed", step)),
            200
        );
    }
    // What was taken for a webhook that goes still goes where it belongs.
    replace(bridge.dir(), "bridge.toml", &configuration(""));
    reload(&mut bridge);
    bridge.await_published();
    judge(
        &broker,
        &own,
        &(0..20).map(|step| id("CALL-routed", step)).collect(),
    );
    assert_eq!(
        kcat::read(&broker, &format!("{prefix}post-conversation")),
        []
    );
}

fn start(secret: &str, more: &str) -> Bridge {
    prepare(Bridge::new("127.0.0.1:1"), secret, more).start()
}

fn prepare(bridge: Bridge, secret: &str, more: &str) -> Bridge {
    bridge
        .with_file("secret", secret)
        .with_file("bridge.toml", &configuration(more))
}

fn configuration(more: &str) -> String {
    format!("[webhooks.default]\nsecrets = [\"file:secret\"]\n{more}")
}

fn post(bridge: &Bridge, webhook: &str, secret: &str, id: &str) -> u16 {
    let body = format!("{{\"id\":\"{id}\"}}").into_bytes();
    post_body(bridge, webhook, secret, &body)
}

fn post_body(bridge: &Bridge, webhook: &str, secret: &str, body: &[u8]) -> u16 {
    let signature = signature(secret, body);
    let path = format!("/webhooks/{webhook}");
    let answer = bridge
        .client()
        .request("POST", &path, &[("x-signature", &signature)], body);
    answer.expect("an answer").status
}

const OLD: &str = "the old secret, long enough";
const NEW: &str = "the new secret, long enough";
const NEWEST: &str = "the newest secret, long enough";
const ALARM: &str = "atoms_bridge_config_reload_refused";
