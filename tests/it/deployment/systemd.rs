//! `examples/systemd`: systemd's own tool has nothing against the unit, it takes from the bridge nothing that it asks for,
//! and its paths are those of the configuration beside it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{
    CONNECTIONS, STOPS_WITHIN_SECONDS, bytes, memory_bytes, output, parses, read, root, said,
    shown, succeeds,
};
use crate::harness::bridge::Bridge;
use crate::harness::{calls, shared_broker, strace, unique};

#[test]
fn systemds_own_tool_has_nothing_against_the_unit() {
    let dir = TempDir::with_prefix("systemd-").unwrap();
    assert_eq!(verify(dir.path(), &unit()), "");
    // It would tell.
    for (right, wrong) in [
        ("PrivateTmp=", "PrivateTemp="),
        ("Restart=always", "Restart=ever"),
        ("ExecStart=/usr/local", "ExecStart=/usr/locl"),
    ] {
        let spoilt = unit().replacen(right, wrong, 1);
        assert_ne!(spoilt, unit());
        assert_ne!(verify(dir.path(), &spoilt), "", "{wrong}");
    }
    let file = root().join(UNIT);
    let mut analyze = Command::new("systemd-analyze");
    analyze.args([
        "security",
        "--no-pager",
        "--offline=true",
        &format!("--threshold={EXPOSURE}"),
    ]);
    let said = succeeds(analyze.arg(file));
    println!("{}", said.lines().last().unwrap());
}

#[test]
fn the_bridge_asks_for_nothing_that_the_unit_takes_away() {
    let (asked, own) = recorded();
    let calls: BTreeSet<&str> = asked.iter().map(|(call, _)| *call).collect();
    assert!(
        calls.contains("fsync") && calls.contains("accept4") && calls.len() > 40,
        "{calls:?}"
    );
    let allowed = allowed_calls();
    let refused: Vec<_> = calls
        .iter()
        .filter(|call| !allowed.contains(**call))
        .collect();
    assert!(refused.is_empty(), "SystemCallFilter refuses {refused:?}");

    let families = settings("RestrictAddressFamilies");
    for (call, arguments) in &asked {
        if ["socket", "socketpair"].contains(call) {
            let family = arguments.split(',').next().unwrap();
            assert!(families.iter().any(|allowed| allowed == family), "{family}");
        }
        if ["mmap", "mprotect"].contains(call) {
            let both = arguments.contains("PROT_WRITE") && arguments.contains("PROT_EXEC");
            assert!(!both, "MemoryDenyWriteExecute refuses {call}({arguments}");
        }
        if ["open", "openat", "creat"].contains(call) && arguments.contains("O_CREAT") {
            let path = arguments.split('"').nth(1).unwrap();
            let is_own = Path::new(path).starts_with(&own);
            assert!(
                is_own || !path.starts_with('/'),
                "ProtectSystem refuses {path}"
            );
        }
    }
}

#[test]
fn paths_times_and_limits_of_the_unit_are_those_of_the_binary() {
    let start = one("ExecStart");
    let (program, arguments) = start.split_once(' ').unwrap();
    assert_eq!(program, "/usr/local/bin/atoms-kafka-bridge");
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let config = parses(&arguments).common.config.unwrap();
    assert_eq!(config, Path::new("/etc/atoms-kafka-bridge/bridge.toml"));
    let environment = one("EnvironmentFile");
    assert_eq!(environment, "-/etc/atoms-kafka-bridge/environment");

    let variables = read("examples/systemd/environment");
    let variables: Vec<(String, String)> = variables
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let shown = shown(
        Some(&root().join("examples/systemd/bridge.toml")),
        &variables,
    );
    let state = PathBuf::from("/var/lib").join(one("StateDirectory"));
    assert_eq!(Path::new(&shown["journal.path"]).parent().unwrap(), state);
    assert_eq!(Path::new(&one("WorkingDirectory")), state);
    let secret = "file:/etc/atoms-kafka-bridge/webhook-secret";
    assert!(shown["webhooks.default.secrets"].contains(secret));

    assert!(one("TimeoutStopSec").parse::<u64>().unwrap() >= STOPS_WITHIN_SECONDS + 5);
    let needed = memory_bytes(bytes(&shown["listen.max_body"]), CONNECTIONS);
    assert!(bytes(&one("MemoryMax")) >= needed);
    assert!(one("LimitNOFILE").parse::<u64>().unwrap() > 2 * CONNECTIONS);
    let users = read("examples/systemd/atoms-kafka-bridge.sysusers");
    assert!(users.contains(&format!("\nu {} ", one("User"))));
}

/// What the bridge asked of the system from its first instruction to its end, with a real broker and all of its threads,
/// as the unit's user would: neither root nor a capability. And the directory that is its own.
fn recorded() -> (Vec<(&'static str, &'static str)>, PathBuf) {
    let traces = TempDir::with_prefix("strace-").unwrap();
    let log = traces.path().join("trace");
    let prefix = format!("{}.", unique("systemd"));
    let mut bridge = Bridge::new(&shared_broker().address())
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2");
    chown(bridge.dir(), Some(USER), Some(USER)).expect("the tests run as root");
    let id = USER.to_string();
    let mut wrapper = strace::recording(
        &log,
        &["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"],
    );
    wrapper.extend(["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"].map(str::to_owned));
    bridge.set_wrapper(wrapper);
    let mut bridge = bridge.start();
    bridge.await_publishing();
    for step in 0..20 {
        let delivery = calls::delivery("CALL-systemd", step);
        assert_eq!(bridge.post("default", &delivery).status, 200);
    }
    let unsigned = bridge
        .client()
        .request("POST", "/webhooks/default", &[], b"{}");
    assert_eq!(unsigned.expect("an answer").status, 401);
    bridge.await_published();
    let replayed = bridge.run(&["journal", "replay", "--since", "1h"]);
    assert!(replayed.status.success(), "{}", said(&replayed));
    bridge.await_published();
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(bridge.health(path).expect("an answer").status, 200);
    }
    assert_eq!(bridge.term(Duration::from_secs(STOPS_WITHIN_SECONDS)), 0);
    let trace: &'static str = strace::finished(&log).leak();
    let (_, own) = trace
        .split_once(&format!("execve(\"{BINARY}\""))
        .expect("it was started");
    let asked = own.lines().skip(1).filter_map(call).collect();
    (asked, bridge.dir().to_owned())
}

/// The name and the arguments in a line of strace: `123 name(arguments`, also where the end is on a later line.
fn call(line: &'static str) -> Option<(&'static str, &'static str)> {
    let (_, rest) = line.split_once(' ')?;
    let (name, arguments) = rest.trim_start().split_once('(')?;
    let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (is_name && !name.is_empty()).then_some((name, arguments))
}

/// What the unit's lines leave, sets within sets resolved by systemd's own tool.
fn allowed_calls() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in unit()
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
    {
        match line.strip_prefix('~') {
            Some(refused) => {
                let refused = calls_of(refused);
                allowed.retain(|call| !refused.contains(call));
            }
            None => allowed.extend(calls_of(line)),
        }
    }
    allowed
}

fn calls_of(names: &str) -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    for name in names.split(' ') {
        if name.starts_with('@') {
            let listed = succeeds(Command::new("systemd-analyze").args(["syscall-filter", name]));
            let inner = listed.lines().skip(1).map(str::trim);
            let inner: Vec<&str> = inner
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .collect();
            calls.extend(calls_of(&inner.join(" ")));
        } else {
            calls.insert(name.to_owned());
        }
    }
    calls
}

/// What systemd would say of the unit, on a machine where it is installed as its head says.
fn verify(dir: &Path, unit: &str) -> String {
    let units = dir.join("etc/systemd/system");
    let bin = dir.join("usr/local/bin");
    fs::create_dir_all(&units).unwrap();
    fs::create_dir_all(&bin).unwrap();
    fs::copy(BINARY, bin.join("atoms-kafka-bridge")).unwrap();
    // Beside it only what it refers to.
    for target in [
        "network-online.target",
        "network.target",
        "sysinit.target",
        "basic.target",
        "shutdown.target",
        "multi-user.target",
    ] {
        fs::write(units.join(target), "[Unit]\n").unwrap();
    }
    fs::write(units.join("-.mount"), "[Mount]\nWhat=/dev/root\nWhere=/\n").unwrap();
    fs::write(units.join(NAME), unit).unwrap();
    let mut analyze = Command::new("systemd-analyze");
    analyze
        .args(["verify", "--man=no", "--root"])
        .arg(dir)
        .arg(NAME);
    said(&output(&mut analyze))
}

fn unit() -> String {
    read(UNIT)
}

/// The words behind a key that may stand once.
fn settings(key: &str) -> Vec<String> {
    one(key).split(' ').map(str::to_owned).collect()
}

fn one(key: &str) -> String {
    let unit = unit();
    let mut found = unit
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let value = found.next().unwrap_or_else(|| panic!("no {key}"));
    assert_eq!(found.next(), None, "one {key}");
    value.to_owned()
}

const UNIT: &str = "examples/systemd/atoms-kafka-bridge.service";
const NAME: &str = "atoms-kafka-bridge.service";
const BINARY: &str = env!("CARGO_BIN_EXE_atoms-kafka-bridge");
/// In tenths; systemd's scale ends at 10, and most services without hardening are at 9.6.
const EXPOSURE: u32 = 13;
/// Nobody's.
const USER: u32 = 10001;
