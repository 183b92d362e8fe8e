//! One line of the report: what was looked at, how it stands, and what to do.

use serde::Serialize;

use crate::cli::output::{Mood, Shown};

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) check: &'static str,
    pub(super) state: State,
    /// What was found.
    pub(super) what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) todo: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Ok,
    /// It works, and somebody should see to it.
    Warning,
    Failure,
    /// Nothing can be said before something else is mended.
    NotRun,
}

impl Finding {
    pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Ok,
            what: what.into(),
            todo: None,
        }
    }

    pub(super) fn warning(
        check: &'static str,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self {
            check,
            state: State::Warning,
            what: what.into(),
            todo: Some(todo.into()),
        }
    }

    pub(super) fn failure(
        check: &'static str,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Failure,
            ..Self::warning(check, what, todo)
        }
    }

    /// It waits for an earlier line.
    pub(super) fn waits(check: &'static str, for_check: &str) -> Self {
        Self {
            check,
            state: State::NotRun,
            what: format!("not run: it waits for the line {for_check}"),
            todo: None,
        }
    }

    /// By an error's text, which says what to do behind a semicolon or a colon of its own.
    pub(super) fn of_error(check: &'static str, error: &dyn std::error::Error) -> Self {
        let mut lines = vec![error.to_string()];
        let mut source = error.source();
        while let Some(cause) = source {
            let told = cause.to_string();
            if lines.iter().all(|line| !line.contains(&told)) {
                lines.push(told);
            }
            source = cause.source();
        }
        Self::of_text(check, &lines.join(": "))
    }

    /// What comes behind the first semicolon is what to do.
    pub(super) fn of_text(check: &'static str, text: &str) -> Self {
        let (what, todo) = match text.split_once("; ") {
            Some((what, todo)) => (what, Some(todo.to_owned())),
            None => (text, None),
        };
        Self {
            check,
            state: State::Failure,
            what: what.to_owned(),
            todo,
        }
    }

    /// The same with something to do, if the error did not say it.
    pub(super) fn or_do(self, todo: &str) -> Self {
        Self {
            todo: self.todo.or_else(|| Some(todo.to_owned())),
            ..self
        }
    }

    pub(super) fn is_failure(&self) -> bool {
        self.state == State::Failure
    }
}

impl State {
    pub(super) fn word(self) -> Shown {
        let (word, mood) = match self {
            Self::Ok => ("ok", Mood::Well),
            Self::Warning => ("warning", Mood::Waits),
            Self::Failure => ("failure", Mood::Ill),
            Self::NotRun => ("not run", Mood::Waits),
        };
        Shown::Word(word.to_owned(), mood)
    }
}

/// Whether something in these keeps others from being tried.
pub(super) fn have_failed(findings: &[Finding]) -> bool {
    findings.iter().any(Finding::is_failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_text_is_parted_into_what_and_what_to_do() {
        let finding = Finding::of_text("kafka", "cannot reach x: refused; check y; or z");
        assert_eq!(finding.what, "cannot reach x: refused");
        assert_eq!(finding.todo.as_deref(), Some("check y; or z"));
        let bare = Finding::of_text("kafka", "it is so").or_do("do that");
        assert_eq!(bare.todo.as_deref(), Some("do that"));
    }
}
