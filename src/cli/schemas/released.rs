//! `schemas/RELEASED`: the checksums of released files, in the form of `sha256sum`, so that anybody can check them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::read;

/// What was released, by the files' names. A directory without the list has none.
#[derive(Debug, Default)]
pub(super) struct Released(BTreeMap<String, String>);

impl Released {
    /// Reads the list of a directory.
    pub(super) fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(LIST);
        let Some(list) = read(&path)? else {
            return Ok(Self::default());
        };
        let list = String::from_utf8_lossy(&list);
        let entry = |line: &str| {
            let (sum, file) = line.split_once("  ")?;
            Some((file.to_owned(), sum.to_owned()))
        };
        let entries: Option<BTreeMap<_, _>> = list.lines().map(entry).collect();
        let entries =
            entries.with_context(|| format!("{} is no list of sha256sum", path.display()))?;
        Ok(Self(entries))
    }

    /// Each released file, and whether it is gone or other than it was.
    pub(super) fn files(&self, dir: &Path) -> anyhow::Result<Vec<(&str, bool)>> {
        let mut files = Vec::with_capacity(self.0.len());
        for (file, sum) in &self.0 {
            let text = read(&dir.join(file))?;
            let is_changed = text.is_none_or(|text| checksum(&text) != *sum);
            files.push((file.as_str(), is_changed));
        }
        Ok(files)
    }

    /// Whether a file may become this text.
    pub(super) fn allow(&self, file: &str, text: &str) -> anyhow::Result<()> {
        match self.0.get(file) {
            Some(sum) if *sum != checksum(text.as_bytes()) => bail!(
                "{file} is released and never changes, but this build's is another; make a new version (schemas/README.md)"
            ),
            Some(_) | None => Ok(()),
        }
    }
}

fn checksum(text: &[u8]) -> String {
    hex::encode(Sha256::digest(text))
}

const LIST: &str = "RELEASED";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::output::Output;
    use crate::cli::schemas::{State, compare, files, write};

    #[test]
    fn a_released_file_is_neither_changed_nor_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = |file: &str| dir.path().join(file);
        let write_all = || write(&mut Output::plain(Vec::new()), dir.path());
        write_all().unwrap();
        let text = fs::read(path("unrecognized.v1.json")).unwrap();
        let list = |now: &str, before: &str| {
            let (now, before) = (checksum(now.as_bytes()), checksum(before.as_bytes()));
            format!("{now}  unrecognized.v1.json\n{before}  unrecognized.v0.json\n")
        };
        let same = String::from_utf8(text).unwrap();
        fs::write(path("unrecognized.v0.json"), "{}").unwrap();
        fs::write(path(LIST), list(&same, "{}")).unwrap();
        let states = || -> Vec<(String, State)> {
            let found = compare(dir.path(), &files().unwrap()).unwrap();
            found
                .into_iter()
                .map(|difference| (difference.file, difference.state))
                .collect()
        };
        assert_eq!(states(), [], "an earlier version is not superfluous");
        write_all().unwrap();

        fs::write(path("unrecognized.v0.json"), "{ }").unwrap();
        assert_eq!(
            states(),
            [(
                "unrecognized.v0.json".to_owned(),
                State::ChangedSinceRelease
            )]
        );

        // As if the types had changed since the release.
        fs::write(path(LIST), list("{}", "{ }")).unwrap();
        fs::write(path("unrecognized.v1.json"), "{}").unwrap();
        let refused = write_all().unwrap_err().to_string();
        assert!(
            refused.contains("unrecognized.v1.json is released and never changes"),
            "{refused}"
        );
        assert_eq!(fs::read(path("unrecognized.v1.json")).unwrap(), b"{}");
    }
}
