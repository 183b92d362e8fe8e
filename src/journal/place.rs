//! Where the journal lies: its directory, its file, its lock, and what kind of file system that is.
//!
//! Everything here happens before SQLite opens the file: afterwards, closing any other descriptor of it would drop
//! SQLite's own locks. The lock is for the writer alone and is held as long as the [`Lock`] lives.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::error::OpenError;

/// The one writer's lock; dropping it lets the next process in.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it to a child process that was being started just now.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Makes the directory and the empty file if they are missing, and takes the lock. The descriptor of the file, by which it
/// can be synced, must outlive SQLite's.
pub(super) fn prepare(path: &Path) -> Result<(Lock, File), OpenError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        |source| OpenError::Io { path, source }
    };
    let directory = directory_of(path);
    create_directory(directory).map_err(io(directory))?;
    if let Some(FileSystem::Network(name)) = file_system(directory).map_err(io(directory))? {
        return Err(OpenError::NetworkFileSystem {
            path: path.to_owned(),
            name,
        });
    }
    let lock = take_lock(path)?;
    create_file(path).map_err(io(path))?;
    let wal = beside(path, "-wal");
    write_again(&wal).map_err(io(&wal))?;
    let file = File::open(path).map_err(io(path))?;
    Ok((lock, file))
}

/// The file system that a journal is on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    /// What whoever is not root may still write.
    pub(super) free_bytes: u64,
    /// How large it is.
    pub(super) total_bytes: u64,
}

impl Disk {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(directory_of(path))?;
        Ok(Self {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

/// Which files a journal's path leads to. SQLite would go on writing into files that were moved away or removed, and
/// nobody would find there what was answered 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Files {
    file: (u64, u64),
    wal: (u64, u64),
}

impl Files {
    /// Opens nothing: closing a descriptor would drop SQLite's locks.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
        Ok(Self {
            file: identity(path)?,
            wal: identity(&beside(path, "-wal"))?,
        })
    }
}

/// Writes what a WAL holds to it once more, and syncs.
///
/// After an fsync that failed, the kernel counts the pages as written though the disk does not have them. A commit that was
/// refused for it is in the page cache all the same, and a process that starts then would take it for good and put
/// what it answers 200 behind it, out of reach once the power goes. Written again, the pages are on disk or an error says
/// that they are not. The same bytes in the same place: nothing can be torn by it.
fn write_again(wal: &Path) -> io::Result<()> {
    let file = match OpenOptions::new().read(true).write(true).open(wal) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let mut buffer = vec![0; COPIED_BYTES];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut buffer, at)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        file.write_all_at(bytes, at)?;
        at += read as u64;
    }
    file.sync_all()
}

/// A file beside the journal: its path with `suffix` at the end.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    // Without this a power cut could take the new directory away, and the journal with it.
    File::open(directory_of(directory))?.sync_all()
}

/// Makes an empty file for its owner only, unless there is one.
pub(super) fn create_file(path: &Path) -> io::Result<()> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(file) => {
            file.sync_all()?;
            File::open(directory_of(path))?.sync_all()
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => fs::metadata(path).map(|_| ()),
        Err(e) => Err(e),
    }
}

fn take_lock(path: &Path) -> Result<Lock, OpenError> {
    let lock_path = beside(path, ".lock");
    let io = |source| OpenError::Io {
        path: lock_path.clone(),
        source,
    };
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(OpenError::Locked {
                path: path.to_owned(),
                pid: holder(&mut file),
            });
        }
        Err(e) => return Err(io(e.into())),
    }
    match file.write_all_at(&own_id(), 0) {
        // Who holds it is only said to people; on a full disk the journal can still be published.
        Err(e) if e.kind() != io::ErrorKind::StorageFull => return Err(io(e)),
        Ok(()) | Err(_) => {}
    }
    Ok(Lock { file })
}

/// This process's id, always of one length: what another one left is written over in place, which needs no room.
fn own_id() -> Vec<u8> {
    format!("{:<10}\n", std::process::id()).into_bytes()
}

pub(super) fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // The file is tiny; a holder that has not written its id yet is still a holder.
    match file.take(32).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

const COPIED_BYTES: usize = 1 << 20;

/// A file system that is not just a local disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileSystem {
    /// Its locks and fsync cannot be trusted.
    Network(&'static str),
    /// It is gone with the power.
    Memory(&'static str),
    /// It goes with its container.
    Layer(&'static str),
}

#[cfg(target_os = "linux")]
pub(super) fn file_system(directory: &Path) -> io::Result<Option<FileSystem>> {
    // The low 32 bits are the whole magic number; some C libraries extend the sign.
    let magic = rustix::fs::statfs(directory)?.f_type as u32;
    Ok(FILE_SYSTEMS
        .iter()
        .find(|(known, _)| *known == magic)
        .map(|(_, found)| *found))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn file_system(_: &Path) -> io::Result<Option<FileSystem>> {
    Ok(None)
}

/// From `statfs(2)` and the kernel's `magic.h`.
#[cfg(target_os = "linux")]
const FILE_SYSTEMS: &[(u32, FileSystem)] = &[
    (0x6969, FileSystem::Network("NFS")),
    (0x517b, FileSystem::Network("SMB")),
    (0xfe53_4d42, FileSystem::Network("SMB2")),
    (0xff53_4d42, FileSystem::Network("CIFS")),
    (0x0102_1997, FileSystem::Network("9p")),
    (0x6573_5546, FileSystem::Network("FUSE")),
    (0x00c3_6400, FileSystem::Network("Ceph")),
    (0x5346_414f, FileSystem::Network("AFS")),
    (0x7375_7245, FileSystem::Network("Coda")),
    (0x564c, FileSystem::Network("NCP")),
    (0x0bd0_0bd0, FileSystem::Network("Lustre")),
    (0x4750_4653, FileSystem::Network("GPFS")),
    (0x7461_636f, FileSystem::Network("OCFS2")),
    (0x0116_1970, FileSystem::Network("GFS2")),
    (0x1983_0326, FileSystem::Network("BeeGFS")),
    (0x0102_1994, FileSystem::Memory("tmpfs")),
    (0x8584_58f6, FileSystem::Memory("ramfs")),
    (0x794c_7630, FileSystem::Layer("overlayfs")),
];
