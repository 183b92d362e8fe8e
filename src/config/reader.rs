//! Takes values out of settings and collects what is wrong with them, so that one look finds everything.

use super::Need;
use super::environment::Environment;
use super::problem::{Problem, ProblemKind};
use super::secret_source::SecretSource;
use super::settings::{Origin, Setting, Settings, Value};
use super::values::Kind;

/// One pass over the settings.
pub(super) struct Reader<'a> {
    pub(super) settings: &'a Settings,
    pub(super) environment: &'a Environment,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    pub(super) unmet: Vec<(Need, Problem)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        environment: &'a Environment,
        problems: Vec<Problem>,
    ) -> Self {
        Self {
            settings,
            environment,
            problems,
            warnings: Vec::new(),
            unmet: Vec::new(),
        }
    }

    /// The value of a key that has one; `None` after a complaint, or when it is not set.
    pub(super) fn value<T>(&mut self, key: &str, kind: &Kind<T>) -> Option<T> {
        let setting = self.settings.get(key)?;
        let problem = match &setting.value {
            Value::Scalar(text) => match (kind.read)(text) {
                Some(value) => return Some(value),
                None => ProblemKind::Value {
                    found: text.clone(),
                    accepted: kind.accepted,
                },
            },
            Value::List(_) => shape("a list", kind.accepted),
            Value::Other(found) => shape(found, kind.accepted),
        };
        self.reject(key, problem);
        None
    }

    /// A list: from the environment as JSON or comma-separated, in the file also a single value.
    pub(super) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let setting = self.settings.get(key)?;
        let problem = match list_of(setting) {
            Ok(list) => return Some(list),
            Err(problem) => problem,
        };
        self.reject(key, problem);
        None
    }

    /// The source of a secret, not yet resolved.
    pub(super) fn secret_source(&mut self, key: &str, text: &str) -> Option<SecretSource> {
        let source = SecretSource::parse(text);
        if source.is_none() {
            self.reject(key, ProblemKind::SecretSpelling);
        }
        source
    }

    /// Complains about a key.
    pub(super) fn reject(&mut self, key: &str, kind: ProblemKind) {
        let problem = self.problem(key, kind);
        self.problems.push(problem);
    }

    /// Remembers what a command with this need would miss.
    pub(super) fn miss(&mut self, need: Need, key: &str, kind: ProblemKind) {
        let problem = self.problem(key, kind);
        self.unmet.push((need, problem));
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    fn problem(&self, key: &str, kind: ProblemKind) -> Problem {
        Problem {
            key: key.to_owned(),
            origin: self.settings.origin_of(key),
            kind,
        }
    }
}

/// The items of a list.
pub(super) fn list_of(setting: &Setting) -> Result<Vec<String>, ProblemKind> {
    match (&setting.value, &setting.origin) {
        (Value::List(items), _) => Ok(items.clone()),
        (Value::Scalar(text), Origin::Env { .. }) => split(text),
        (Value::Scalar(text), Origin::Default | Origin::File { .. }) => Ok(vec![text.clone()]),
        (Value::Other(found), _) => Err(shape(found, "a list of strings")),
    }
}

fn split(text: &str) -> Result<Vec<String>, ProblemKind> {
    if text.trim_start().starts_with('[') {
        // The parser's own message may quote what it read, which may be a secret.
        return serde_json::from_str(text).map_err(|_| ProblemKind::JsonList);
    }
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    Ok(items.map(str::to_owned).collect())
}

fn shape(found: &'static str, accepted: &'static str) -> ProblemKind {
    ProblemKind::Shape { found, accepted }
}
