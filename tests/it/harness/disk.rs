//! A small disk of a test's own: an ext4 file system in a file, mounted for as long as the test runs.
//!
//! It needs root, as in a container. Where that is missing the test fails and says so: what a full disk does is not
//! proven by anything less. A shell holds the reading end of a pipe from us and unmounts when we end in any way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A mounted file system; dropping it unmounts and removes it.
#[derive(Debug)]
pub(crate) struct Disk {
    guard: Option<Child>,
    dir: TempDir,
}

impl Disk {
    /// A disk of so many mebibytes.
    pub(crate) fn new(mebibytes: u64) -> Self {
        let dir = TempDir::with_prefix("disk-").expect("a temporary directory");
        let image = File::create(dir.path().join("image")).expect("the directory is writable");
        image.set_len(mebibytes << 20).expect("a sparse file");
        fs::create_dir(dir.path().join("mount")).expect("the directory is writable");
        let mut disk = Self { guard: None, dir };
        // No blocks kept for root, so that full is full for everyone.
        run(
            "mkfs.ext4",
            &["-q", "-F", "-m", "0", &disk.image().to_string_lossy()],
        );
        disk.mount();
        disk
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    /// Mounts it, again after [`Disk::unmount`].
    pub(crate) fn mount(&mut self) {
        let (image, at) = (self.image(), self.path());
        run(
            "mount",
            &[
                "-o",
                "loop,errors=remount-ro",
                &image.to_string_lossy(),
                &at.to_string_lossy(),
            ],
        );
        let guard = Command::new("sh")
            .args(["-c", "cat >/dev/null; umount -l \"$0\""])
            .arg(&at)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn();
        self.guard = Some(guard.expect("sh starts"));
    }

    /// Unmounts it; whoever had files open on it must be gone.
    pub(crate) fn unmount(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let ended = guard.wait().expect("the guard is our child");
            assert!(ended.success(), "umount {}", self.path().display());
        }
    }

    /// Repairs the unmounted disk, as an operator would.
    pub(crate) fn repair(&self) {
        // 1 says that something was repaired.
        let ended = Command::new("e2fsck")
            .args(["-f", "-y"])
            .arg(self.image())
            .output()
            .expect(HOW_TO_GET);
        assert!(
            ended.status.code().is_some_and(|code| code <= 1),
            "{ended:?}"
        );
    }

    /// Has the kernel find the file system in error, which makes it read-only at once, whatever is open.
    pub(crate) fn break_down(&self) {
        let device = Command::new("findmnt")
            .args(["-n", "-o", "SOURCE"])
            .arg(self.path())
            .output()
            .expect("findmnt is in util-linux");
        let device = String::from_utf8_lossy(&device.stdout);
        let name = device.trim().trim_start_matches("/dev/");
        fs::write(
            format!("/sys/fs/ext4/{name}/trigger_fs_error"),
            "a test's doing",
        )
        .expect("ext4 lets root trigger an error");
    }

    /// Free space, as `df` tells it.
    pub(crate) fn free_bytes(&self) -> u64 {
        let output = Command::new("df")
            .args(["--output=avail", "-B1"])
            .arg(self.path())
            .output()
            .expect("df is in coreutils");
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text
            .lines()
            .last()
            .and_then(|line| line.trim().parse().ok());
        last.expect("df says a number")
    }

    /// Fills it from outside until no more than so many bytes are free.
    pub(crate) fn fill_but(&self, bytes: u64) -> Ballast {
        let path = self.path().join("most-of-the-ballast");
        let mut file = File::create(&path).expect("the disk takes a file");
        let rest = self.free_bytes().saturating_sub(bytes);
        io::copy(&mut io::repeat(0).take(rest), &mut file).expect("there is room");
        Ballast(path)
    }

    /// Fills it to the last block from outside.
    pub(crate) fn fill(&self) -> Ballast {
        let ballast = Ballast(self.path().join("ballast"));
        ballast.grow();
        ballast
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

/// A file that fills a disk; dropping it makes room again.
#[derive(Debug)]
pub(crate) struct Ballast(PathBuf);

impl Ballast {
    /// Takes every block that is free.
    pub(crate) fn grow(&self) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.0)
            .expect("the disk takes a file");
        // What was freed just now can be had only after the file system's own journal is written.
        file.sync_all().expect("an empty append");
        let mut block = vec![0; 1 << 20];
        while !block.is_empty() {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    block.truncate(block.len() / 2);
                }
                Err(error) => panic!("ballast: {error}"),
            }
        }
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("the ballast is ours");
    }
}

/// A directory's file, as a string for the environment.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("temporary paths are UTF-8").to_owned()
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; {HOW_TO_GET}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{HOW_TO_GET}",
        String::from_utf8_lossy(&output.stderr)
    );
}

const HOW_TO_GET: &str = "this test mounts a small disk of its own: run it as root, with e2fsprogs and loop devices \
                          (in a container: --privileged)";
