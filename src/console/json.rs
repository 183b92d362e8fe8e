//! JSON as lines that people can read: indented, the digits and escapes as they were sent, each line with a remark.
//!
//! Bodies may be nested without end and of any size: what lies deep is one line, and there is an end to the lines.

use maud::{Markup, html};

use crate::event::json::{Document, Kind, Value, push_token};

/// What is said beside a line, by the JSON Pointer of its value.
pub(super) trait Remarks {
    /// The line's class, and what stands behind it.
    fn of(&self, pointer: &str) -> Option<(&'static str, String)>;
}

/// No remarks.
pub(super) struct None_;

impl Remarks for None_ {
    fn of(&self, _: &str) -> Option<(&'static str, String)> {
        None
    }
}

/// A document as lines.
pub(super) fn lines(document: &Document<'_>, remarks: &impl Remarks) -> Markup {
    let mut writer = Writer {
        lines: Vec::new(),
        bytes: 0,
        remarks,
    };
    writer.value("", (document.root(), String::new()), 0, "");
    let cut = writer.is_full();
    html! {
        pre.json { code { @for line in &writer.lines { (line) } } }
        @if cut { p.muted { "There is more; the whole is in the body as it was sent." } }
    }
}

struct Writer<'r, R> {
    lines: Vec<Markup>,
    bytes: usize,
    remarks: &'r R,
}

impl<R: Remarks> Writer<'_, R> {
    fn is_full(&self) -> bool {
        self.lines.len() >= MOST_LINES || self.bytes >= MOST_BYTES
    }

    /// `name` is the key with its colon, `behind` a comma or nothing.
    fn value(
        &mut self,
        name: &str,
        (value, pointer): (Value<'_>, String),
        depth: usize,
        behind: &str,
    ) {
        if self.is_full() {
            return;
        }
        let parts = (depth < DEEPEST).then(|| parts(value, &pointer)).flatten();
        let Some((open, close, parts)) = parts else {
            let text = format!("{}{behind}", clipped(value.raw()));
            return self.line(depth, (name, &text), &pointer);
        };
        self.line(depth, (name, open), &pointer);
        let count = parts.len();
        for (at, (name, value, pointer)) in parts.into_iter().enumerate() {
            let comma = if at + 1 < count { "," } else { "" };
            self.value(&name, (value, pointer), depth + 1, comma);
        }
        self.line(depth, ("", &format!("{close}{behind}")), "");
    }

    fn line(&mut self, depth: usize, (name, text): (&str, &str), pointer: &str) {
        if self.is_full() {
            return;
        }
        self.bytes += name.len() + text.len();
        let remark = (!pointer.is_empty())
            .then(|| self.remarks.of(pointer))
            .flatten();
        let class = remark.as_ref().map_or("", |(class, _)| class);
        self.lines.push(html! {
            span class=(format!("line in{depth} {class}")) {
                @if !name.is_empty() { span.key { (name) } }
                bdi { (text) }
                @if let Some((_, remark)) = &remark { span.remark { (remark) } }
            }
        });
    }
}

type Part<'d> = (String, Value<'d>, String);

/// What an object or array that is not empty begins with, ends with and holds.
fn parts<'d>(
    value: Value<'d>,
    pointer: &str,
) -> Option<(&'static str, &'static str, Vec<Part<'d>>)> {
    let at = |token: &str| {
        let mut pointer = pointer.to_owned();
        push_token(&mut pointer, token);
        pointer
    };
    let (open, close, parts): (_, _, Vec<Part<'d>>) = match value.kind() {
        Kind::Object => {
            let member = |(key, value): (Value<'d>, Value<'d>)| {
                let pointer = at(&key.text().unwrap_or_default());
                (format!("{}: ", clipped(key.raw())), value, pointer)
            };
            (
                "{",
                "}",
                value.members().take(MOST_LINES).map(member).collect(),
            )
        }
        Kind::Array => {
            let element = |(position, value): (usize, Value<'d>)| {
                (String::new(), value, at(&position.to_string()))
            };
            let elements = value.elements().take(MOST_LINES).enumerate();
            ("[", "]", elements.map(element).collect())
        }
        Kind::Null
        | Kind::Boolean
        | Kind::Number
        | Kind::PlainString
        | Kind::EscapedString
        | Kind::BrokenString => return None,
    };
    (!parts.is_empty()).then_some((open, close, parts))
}

/// A long text's beginning.
fn clipped(text: &str) -> String {
    let end = (0..=CLIPPED_BYTES.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    let shown = text.get(..end.unwrap_or_default()).unwrap_or_default();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown}{more}")
}

/// The style sheet indents so many.
const DEEPEST: usize = 12;
const MOST_LINES: usize = 3000;
const MOST_BYTES: usize = 300 << 10;
const CLIPPED_BYTES: usize = 20 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(body: &str) -> String {
        lines(&Document::parse(body.as_bytes()).unwrap(), &None_).0
    }

    #[test]
    fn markup_in_names_and_values_is_text() {
        let html = shown(r#"{"<b>":"</span><script>alert(1)</script>"}"#);
        assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
        assert!(html.contains("&lt;script&gt;"), "{html}");
    }

    #[test]
    fn what_is_nested_without_end_ends() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(shown(&deep).len() < 100_000);
        let long = format!("[{}1]", "1,".repeat(100_000));
        assert!(shown(&long).contains("There is more"));
    }

    #[test]
    fn digits_stay_as_they_were_sent() {
        assert!(shown(r#"{"n":1e400,"m":0.10}"#).contains("1e400,"));
    }
}
