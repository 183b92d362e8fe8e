//! A disk as bad as a disk may be: it keeps what was synced and nothing else, and what a failed fsync was to write it
//! forgets while the system believes it written, as Linux does.
//!
//! Fed with the events of a trace, it says which files the power going now would leave behind.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::trace::Event;

/// The files as programs see them, and as the disk has them.
#[derive(Debug, Default)]
pub(crate) struct PowerDisk {
    files: BTreeMap<PathBuf, File>,
    /// Names whose directory was synced since they were made.
    named: BTreeSet<PathBuf>,
    syncing: HashMap<u32, Sync>,
    began: usize,
}

/// A sync under way.
#[derive(Debug)]
struct Sync {
    file: PathBuf,
    /// Its place among all of them.
    began: usize,
    copies: Copies,
}

/// What a sync is to write, and where.
type Copies = Vec<(Range<usize>, Vec<u8>)>;

#[derive(Debug, Default, Clone)]
struct File {
    seen: Vec<u8>,
    kept: Vec<u8>,
    /// Written, and neither synced nor forgotten.
    dirty: Vec<Range<usize>>,
}

/// What becomes of bytes that were written and never synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsynced {
    /// None of them reached the disk.
    Gone,
    /// Every other sector did, by a pattern that the number decides.
    Torn(u64),
}

impl PowerDisk {
    /// Takes in what happened next.
    pub(crate) fn happened(&mut self, event: &Event) {
        match event {
            Event::Created(path) => {
                self.files.entry(path.clone()).or_default();
            }
            Event::Removed(path) => {
                self.files.remove(path);
            }
            Event::Written { file, at, bytes } => self.file(file).write(*at, bytes),
            Event::Resized { file, length } => self.file(file).seen.resize(*length, 0),
            Event::SyncBegan { thread, file: path } => {
                let file = self.file(path);
                let copies = file.dirty.drain(..).map(|range| {
                    let bytes = file.seen.get(range.clone()).unwrap_or_default().to_vec();
                    (range, bytes)
                });
                let sync = Sync {
                    copies: copies.collect(),
                    file: path.clone(),
                    began: self.began,
                };
                self.began += 1;
                self.syncing.insert(*thread, sync);
            }
            Event::SyncEnded { thread, file, done } => {
                let Some(sync) = self.syncing.remove(thread) else {
                    return;
                };
                if *done {
                    let copies = self.waited_for(&sync);
                    self.synced(file, copies);
                    self.synced(file, sync.copies);
                }
            }
            Event::Sent(_) => {}
        }
    }

    /// Writes what the power going now would leave of `from` to another directory.
    pub(crate) fn cut(&self, from: &Path, to: &Path, unsynced: Unsynced) {
        for (path, file) in &self.files {
            if path.parent() != Some(from) || !self.named.contains(path) {
                continue;
            }
            let name = path.file_name().expect("a file has a name");
            fs::write(to.join(name), file.left(unsynced)).expect("a copy");
        }
    }

    /// What syncs of the same file that began before this one are still writing: Linux waits for these pages too, whoever
    /// began to write them, before it lets a sync come back.
    fn waited_for(&mut self, sync: &Sync) -> Copies {
        let earlier = |other: &&mut Sync| other.file == sync.file && other.began < sync.began;
        let mut earlier: Vec<_> = self.syncing.values_mut().filter(earlier).collect();
        earlier.sort_by_key(|other| other.began);
        // They are on the disk now, and come there no second time when the earlier sync ends.
        let copies = earlier
            .into_iter()
            .map(|other| std::mem::take(&mut other.copies));
        copies.flatten().collect()
    }

    fn file(&mut self, path: &Path) -> &mut File {
        self.files.entry(path.to_owned()).or_default()
    }

    fn synced(&mut self, path: &Path, copies: Copies) {
        let below: Vec<_> = self
            .files
            .keys()
            .filter(|file| file.parent() == Some(path))
            .cloned()
            .collect();
        if !below.is_empty() {
            self.named.retain(|name| name.parent() != Some(path));
            self.named.extend(below);
            return;
        }
        let file = self.file(path);
        let length = file.seen.len();
        file.kept.resize(length, 0);
        for (range, bytes) in copies {
            let end = (range.start + bytes.len()).min(length);
            if let Some(place) = file.kept.get_mut(range.start..end) {
                place.copy_from_slice(&bytes[..place.len()]);
            }
        }
    }
}

impl File {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[at..end].copy_from_slice(bytes);
        match self.dirty.last_mut() {
            Some(last) if last.end == at => last.end = end,
            _ => self.dirty.push(at..end),
        }
    }

    fn left(&self, unsynced: Unsynced) -> Vec<u8> {
        let mut left = self.kept.clone();
        let Unsynced::Torn(pattern) = unsynced else {
            return left;
        };
        let mut random = pattern | 1;
        for range in &self.dirty {
            let mut at = range.start;
            while at < range.end {
                let end = ((at / SECTOR + 1) * SECTOR).min(range.end);
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                if random >> 63 == 1 && end <= self.seen.len() {
                    if left.len() < end {
                        left.resize(end, 0);
                    }
                    left[at..end].copy_from_slice(&self.seen[at..end]);
                }
                at = end;
            }
        }
        left
    }
}

const SECTOR: usize = 512;
