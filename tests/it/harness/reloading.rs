//! Exchanges what a running bridge is configured with, and waits until it has noticed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::bridge::Bridge;
use super::tls::Certificate;
use super::until;

/// Puts a certificate where the bridge looks for it.
pub(crate) fn install(dir: &Path, certificate: &Certificate) {
    for (from, name) in [
        (&certificate.cert, "tls.pem"),
        (&certificate.key, "tls.key"),
    ] {
        replace(
            dir,
            name,
            &fs::read_to_string(from).expect("openssl wrote it"),
        );
    }
}

/// Exchanges a file at once, as careful tools do.
pub(crate) fn replace(dir: &Path, name: &str, content: &str) {
    let new = dir.join(format!("{name}.new"));
    fs::write(&new, content).expect("the directory is writable");
    fs::rename(new, dir.join(name)).expect("the directory is writable");
}

/// Has the bridge take up what is on disk, and waits until it has.
pub(crate) fn reload(bridge: &mut Bridge) {
    let before = applied(bridge);
    bridge.running().signal("HUP");
    until(
        "the configuration to be taken up",
        Duration::from_secs(10),
        || {
            let log = bridge.log();
            if applied(bridge) > before {
                Ok(())
            } else {
                Err(log)
            }
        },
    );
}

/// Waits until the bridge goes on with something new, or refuses to, without having been told to look.
pub(crate) fn await_notice(bridge: &Bridge, count: impl Fn(&Bridge) -> u64, before: u64) {
    until("the bridge to look", Duration::from_secs(10), || {
        let log = bridge.log();
        if count(bridge) > before {
            Ok(())
        } else {
            Err(log)
        }
    });
}

/// How many configurations it has refused.
pub(crate) fn refused(bridge: &Bridge) -> u64 {
    metric(
        bridge,
        "atoms_bridge_config_reloads_total{outcome=\"refused\"}",
    )
}

/// How many configurations it has taken up.
pub(crate) fn applied(bridge: &Bridge) -> u64 {
    metric(
        bridge,
        "atoms_bridge_config_reloads_total{outcome=\"applied\"}",
    )
}

/// A whole number of `/metrics`.
pub(crate) fn metric(bridge: &Bridge, series: &str) -> u64 {
    let text = bridge
        .health("/metrics")
        .expect("the bridge answers")
        .text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {series} in {text}"))
}
