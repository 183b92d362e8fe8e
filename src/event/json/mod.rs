//! Reads JSON in one pass into a flat list of nodes that point into the text, so that whatever was sent can be passed on
//! digit for digit.
//!
//! Why not a general parser: what a signed delivery holds must never make it unreadable. Nesting is unbounded (nothing
//! here recurses), a broken half of a surrogate pair becomes U+FFFD and is told, of repeated keys the last one wins,
//! and numbers stay text. Everything else is RFC 8259, strictly; errors name a place and never quote the text.

mod escape;
mod members;
mod names;
mod plain;
mod scan;
mod write;

use std::borrow::Cow;

use self::escape::unescape;
pub use self::members::Member;
use self::members::is_broken;
pub use self::names::Names;
pub(super) use self::plain::is_plain;
pub use self::scan::{ParseError, Wrong};
use self::scan::{Scan, error_at, offset};
use self::write::Writer;
pub use self::write::{broken_member, push_token};

/// A parsed text: nodes in the order in which they stand.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    nodes: Cow<'a, [Node]>,
}

/// What a text was found to hold, without the text: whoever has both need not read it again.
#[derive(Debug, Clone, Default)]
pub struct Scanned(Vec<Node>);

impl Scanned {
    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Node>()
    }
}

/// One value in a [`Document`].
#[derive(Debug, Clone, Copy)]
pub struct Value<'d> {
    document: &'d Document<'d>,
    index: u32,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number, as text.
    Number,
    /// A string without escapes.
    PlainString,
    /// A string with escapes.
    EscapedString,
    /// A string with half a surrogate pair in it.
    BrokenString,
    /// `[…]`
    Array,
    /// `{…}`
    Object,
}

impl Kind {
    /// Whether it is a string of any sort.
    pub fn is_string(self) -> bool {
        matches!(
            self,
            Self::PlainString | Self::EscapedString | Self::BrokenString
        )
    }
}

impl<'a> Document<'a> {
    /// Reads a whole body; a byte order mark before it is passed over.
    ///
    /// # Errors
    ///
    /// The first place that is not JSON.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let (body, text) = text(body)?;
        if u32::try_from(body.len()).is_err() {
            return Err(ParseError {
                what: Wrong::TooLarge,
                line: 1,
                column: 1,
            });
        }
        let mut scan = Scan {
            bytes: body,
            at: 0,
            nodes: Vec::with_capacity(body.len() / 24 + 8),
        };
        match scan.document() {
            Ok(()) => Ok(Self {
                text,
                nodes: Cow::Owned(scan.nodes),
            }),
            Err(what) => Err(error_at(body, scan.at, what)),
        }
    }

    /// [`Document::parse`] of a body of which this was found before. Of another body, what comes of it makes no sense.
    ///
    /// # Errors
    ///
    /// As [`Document::parse`].
    pub fn again(body: &'a [u8], scanned: &'a Scanned) -> Result<Self, ParseError> {
        Ok(Self {
            text: text(body)?.1,
            nodes: Cow::Borrowed(&scanned.0),
        })
    }

    /// What was found, to be used again.
    pub fn into_scanned(self) -> Scanned {
        Scanned(self.nodes.into_owned())
    }

    /// The text of the top-level member `id`, if this is an object that has one of 1 to 128 printable ASCII characters.
    pub fn id(&self) -> Option<String> {
        let (_, id) = self
            .root()
            .members()
            .filter(|(key, _)| key.text().is_some_and(|k| k == "id"))
            .last()?;
        let id = id.text()?;
        let printable =
            (1..=128).contains(&id.len()) && id.bytes().all(|b| (0x20..0x7f).contains(&b));
        printable.then(|| id.into_owned())
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value {
            document: self,
            index: 0,
        }
    }
}

/// [`Document::id`] of a body.
pub fn peek_id(body: &[u8]) -> Option<String> {
    Document::parse(body).ok()?.id()
}

/// A body without its byte order mark, also as text.
fn text(body: &[u8]) -> Result<(&[u8], &str), ParseError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = simdutf8::basic::from_utf8(body).map_err(|_| {
        // The slow one tells where.
        let valid = std::str::from_utf8(body).err().map(|e| e.valid_up_to());
        error_at(body, valid.unwrap_or_default(), Wrong::NotUtf8)
    })?;
    Ok((body, text))
}

#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Kind,
    start: u32,
    end: u32,
    /// The node behind this one and all that is in it.
    next: u32,
}

impl<'d> Value<'d> {
    /// What it is.
    pub fn kind(self) -> Kind {
        self.node().kind
    }

    /// It as it stands in the text; of a string, with its quotes.
    pub fn raw(self) -> &'d str {
        let node = self.node();
        self.document
            .text
            .get(node.start as usize..node.end as usize)
            .unwrap_or_default()
    }

    /// The text of a string, with broken halves of surrogate pairs as U+FFFD.
    pub fn text(self) -> Option<Cow<'d, str>> {
        let inner = self.inner();
        match self.kind() {
            Kind::PlainString => Some(Cow::Borrowed(inner)),
            Kind::EscapedString | Kind::BrokenString => Some(Cow::Owned(unescape(inner))),
            Kind::Null | Kind::Boolean | Kind::Number | Kind::Array | Kind::Object => None,
        }
    }

    /// What stands between the first and the last byte of it: of a string, its raw escapes.
    pub fn inner(self) -> &'d str {
        let node = self.node();
        let inner = node.start as usize + 1..(node.end as usize).saturating_sub(1);
        self.document.text.get(inner).unwrap_or_default()
    }

    /// The elements of an array; of anything else, none.
    pub fn elements(self) -> impl Iterator<Item = Value<'d>> {
        let node = self.node();
        let mut at = if node.kind == Kind::Array {
            self.index + 1
        } else {
            node.next
        };
        std::iter::from_fn(move || {
            let value = (at < node.next).then_some(Value {
                document: self.document,
                index: at,
            })?;
            at = value.node().next;
            Some(value)
        })
    }

    /// The members of an object, key and value, repeated keys too; of anything else, none.
    pub fn members(self) -> impl Iterator<Item = (Value<'d>, Value<'d>)> {
        let node = self.node();
        let mut at = if node.kind == Kind::Object {
            self.index + 1
        } else {
            node.next
        };
        std::iter::from_fn(move || {
            let key = (at < node.next).then_some(Value {
                document: self.document,
                index: at,
            })?;
            let value = Value {
                document: self.document,
                index: at + 1,
            };
            at = value.node().next;
            Some((key, value))
        })
    }

    /// Whether both say the same: members in any order, numbers digit for digit, broken strings escape for escape.
    pub fn same_as(self, other: Value<'_>) -> bool {
        self.is_like(other, |one, other| one.same_text(other))
    }

    /// As [`Value::same_as`], but nothing with half a surrogate pair in it is the same as anything.
    pub fn same_whole_as(self, other: Value<'_>) -> bool {
        self.is_like(other, |one, other| {
            one.kind() != Kind::BrokenString && one.same_text(other)
        })
    }

    fn is_like(self, other: Value<'_>, same_text: fn(Value<'_>, Value<'_>) -> bool) -> bool {
        let mut pairs = vec![(self, other)];
        while let Some((one, other)) = pairs.pop() {
            let same = match (one.kind(), other.kind()) {
                (Kind::Array, Kind::Array) => {
                    pairs.extend(one.elements().zip(other.elements()));
                    one.elements().count() == other.elements().count()
                }
                (Kind::Object, Kind::Object) => {
                    let (mut ours, mut theirs) = (one.last_members(), other.last_members());
                    ours.sort_by(|a, b| a.0.cmp(&b.0));
                    theirs.sort_by(|a, b| a.0.cmp(&b.0));
                    let keys = ours.iter().zip(&theirs).all(|(a, b)| same_text(a.1, b.1));
                    let same = ours.len() == theirs.len() && keys;
                    pairs.extend(ours.iter().zip(&theirs).map(|(a, b)| (a.2, b.2)));
                    same
                }
                _ => same_text(one, other),
            };
            if !same {
                return false;
            }
        }
        true
    }

    fn same_text(self, other: Value<'_>) -> bool {
        let broken = [self.kind(), other.kind()].contains(&Kind::BrokenString);
        match (self.text(), other.text()) {
            (Some(one), Some(other)) if !broken => one == other,
            _ => self.raw() == other.raw(),
        }
    }

    /// Whether it stands in the text as [`Value::write`] would write it, with nothing to report.
    pub fn is_clean(self) -> bool {
        let node = self.node();
        let nodes = self.index..node.next.min(offset(self.document.nodes.len()));
        let mut written = nodes.len().saturating_sub(1);
        for index in nodes {
            let value = Value { index, ..self };
            let node = value.node();
            written += match node.kind {
                Kind::BrokenString => return false,
                // What separates the values in it, and it from others, is counted with them.
                Kind::Array | Kind::Object if node.next == index + 1 => 2,
                Kind::Object if !value.is_simple() => return false,
                Kind::Array | Kind::Object => 1,
                Kind::Null
                | Kind::Boolean
                | Kind::Number
                | Kind::PlainString
                | Kind::EscapedString => (node.end - node.start) as usize,
            };
        }
        written == self.raw().len()
    }

    /// Writes it without white space and repeated keys; each string with half a surrogate pair in it is reported by
    /// its JSON Pointer (`#` behind it: the key itself) and its raw escapes; or all of it, as it came, where that is shorter by far.
    pub fn write(self, pointer: &str, out: &mut String, broken: &mut Vec<(String, String)>) {
        Writer::new(self, pointer, out, broken).write();
    }

    fn node(self) -> Node {
        const NONE: Node = Node {
            kind: Kind::Null,
            start: 0,
            end: 0,
            next: u32::MAX,
        };
        self.document
            .nodes
            .get(self.index as usize)
            .copied()
            .unwrap_or(NONE)
    }
}

#[cfg(test)]
mod tests;
