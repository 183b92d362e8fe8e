//! The bridge in the file system of its image, as the pod of `examples/kubernetes` restricts it: read-only root, the image's
//! user, no capability, no new privilege, and the volume as Kubernetes hands it over. What a cluster would do with its
//! container runtime, the kernel does here for a shell script.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::kubernetes::{mounts, objects};
use super::{
    STOPS_WITHIN_SECONDS, instruction, journal_in_the_image, list, number, read, succeeds, text,
};
use crate::harness::bridge::{Bridge, SECRET};
use crate::harness::{calls, shared_broker, unique};

#[test]
fn the_bridge_runs_in_its_image_under_the_pods_restrictions() {
    let pod = objects()["StatefulSet"][0]["spec"]["template"]["spec"].clone();
    let image = Image::of(&pod);
    let broker = shared_broker().address();
    let prefix = format!("{}.", unique("container"));
    let mut bridge = Bridge::new(&broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2")
        .with("TOPICS__REPLICATION", "1")
        .with("JOURNAL__PATH", journal_in_the_image().to_str().unwrap());
    let arguments = list(&pod["containers"][0]["args"]);
    assert_eq!(arguments[0], instruction_words("CMD")[0]);
    for argument in &arguments[1..] {
        bridge = bridge.with_argument(text(argument).to_owned().leak());
    }
    bridge.set_wrapper(image.wrapper(&pod));
    let mut bridge = bridge.start();

    let pid = bridge.running().pid();
    let of_process = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let status = of_process("status");
    let user = number(&pod["securityContext"]["runAsUser"]);
    for line in [
        format!("Uid:\t{user}\t{user}"),
        "CapEff:\t0000000000000000".to_owned(),
        "NoNewPrivs:\t1".to_owned(),
    ] {
        assert!(status.contains(&line), "{line} in {status}");
    }
    let mounted = of_process("mountinfo");
    let root = mounted
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let root: Vec<_> = root.filter(|line| line[4] == "/").collect();
    assert!(
        root.iter()
            .all(|line| line[5].split(',').any(|option| option == "ro")),
        "{mounted}"
    );

    bridge.await_publishing();
    let delivery = calls::delivery("CALL-container", 0);
    assert_eq!(bridge.post("default", &delivery).status, 200);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = text(&pod["containers"][0][probe]["httpGet"]["path"]);
        assert_eq!(bridge.health(path).expect("an answer").status, 200);
    }
    assert_eq!(bridge.health("/metrics").expect("an answer").status, 200);
    let id = calls::id("CALL-container", 0);
    calls::judge(&broker, &prefix, &BTreeSet::from([id]));
    assert_eq!(bridge.term(Duration::from_secs(STOPS_WITHIN_SECONDS)), 0);

    for file in fs::read_dir(&image.volume).unwrap() {
        let file = file.unwrap().metadata().unwrap();
        assert_eq!((u64::from(file.uid()), file.mode() & 0o077), (user, 0));
    }
    // The log is for machines, as the pod's arguments have it.
    let log = bridge.log();
    assert!(
        log.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{log}"
    );
}

/// The image's files and a pod's volumes, in a directory.
struct Image {
    root: PathBuf,
    volume: PathBuf,
    _dir: TempDir,
}

impl Image {
    fn of(pod: &Value) -> Self {
        let dir = TempDir::with_prefix("image-").unwrap();
        let (root, volume) = (dir.path().join("root"), dir.path().join("volume"));
        let bin = root.join("usr/local/bin");
        let mounts = mounts(&pod["containers"][0]);
        let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap());
        for folder in [bin.clone(), root.join("proc"), volume.clone()]
            .into_iter()
            .chain(mounts.values().map(|path| inside(path)))
        {
            fs::create_dir_all(folder).unwrap();
        }
        fs::copy(BINARY, bin.join("atoms-kafka-bridge")).unwrap();
        for library in libraries() {
            let to = inside(&library);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(library, to).unwrap();
        }
        // As Kubernetes mounts a new volume: root's, and the group's by fsGroup.
        let group = u32::try_from(number(&pod["securityContext"]["fsGroup"])).unwrap();
        chown(&volume, Some(0), Some(group)).expect("the tests run as root");
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o2775)).unwrap();
        fs::write(
            inside(&mounts["config"]).join("bridge.toml"),
            read("examples/kubernetes/bridge.toml"),
        )
        .unwrap();
        let secret = inside(&mounts["secrets"]).join("webhook-secret");
        fs::write(&secret, SECRET).unwrap();
        chown(&secret, Some(0), Some(group)).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o440)).unwrap();
        Self {
            root,
            volume,
            _dir: dir,
        }
    }

    /// What stands before the bridge's own command line.
    fn wrapper(&self, pod: &Value) -> Vec<String> {
        let user = format!(
            "{}:{}",
            pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]
        );
        let journal = &mounts(&pod["containers"][0])["journal"];
        [
            "setpriv",
            "--no-new-privs",
            "unshare",
            "--mount",
            "sh",
            "-c",
            ENTER,
            "enter",
        ]
        .into_iter()
        .map(str::to_owned)
        .chain([
            self.root.display().to_string(),
            self.volume.display().to_string(),
        ])
        .chain([journal.display().to_string(), user])
        .collect()
    }
}

/// What the binary links, and what loads it.
pub(super) fn libraries() -> Vec<PathBuf> {
    let said = succeeds(Command::new("ldd").arg(BINARY));
    let paths = said.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

fn instruction_words(name: &str) -> Vec<String> {
    serde_json::from_str(&instruction(name)).unwrap()
}

const BINARY: &str = env!("CARGO_BIN_EXE_atoms-kafka-bridge");
/// Goes into the image, and stays the same process to its end. The last two lines take the place of a container runtime.
const ENTER: &str = r#"
set -eu
root=$1 volume=$2 at=$3 user=$4
shift 5
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$volume" "$root$at"
mount -o remount,bind,ro "$root"
exec chroot --userspec="$user" --groups= "$root" /usr/local/bin/atoms-kafka-bridge "$@"
"#;
