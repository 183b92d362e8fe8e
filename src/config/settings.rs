//! A flat map from dotted key to value and origin: what file, environment and defaults have in common.
//!
//! Values may be secrets, so nothing here derives `Debug`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Settings by their dotted key; a later layer takes the place of an earlier one.
#[derive(Default)]
pub(super) struct Settings {
    values: BTreeMap<String, Setting>,
    /// Tables that were written, also empty ones: `[webhooks.sales]` alone configures a webhook.
    tables: BTreeMap<String, Origin>,
}

/// A value and where it came from.
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A value as written.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    /// A string, number or boolean, by its text.
    Scalar(String),
    /// A list of scalars.
    List(Vec<String>),
    /// Something that no key takes, by its name for people.
    Other(&'static str),
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file, at this line.
    File {
        /// The path as it was given.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// This environment variable.
    Env {
        /// Its name.
        name: String,
    },
}

impl Settings {
    pub(super) fn get(&self, key: &str) -> Option<&Setting> {
        self.values.get(key)
    }

    /// Sets a value; gives back what the same layer had set before, which is a contradiction.
    pub(super) fn set(&mut self, key: String, setting: Setting) -> Option<Origin> {
        let same_layer = |old: &Setting| {
            std::mem::discriminant(&old.origin) == std::mem::discriminant(&setting.origin)
        };
        let contradicted = self.values.get(&key).filter(|old| same_layer(old));
        let contradicted = contradicted.map(|old| old.origin.clone());
        self.values.insert(key, setting);
        contradicted
    }

    pub(super) fn set_default(&mut self, key: String, value: Value) {
        self.values.entry(key).or_insert(Setting {
            value,
            origin: Origin::Default,
        });
    }

    pub(super) fn add_table(&mut self, key: String, origin: Origin) {
        self.tables.entry(key).or_insert(origin);
    }

    /// Where a key was set, or else the table that it belongs to.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        if let Some(setting) = self.values.get(key) {
            return setting.origin.clone();
        }
        let table = key
            .rsplit_once('.')
            .and_then(|(table, _)| self.tables.get(table));
        table.cloned().unwrap_or(Origin::Default)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.values
            .iter()
            .map(|(key, setting)| (key.as_str(), setting))
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = (&str, &Origin)> {
        self.tables
            .iter()
            .map(|(key, origin)| (key.as_str(), origin))
    }

    /// Settings below `section`, by the rest of their key.
    pub(super) fn below<'a>(
        &'a self,
        section: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Setting)> {
        self.iter()
            .filter_map(move |(key, setting)| Some((strip_section(key, section)?, setting)))
    }
}

/// The rest of a key below a section.
pub(super) fn strip_section<'a>(key: &'a str, section: &str) -> Option<&'a str> {
    key.strip_prefix(section)?.strip_prefix('.')
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env { name } => write!(f, "env {name}"),
        }
    }
}
