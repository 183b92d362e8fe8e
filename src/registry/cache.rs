//! The ids that the registry gave the last time, in a small file beside the journal, so that a restart without the
//! registry still has them.
//!
//! The file is replaced whole: it is the old one or the new one, whatever happens. It holds no secret.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Subject;

/// The file.
#[derive(Debug, Clone)]
pub struct Cache {
    path: PathBuf,
    /// Of which registry ids are read and written; another one's are kept and not used.
    registry: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    ids: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    registry: String,
    subject: String,
    /// The schema's fingerprint: another version has another id.
    schema: String,
    id: u32,
}

impl Cache {
    /// The file of a journal.
    pub fn beside(journal: &Path, registry: &str) -> Self {
        let mut path = journal.as_os_str().to_owned();
        path.push(".schema-ids.json");
        Self {
            path: path.into(),
            registry: registry.to_owned(),
        }
    }

    /// The id of each subject's schema, as far as it is known.
    pub fn read(&self, subjects: &[Subject]) -> Vec<Option<u32>> {
        let entries = self.entries();
        let id = |subject: &Subject| {
            let wanted = self.entry(subject, 0);
            let found = entries.iter().find(|entry| is_same(entry, &wanted));
            found.map(|entry| entry.id)
        };
        subjects.iter().map(id).collect()
    }

    /// Keeps what is known now, and what is known of other registries and schemas.
    ///
    /// # Errors
    ///
    /// The file cannot be replaced; it is as before.
    pub fn write(&self, known: &[(Subject, u32)]) -> io::Result<()> {
        let new = known.iter().map(|(subject, id)| self.entry(subject, *id));
        let mut ids: Vec<Entry> = new.collect();
        let others = self.entries().into_iter();
        let others: Vec<Entry> = others
            .filter(|old| !ids.iter().any(|entry| is_same(old, entry)))
            .collect();
        ids.extend(others);
        let text = serde_json::to_string_pretty(&Content { ids })?;
        replace(&self.path, text.as_bytes())
    }

    /// A file that is missing or broken costs a question to the registry, no more.
    fn entries(&self) -> Vec<Entry> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot read the schema ids of the last time");
                return Vec::new();
            }
        };
        let content: Content = serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %self.path.display(), %error, "the schema ids of the last time are unreadable");
            Content::default()
        });
        content.ids
    }

    fn entry(&self, subject: &Subject, id: u32) -> Entry {
        Entry {
            registry: self.registry.clone(),
            subject: subject.name.clone(),
            schema: subject.fingerprint(),
            id,
        }
    }
}

fn is_same(a: &Entry, b: &Entry) -> bool {
    (&a.registry, &a.subject, &a.schema) == (&b.registry, &b.subject, &b.schema)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(topic: &str, schema: &str) -> Subject {
        Subject::new(topic.to_owned(), "x.v1.json", schema)
    }

    #[test]
    fn an_id_holds_for_its_registry_subject_and_schema_alone() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal.db");
        let (here, there) = (
            Cache::beside(&journal, "http://a"),
            Cache::beside(&journal, "http://b"),
        );
        let (a, b, second) = (subject("a", "1"), subject("b", "1"), subject("a", "2"));
        assert_eq!(here.read(std::slice::from_ref(&a)), [None]);
        here.write(&[(a.clone(), 7)]).unwrap();
        there.write(&[(a.clone(), 9)]).unwrap();
        here.write(&[(a.clone(), 8), (b.clone(), 1)]).unwrap();
        let all = [a, b, second];
        assert_eq!(here.read(&all), [Some(8), Some(1), None]);
        assert_eq!(there.read(&all), [Some(9), None, None]);
    }

    #[test]
    fn a_broken_file_is_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::beside(&dir.path().join("journal.db"), "http://a");
        fs::write(&cache.path, "{\"ids\": [{").unwrap();
        let known = [subject("a", "1")];
        assert_eq!(cache.read(&known), [None]);
        cache.write(&[(known[0].clone(), 3)]).unwrap();
        assert_eq!(cache.read(&known), [Some(3)]);
    }
}
