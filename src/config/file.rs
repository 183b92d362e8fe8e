//! `bridge.toml` → settings, each with its line.
//!
//! Nested tables are flattened with dots, so `[kafka] "bootstrap.servers"` and `[kafka.bootstrap] servers` are one key.

use std::io;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::kafka;
use super::problem::{ConfigError, Problem, ProblemKind};
use super::settings::{Origin, Setting, Settings, Value};

/// Reads a file that must be there.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| unreadable(path, source))
}

/// Reads a file; `None` when there is none.
pub(super) fn read_if_present(path: &Path) -> Result<Option<String>, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(unreadable(path, source)),
    }
}

/// Lays the file's keys over `settings`.
pub(super) fn overlay(
    settings: &mut Settings,
    path: &Path,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Result<(), ConfigError> {
    // The parser's `Display` quotes the line, in which a secret may stand: only its message is used.
    let root = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let (line, column) = position(text, at);
        ConfigError::NotToml {
            path: path.to_owned(),
            line,
            column,
            message: error.message().to_owned(),
        }
    })?;
    let mut layer = Layer {
        settings,
        path,
        text,
        problems,
    };
    layer.table("", root.get_ref());
    Ok(())
}

struct Layer<'a> {
    settings: &'a mut Settings,
    path: &'a Path,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Layer<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            let path = match prefix {
                "" => name.to_string(),
                _ => format!("{prefix}.{name}"),
            };
            let origin = Origin::File {
                path: self.path.to_owned(),
                line: position(self.text, key.span().start).0,
            };
            self.entry(path, value.get_ref(), origin);
        }
    }

    fn entry(&mut self, path: String, value: &DeValue<'_>, origin: Origin) {
        if let DeValue::Table(table) = value {
            self.table(&path, table);
            self.settings.add_table(path, origin);
            return;
        }
        let key = kafka::one_name(path);
        let setting = Setting {
            value: plain(value),
            origin: origin.clone(),
        };
        if let Some(first) = self.settings.set(key.clone(), setting) {
            let kind = ProblemKind::Twice(first.to_string());
            self.problems.push(Problem { key, origin, kind });
        }
    }
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Array(items) => items
            .iter()
            .map(|item| scalar(item.get_ref()))
            .collect::<Option<_>>()
            .map_or(Value::Other("a list of lists or tables"), Value::List),
        DeValue::Table(_) => Value::Other("a table"),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {
            scalar(value).map_or(Value::Other("a number out of range"), Value::Scalar)
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            let number = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Datetime(moment) => Some(moment.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Line and column of a byte, both counted from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let last = before.rsplit('\n').next().unwrap_or_default();
    (line, last.chars().count() + 1)
}

fn unreadable(path: &Path, source: io::Error) -> ConfigError {
    ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    }
}
