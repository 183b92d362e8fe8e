//! Makes what a broker leaves behind that withholds the markers of a transaction (KAFKA-20734): the logs end before them,
//! and the coordinator counts the transaction as ended.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::until;

/// How long each log of a broker is, by its file.
pub(crate) type Lengths = BTreeMap<PathBuf, u64>;

/// The logs of a broker's data directory whose partitions' names begin with one of `prefixes`.
pub(crate) fn lengths(data: &Path, prefixes: &[&str]) -> Lengths {
    let entries = |dir: &Path| fs::read_dir(dir).expect("a directory of the broker");
    entries(data)
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        })
        .flat_map(|entry| entries(&entry.path()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|it| it == "log"))
        .map(|path| {
            let length = path.metadata().expect("a file's size").len();
            (path, length)
        })
        .collect()
}

/// Cuts the last marker off each of these logs that has grown since; how many there were. The broker does not run.
pub(crate) fn withhold(since: &Lengths, logs: &Lengths) -> usize {
    let grown = logs
        .iter()
        .filter(|(path, length)| since.get(*path) != Some(length));
    grown.map(|(path, _)| cut(path)).count()
}

/// Waits until each of these logs that has grown since ends with a marker, and the coordinator has had time to note that:
/// the broker answers a commit before it writes them, and writes them again if it is killed before it has noted it.
pub(crate) fn await_written(since: &Lengths, logs: impl Fn() -> Lengths) {
    until("the markers to be written", LIMIT, || {
        let logs = logs();
        let mut grown = logs
            .iter()
            .filter(|(path, length)| since.get(*path) != Some(length));
        match grown.find(|(path, _)| last_marker(path).is_none()) {
            None => Ok(()),
            Some((path, _)) => Err(format!("{} does not end with one", path.display())),
        }
    });
    std::thread::sleep(NOTED_WITHIN);
}

fn cut(log: &Path) {
    let last =
        last_marker(log).unwrap_or_else(|| panic!("{} does not end with a marker", log.display()));
    let file = File::options().write(true).open(log);
    file.and_then(|file| file.set_len(last as u64))
        .expect("the log can be cut");
}

/// Where the last batch begins, if that is a marker and whole.
fn last_marker(log: &Path) -> Option<usize> {
    let bytes = fs::read(log).expect("the log can be read");
    let (mut at, mut last) = (0, 0);
    while at < bytes.len() {
        last = at;
        bytes.get(at..at + ATTRIBUTES + 2)?;
        at += BEFORE_LENGTH + 4 + number::<4>(&bytes, at + BEFORE_LENGTH) as usize;
    }
    let is_whole = at == bytes.len() && at > 0;
    (is_whole && number::<2>(&bytes, last + ATTRIBUTES) & CONTROL != 0).then_some(last)
}

fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + BYTES]
        .iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A batch begins with its first offset and its length; of the attributes one bit says that it is a marker.
const BEFORE_LENGTH: usize = 8;
const ATTRIBUTES: usize = 21;
const CONTROL: u32 = 0x20;
const NOTED_WITHIN: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);
