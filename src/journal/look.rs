//! Looks at the place of a journal without opening it: who has it, what disk it is on, how fast that disk is.
//!
//! Made for `check`: it leaves nothing behind, not even a directory that `serve` would make.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::Options;
use super::place::{self, Disk, FileSystem};
use super::space;

/// The disk that a journal is on, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The directory, or the nearest one above it that is there.
    pub directory: PathBuf,
    /// What kind of file system it is.
    pub kind: GroundKind,
    /// What may still be written.
    pub free_bytes: u64,
    /// Below this nothing is appended.
    pub floor_bytes: u64,
}

/// What a kind of file system means for a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroundKind {
    /// Nothing against it.
    Local,
    /// Refused.
    Network(&'static str),
    /// Gone with the power.
    Memory(&'static str),
    /// The writable layer of a container, which goes with the container.
    Layer(&'static str),
}

/// The process that has the journal at `path` open to write; its id as text.
///
/// # Errors
///
/// The lock's file cannot be opened.
pub fn holder(path: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(place::beside(path, ".lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A file where a directory should be is the disk's line to tell.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        other => other?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            // At once: a `serve` that starts now must not find it taken.
            let _ = flock(&file, FlockOperation::Unlock);
            Ok(None)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(place::holder(&mut file))),
        Err(error) => Err(error.into()),
    }
}

/// What is under a journal at `path`.
///
/// # Errors
///
/// The file system does not tell, or something that is no directory is in the way.
pub fn ground(path: &Path) -> io::Result<Ground> {
    let directory = nearest(place::directory_of(path))?;
    let disk = Disk::of(&directory.join("journal"))?;
    let kind = match place::file_system(&directory)? {
        Some(FileSystem::Network(name)) => GroundKind::Network(name),
        Some(FileSystem::Memory(name)) => GroundKind::Memory(name),
        Some(FileSystem::Layer(name)) => GroundKind::Layer(name),
        None => GroundKind::Local,
    };
    Ok(Ground {
        kind,
        free_bytes: disk.free_bytes,
        floor_bytes: space::floor_bytes(Options::default().free_floor_bytes, disk),
        directory,
    })
}

/// The middle one of how long an fsync behind a small write took.
///
/// # Errors
///
/// The disk refuses.
pub fn fsync_takes(directory: &Path) -> io::Result<Duration> {
    let scratch = Scratch::create(directory)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(scratch.path().join("fsync"))?;
    let mut took = Vec::with_capacity(FSYNCS);
    for _ in 0..FSYNCS {
        file.write_all(&[0; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort();
    Ok(took.get(FSYNCS / 2).copied().unwrap_or_default())
}

/// A directory for what is needed for a moment only; gone when it is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one for its owner only.
    ///
    /// # Errors
    ///
    /// The disk refuses.
    pub fn create(directory: &Path) -> io::Result<Self> {
        let path = directory.join(format!(".bridge-check-{}", uuid::Uuid::new_v4()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is small and says by its name whose it is.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn nearest(directory: &Path) -> io::Result<PathBuf> {
    let mut found = directory;
    loop {
        match fs::metadata(found) {
            Ok(found_there) if found_there.is_dir() => return Ok(found.to_owned()),
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        found = place::directory_of(found);
    }
}

const FSYNCS: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;

    #[test]
    fn the_holder_is_told_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/journal.db");
        assert_eq!(holder(&path).unwrap(), None);
        assert_eq!(ground(&path).unwrap().directory, dir.path());
        fsync_takes(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let journal = Journal::open(&path).unwrap();
        let own = std::process::id().to_string();
        assert_eq!(holder(&path).unwrap(), Some(own));
        journal.close();
        drop(journal);
        assert_eq!(holder(&path).unwrap(), None);
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("data"), "").unwrap();
        assert!(ground(&dir.path().join("data/journal.db")).is_err());
    }
}
