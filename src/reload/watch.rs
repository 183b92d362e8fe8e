//! Notices that a file is another one than before, and waits until it rests.
//!
//! By asking, not by being told: it sees through the links by which orchestrators exchange mounted secrets, and works on
//! every file system. A file that is just being written is left alone until two looks see the same.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files, as they were when they were read.
pub(super) struct Watch {
    files: BTreeMap<PathBuf, Look>,
}

struct Look {
    /// When it was read.
    known: Option<Print>,
    /// At the last look.
    last: Option<Print>,
}

/// Tells a file's state from another: device, inode, size, and both times in nanoseconds.
type Print = [i128; 5];

impl Watch {
    pub(super) fn new(files: BTreeSet<PathBuf>) -> Self {
        let mut watch = Self {
            files: BTreeMap::new(),
        };
        watch.follow(files);
        watch
    }

    /// Whether a file is another one than when it was read, and none has changed since the last look.
    pub(super) fn is_due(&mut self) -> bool {
        let (mut is_other, mut rests) = (false, true);
        for (path, look) in &mut self.files {
            let now = print(path);
            is_other |= now != look.known;
            rests &= now == look.last;
            look.last = now;
        }
        is_other && rests
    }

    /// They are read now.
    pub(super) fn see(&mut self) {
        for (path, look) in &mut self.files {
            look.last = print(path);
            look.known = look.last;
        }
    }

    /// Watches these from now on. Those that are new were just read.
    pub(super) fn follow(&mut self, files: BTreeSet<PathBuf>) {
        self.files.retain(|path, _| files.contains(path));
        for path in files {
            self.files.entry(path).or_insert_with_key(|path| {
                let print = print(path);
                Look {
                    known: print,
                    last: print,
                }
            });
        }
    }
}

fn print(path: &Path) -> Option<Print> {
    let file = std::fs::metadata(path).ok()?;
    let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
    Some([
        i128::from(file.dev()),
        i128::from(file.ino()),
        i128::from(file.size()),
        ns(file.mtime(), file.mtime_nsec()),
        ns(file.ctime(), file.ctime_nsec()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_due_once_it_rests() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(BTreeSet::from([path.clone()]));
        assert!(!watch.is_due(), "nothing has changed");
        std::fs::write(&path, "").unwrap();
        assert!(!watch.is_due(), "it was just written");
        std::fs::write(&path, "two!").unwrap();
        assert!(!watch.is_due(), "and again");
        assert!(watch.is_due(), "now it rests");
        watch.see();
        assert!(!watch.is_due(), "it was read");
    }

    #[test]
    fn a_file_that_comes_goes_or_is_exchanged_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let (link, path) = (dir.path().join("link"), dir.path().join("secret"));
        let mut watch = Watch::new(BTreeSet::from([link.clone()]));
        let mut is_noticed = || {
            let due = !watch.is_due() && watch.is_due();
            watch.see();
            due
        };
        std::fs::write(&path, "one").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(is_noticed(), "it is there");
        let other = dir.path().join("other");
        std::fs::write(&other, "two").unwrap();
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        assert!(is_noticed(), "it leads elsewhere");
        std::fs::remove_file(&other).unwrap();
        assert!(is_noticed(), "it is gone");
        assert!(!is_noticed());
    }
}
