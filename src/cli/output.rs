//! Results on stdout: tables for people, a JSON object a line for programs.
//!
//! Everything that came from outside passes through [`printable`], so that no payload moves a terminal's cursor.
//! Colours appear only on a terminal, and not with `NO_COLOR`.

use std::borrow::Cow;
use std::io::{self, IsTerminal, StdoutLock, Write};

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table, presets};
use serde::Serialize;

use crate::telemetry;

/// Where a command's results go.
pub struct Output<W> {
    writer: W,
    colour: bool,
}

/// A result could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the result")]
pub struct OutputError(#[from] io::Error);

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Text, to the left.
    Text(String),
    /// A number, to the right.
    Number(String),
    /// A word that is well, waits, or is not well.
    Word(String, Mood),
}

/// How a word is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Green.
    Well,
    /// Yellow.
    Waits,
    /// Red.
    Ill,
}

impl Output<StdoutLock<'static>> {
    /// The process's stdout, locked.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let colour = telemetry::wants_colour(stdout.is_terminal());
        Self {
            writer: stdout.lock(),
            colour,
        }
    }
}

impl<W: Write> Output<W> {
    /// Writes to `writer` without colours.
    pub fn plain(writer: W) -> Self {
        Self {
            writer,
            colour: false,
        }
    }

    /// A line of our own words; what came from outside goes through [`printable`] first.
    ///
    /// # Errors
    ///
    /// The writer refuses.
    pub fn line(&mut self, text: &str) -> Result<(), OutputError> {
        Ok(writeln!(self.writer, "{text}")?)
    }

    /// Bytes as they are.
    ///
    /// # Errors
    ///
    /// The writer refuses.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.writer.write_all(bytes)?;
        Ok(self.writer.flush()?)
    }

    /// A value as a JSON object on a line of its own.
    ///
    /// # Errors
    ///
    /// The writer refuses.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), OutputError> {
        let text = serde_json::to_string(value).map_err(io::Error::from)?;
        self.line(&text)
    }

    /// A table without borders; lines are never wrapped, so that each row can be searched for.
    ///
    /// # Errors
    ///
    /// The writer refuses.
    pub fn table(
        &mut self,
        header: &[&str],
        rows: impl IntoIterator<Item = Vec<Shown>>,
    ) -> Result<(), OutputError> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if !header.is_empty() {
            let header = header
                .iter()
                .map(|name| Cell::new(name).add_attribute(Attribute::Bold));
            table.set_header(header);
        }
        for row in rows {
            table.add_row(row.into_iter().map(cell));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.line(&table.trim_fmt())
    }
}

/// Text that cannot steer a terminal: control characters are escaped.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_steering(c) || c == '\n' || c == '\t')
}

/// As [`printable`], but lines stay lines.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_steering(c) && c != '\n' && c != '\t')
}

/// A number of bytes for people.
pub fn bytes_for_people(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// A span of time for people, by its two largest units.
pub fn span_for_people(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms}ms"),
        1..60 => format!("{s}s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3600),
    }
}

impl Shown {
    /// Text from anywhere.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().to_owned())
    }

    /// A number.
    pub fn number(number: impl ToString) -> Self {
        Self::Number(number.to_string())
    }
}

impl OutputError {
    /// Whether the reader of stdout went away.
    pub fn is_broken_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

fn cell(shown: Shown) -> Cell {
    match shown {
        Shown::Text(text) => Cell::new(printable(&text)),
        Shown::Number(text) => Cell::new(text).set_alignment(CellAlignment::Right),
        Shown::Word(text, mood) => Cell::new(printable(&text)).fg(match mood {
            Mood::Well => Color::Green,
            Mood::Waits => Color::Yellow,
            Mood::Ill => Color::Red,
        }),
    }
}

fn escaped(text: &str, is_bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_bad) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_bad(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// Control characters, and those that turn the direction of writing for what follows.
fn is_steering(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_without_borders_or_colours() {
        let mut written = Vec::new();
        let rows = [("9", "a", Mood::Well), ("10", "b\u{1b}[2J", Mood::Ill)];
        let rows = rows.map(|(n, t, mood)| {
            vec![
                Shown::number(n),
                Shown::text(t),
                Shown::Word("x".into(), mood),
            ]
        });
        Output::plain(&mut written)
            .table(&["SEQ", "NAME", "STATE"], rows)
            .unwrap();
        let expected = "SEQ  NAME        STATE\n  9  a           x\n 10  b\\u{1b}[2J  x\n";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(printable("a\u{1b}b\nc"), "a\\u{1b}b\\nc");
        assert_eq!(printable_lines("a\u{1b}b\nc"), "a\\u{1b}b\nc");
        assert_eq!(printable("नमस्ते"), "नमस्ते");
        assert_eq!(printable("\u{202e}x"), "\\u{202e}x");
    }

    #[test]
    fn sizes_and_spans_are_short() {
        assert_eq!(bytes_for_people(1023), "1023 B");
        assert_eq!(bytes_for_people(1536), "1.5 KiB");
        assert_eq!(bytes_for_people(4 << 30), "4.0 GiB");
        assert_eq!(span_for_people(250), "250ms");
        assert_eq!(span_for_people(5_400_000), "1h 30m");
        assert_eq!(span_for_people(90_000_000), "1d 1h");
    }
}
