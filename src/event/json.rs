//! Reads JSON in one pass into a flat list of nodes that point into the text, so that whatever was sent can be passed on
//! digit for digit.
//!
//! Why not a general parser: what a signed delivery holds must never make it unreadable. Nesting is unbounded (nothing
//! here recurses), a broken half of a surrogate pair becomes U+FFFD and is told, of repeated keys the last one wins,
//! and numbers stay text. Everything else is RFC 8259, strictly; errors name a place and never quote the text.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use memchr::memchr2;

/// A parsed text: nodes in the order in which they stand.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    nodes: Vec<Node>,
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

/// Why a text is not JSON, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at line {line}, column {column}")]
pub struct ParseError {
    /// What is wrong there.
    pub what: Wrong,
    /// From 1.
    pub line: usize,
    /// In bytes, from 1.
    pub column: usize,
}

/// What can be wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// The text ends within a value.
    UnexpectedEnd,
    /// A character that cannot stand there.
    UnexpectedCharacter,
    /// A backslash that begins no known escape.
    UnknownEscape,
    /// A control character that should have been escaped.
    ControlCharacter,
    /// More text behind the value.
    TrailingText,
    /// 4 GiB or more.
    TooLarge,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "not UTF-8",
            Self::UnexpectedEnd => "unexpected end",
            Self::UnexpectedCharacter => "unexpected character",
            Self::UnknownEscape => "unknown escape",
            Self::ControlCharacter => "control character in a string",
            Self::TrailingText => "text behind the value",
            Self::TooLarge => "too large",
        })
    }
}

impl<'a> Document<'a> {
    /// Reads a whole body; a byte order mark before it is passed over.
    ///
    /// # Errors
    ///
    /// The first place that is not JSON.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let text = std::str::from_utf8(body)
            .map_err(|e| error_at(body, e.valid_up_to(), Wrong::NotUtf8))?;
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
                nodes: scan.nodes,
            }),
            Err(what) => Err(error_at(body, scan.at, what)),
        }
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value {
            document: self,
            index: 0,
        }
    }
}

/// The text of the top-level member `id` of a JSON object, if it is a string of 1 to 128 printable ASCII characters.
pub fn peek_id(body: &[u8]) -> Option<String> {
    let document = Document::parse(body).ok()?;
    let (_, id) = document
        .root()
        .members()
        .filter(|(key, _)| key.text().is_some_and(|k| k == "id"))
        .last()?;
    let id = id.text()?;
    let printable = (1..=128).contains(&id.len()) && id.bytes().all(|b| (0x20..0x7f).contains(&b));
    printable.then(|| id.into_owned())
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
        match self.kind() {
            Kind::PlainString => Some(Cow::Borrowed(self.inner())),
            Kind::EscapedString | Kind::BrokenString => Some(Cow::Owned(unescape(self.inner()))),
            Kind::Null | Kind::Boolean | Kind::Number | Kind::Array | Kind::Object => None,
        }
    }

    /// What stands between the first and the last byte of it: of a string, its raw escapes.
    pub fn inner(self) -> &'d str {
        let raw = self.raw();
        raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
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
                    let keys = ours.iter().zip(&theirs).all(|(a, b)| a.1.same_text(b.1));
                    let same = ours.len() == theirs.len() && keys;
                    pairs.extend(ours.iter().zip(&theirs).map(|(a, b)| (a.2, b.2)));
                    same
                }
                _ => one.same_text(other),
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

    /// The members of an object as a reader sees them: of repeated keys only the last, and broken keys behind the others
    /// (they look like what they are not).
    pub fn last_members(self) -> Vec<Member<'d>> {
        let mut members: Vec<_> = self
            .members()
            .map(|(key, value)| (key.text().unwrap_or_default(), key, value))
            .collect();
        let shadowed = shadowed(&members);
        if !shadowed.is_empty() {
            let mut at = 0;
            members.retain(|_| {
                at += 1;
                !shadowed.contains_key(&(at - 1))
            });
        }
        if members.iter().any(is_broken) {
            members.sort_by(|a, b| match (is_broken(a), is_broken(b)) {
                (true, true) => a.1.raw().cmp(b.1.raw()),
                (one, other) => one.cmp(&other),
            });
        }
        members
    }

    /// Writes it without white space and repeated keys; each string with half a surrogate pair in it is reported by
    /// its JSON Pointer (`#` behind it: the key itself) and its raw escapes.
    pub fn write(self, pointer: &str, out: &mut String, broken: &mut Vec<(String, String)>) {
        let mut writer = Writer {
            out,
            broken,
            base: pointer,
            open: Vec::new(),
        };
        writer.write(self);
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

/// A member: its key decoded, its key as it stands, and its value.
pub type Member<'d> = (Cow<'d, str>, Value<'d>, Value<'d>);

fn is_broken((_, key, _): &Member<'_>) -> bool {
    key.kind() == Kind::BrokenString
}

/// Members whose key stands again further on, by position.
fn shadowed<'d>(members: &[Member<'d>]) -> HashMap<usize, ()> {
    let mut shadowed = HashMap::new();
    // Two different broken keys look alike once decoded, but are two keys; none is like a key that is whole.
    let name = |member: &Member<'d>| match member {
        (_, key, _) if is_broken(member) => (true, Cow::Borrowed(key.raw())),
        (text, _, _) => (false, text.clone()),
    };
    if members.len() <= FEW {
        for (at, member) in members.iter().enumerate() {
            let again = members
                .iter()
                .skip(at + 1)
                .any(|other| other.0 == member.0 && name(other) == name(member));
            if again {
                shadowed.insert(at, ());
            }
        }
    } else {
        let mut last = HashMap::with_capacity(members.len());
        for (at, member) in members.iter().enumerate() {
            if let Some(earlier) = last.insert(name(member), at) {
                shadowed.insert(earlier, ());
            }
        }
    }
    shadowed
}

/// So many members are compared each with each; more go through a map.
const FEW: usize = 24;

struct Writer<'w, 'd> {
    out: &'w mut String,
    broken: &'w mut Vec<(String, String)>,
    base: &'w str,
    open: Vec<Open<'d>>,
}

/// A container that is being written.
enum Open<'d> {
    Array {
        rest: Value<'d>,
        next: u32,
        position: usize,
    },
    Object {
        members: std::vec::IntoIter<Member<'d>>,
        key: Cow<'d, str>,
    },
}

impl<'d> Writer<'_, 'd> {
    fn write(&mut self, root: Value<'d>) {
        self.begin(root);
        while let Some(open) = self.open.last_mut() {
            match open {
                Open::Array {
                    rest,
                    next,
                    position,
                } => {
                    if rest.index >= *next {
                        self.out.push(']');
                        self.open.pop();
                        continue;
                    }
                    let value = *rest;
                    rest.index = value.node().next;
                    *position += 1;
                    if *position > 1 {
                        self.out.push(',');
                    }
                    self.begin(value);
                }
                Open::Object { members, key } => {
                    let Some((text, name, value)) = members.next() else {
                        self.out.push('}');
                        self.open.pop();
                        continue;
                    };
                    *key = text;
                    if !self.out.ends_with('{') {
                        self.out.push(',');
                    }
                    self.key(name, value);
                    self.out.push(':');
                    self.begin(value);
                }
            }
        }
    }

    fn begin(&mut self, value: Value<'d>) {
        match value.kind() {
            Kind::Array => {
                self.out.push('[');
                let rest = Value {
                    document: value.document,
                    index: value.index + 1,
                };
                self.open.push(Open::Array {
                    rest,
                    next: value.node().next,
                    position: 0,
                });
            }
            Kind::Object => {
                self.out.push('{');
                let mut members = value.last_members();
                if members.iter().any(is_broken) {
                    self.tell_lookalikes(&mut members);
                }
                self.open.push(Open::Object {
                    members: members.into_iter(),
                    key: Cow::Borrowed(""),
                });
            }
            Kind::BrokenString => {
                self.broken.push((self.pointer(), value.inner().to_owned()));
                self.quoted(&unescape(value.inner()));
            }
            Kind::Null | Kind::Boolean | Kind::Number | Kind::PlainString | Kind::EscapedString => {
                self.out.push_str(value.raw());
            }
        }
    }

    /// Only tells members whose broken key decodes to another one's; written, they would hide it.
    fn tell_lookalikes(&mut self, members: &mut Vec<Member<'d>>) {
        let mut seen = HashSet::new();
        let pointer = self.pointer();
        members.retain(|(text, key, value)| {
            let is_new = seen.insert(text.clone());
            if !is_new {
                let mut pointer = pointer.clone();
                push_token(&mut pointer, text);
                self.broken.push(broken_member(&pointer, *key, *value));
            }
            is_new
        });
    }

    fn key(&mut self, key: Value<'d>, value: Value<'d>) {
        if key.kind() == Kind::BrokenString {
            let told = broken_member(&self.pointer(), key, value);
            self.broken.push(told);
            self.quoted(&unescape(key.inner()));
        } else {
            self.out.push_str(key.raw());
        }
    }

    fn quoted(&mut self, text: &str) {
        // Writing a string to memory as JSON cannot fail.
        self.out
            .push_str(&serde_json::to_string(text).unwrap_or_default());
    }

    fn pointer(&self) -> String {
        let mut pointer = self.base.to_owned();
        for open in &self.open {
            match open {
                Open::Array { position, .. } => {
                    push_token(&mut pointer, &position.saturating_sub(1).to_string())
                }
                Open::Object { key, .. } => push_token(&mut pointer, key),
            }
        }
        pointer
    }
}

/// How a member with a broken key is told.
pub fn broken_member(pointer: &str, key: Value<'_>, value: Value<'_>) -> (String, String) {
    (
        format!("{pointer}#"),
        format!("{}:{}", key.raw(), value.raw()),
    )
}

/// Adds a reference token to a JSON Pointer (RFC 6901).
pub fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for c in token.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            _ => pointer.push(c),
        }
    }
}

/// Undoes the escapes of a string that [`Scan`] found well formed.
fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let (c, length) = unescape_one(escape.as_bytes());
        out.push(c);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The character that an escape stands for, and the escape's length in bytes.
fn unescape_one(escape: &[u8]) -> (char, usize) {
    let plain = match escape.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unescape_unicode(escape),
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (plain, 2)
}

fn unescape_unicode(escape: &[u8]) -> (char, usize) {
    let unit = code_unit(escape).unwrap_or_default();
    if let Some(c) = char::from_u32(unit) {
        return (c, 6);
    }
    match escape.get(6..).and_then(code_unit) {
        Some(low) if is_high(unit) && is_low(low) => {
            let c = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        Some(_) | None => (char::REPLACEMENT_CHARACTER, 6),
    }
}

/// The UTF-16 code unit of `\uXXXX` at the start of `escape`.
fn code_unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
}

fn is_high(unit: u32) -> bool {
    (0xd800..0xdc00).contains(&unit)
}

fn is_low(unit: u32) -> bool {
    (0xdc00..0xe000).contains(&unit)
}

/// One pass over the bytes.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
}

impl Scan<'_> {
    fn document(&mut self) -> Result<(), Wrong> {
        let mut open: Vec<u32> = Vec::new();
        loop {
            if let Some(opened) = self.value()? {
                open.push(opened);
                continue;
            }
            if self.close(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Reads a value; of a container that is not empty only its beginning, and answers with its node.
    fn value(&mut self) -> Result<Option<u32>, Wrong> {
        self.white_space();
        match self.peek()? {
            b'{' => self.container(Kind::Object, b'}'),
            b'[' => self.container(Kind::Array, b']'),
            b'"' => self.string().map(|()| None),
            b'-' | b'0'..=b'9' => self.number().map(|()| None),
            b't' => self.literal(b"true", Kind::Boolean).map(|()| None),
            b'f' => self.literal(b"false", Kind::Boolean).map(|()| None),
            b'n' => self.literal(b"null", Kind::Null).map(|()| None),
            _ => Err(Wrong::UnexpectedCharacter),
        }
    }

    /// After a value: closes what ends here, up to the next value (false) or the end of the text (true).
    fn close(&mut self, open: &mut Vec<u32>) -> Result<bool, Wrong> {
        loop {
            self.white_space();
            let Some(container) = open.last().copied() else {
                return if self.at == self.bytes.len() {
                    Ok(true)
                } else {
                    Err(Wrong::TrailingText)
                };
            };
            let kind = self
                .nodes
                .get(container as usize)
                .map_or(Kind::Null, |node| node.kind);
            match (self.peek()?, kind) {
                (b',', Kind::Object) => {
                    self.at += 1;
                    self.key()?;
                    return Ok(false);
                }
                (b',', _) => {
                    self.at += 1;
                    return Ok(false);
                }
                (b'}', Kind::Object) | (b']', Kind::Array) => {
                    self.at += 1;
                    open.pop();
                    self.end(container);
                }
                _ => return Err(Wrong::UnexpectedCharacter),
            }
        }
    }

    fn container(&mut self, kind: Kind, end: u8) -> Result<Option<u32>, Wrong> {
        let node = self.begin(kind, self.at);
        self.at += 1;
        self.white_space();
        if self.peek()? == end {
            self.at += 1;
            self.end(node);
            return Ok(None);
        }
        if kind == Kind::Object {
            self.key()?;
        }
        Ok(Some(node))
    }

    fn key(&mut self) -> Result<(), Wrong> {
        self.white_space();
        if self.peek()? != b'"' {
            return Err(Wrong::UnexpectedCharacter);
        }
        self.string()?;
        self.white_space();
        if self.peek()? != b':' {
            return Err(Wrong::UnexpectedCharacter);
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        let mut kind = Kind::PlainString;
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let Some(length) = memchr2(b'"', b'\\', rest) else {
                self.at = self.bytes.len();
                return Err(Wrong::UnexpectedEnd);
            };
            let run = rest.get(..length).unwrap_or_default();
            if let Some(control) = run.iter().position(|b| *b < 0x20) {
                self.at += control;
                return Err(Wrong::ControlCharacter);
            }
            self.at += length;
            if self.bytes.get(self.at) == Some(&b'"') {
                self.at += 1;
                self.leaf(kind, start);
                return Ok(());
            }
            let found = self.escape()?;
            if kind != Kind::BrokenString {
                kind = found;
            }
        }
    }

    /// Passes over an escape, or over two that are a surrogate pair.
    fn escape(&mut self) -> Result<Kind, Wrong> {
        let escape = self.bytes.get(self.at..).unwrap_or_default();
        match escape.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(Kind::EscapedString)
            }
            Some(b'u') => {
                let unit = code_unit(escape).ok_or(Wrong::UnknownEscape)?;
                let pair = is_high(unit) && escape.get(6..).and_then(code_unit).is_some_and(is_low);
                self.at += if pair { 12 } else { 6 };
                let whole = pair || !(is_high(unit) || is_low(unit));
                Ok(if whole {
                    Kind::EscapedString
                } else {
                    Kind::BrokenString
                })
            }
            Some(_) => Err(Wrong::UnknownEscape),
            None => Err(Wrong::UnexpectedEnd),
        }
    }

    fn number(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return Err(Wrong::UnexpectedCharacter),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.leaf(Kind::Number, start);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Wrong> {
        if !self.peek()?.is_ascii_digit() {
            return Err(Wrong::UnexpectedCharacter);
        }
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &[u8], kind: Kind) -> Result<(), Wrong> {
        let start = self.at;
        for expected in word {
            if self.peek()? != *expected {
                return Err(Wrong::UnexpectedCharacter);
            }
            self.at += 1;
        }
        self.leaf(kind, start);
        Ok(())
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, Wrong> {
        self.bytes.get(self.at).copied().ok_or(Wrong::UnexpectedEnd)
    }

    fn leaf(&mut self, kind: Kind, start: usize) {
        let node = self.begin(kind, start);
        self.end(node);
    }

    fn begin(&mut self, kind: Kind, start: usize) -> u32 {
        let index = offset(self.nodes.len());
        self.nodes.push(Node {
            kind,
            start: offset(start),
            end: 0,
            next: 0,
        });
        index
    }

    fn end(&mut self, index: u32) {
        let (end, next) = (offset(self.at), offset(self.nodes.len()));
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.end = end;
            node.next = next;
        }
    }
}

/// [`Document::parse`] refuses texts of 4 GiB, and each node takes a byte of text at least.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn error_at(body: &[u8], at: usize, what: Wrong) -> ParseError {
    let before = body.get(..at).unwrap_or_default();
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    ParseError {
        what,
        line,
        column: at - line_start + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compact(body: &str) -> (String, Vec<(String, String)>) {
        let document = Document::parse(body.as_bytes()).unwrap();
        let (mut out, mut broken) = (String::new(), Vec::new());
        document.root().write("", &mut out, &mut broken);
        (out, broken)
    }

    #[test]
    fn numbers_and_escapes_are_passed_on_as_they_stand() {
        let body = "\u{feff} { \"a\" : [ 1.50 , -0 , 1E400, 123456789012345678901234567890 ],\n\"b\\n\":\"\\u00e9\\ud83d\\ude00\" }";
        let expected =
            r#"{"a":[1.50,-0,1E400,123456789012345678901234567890],"b\n":"\u00e9\ud83d\ude00"}"#;
        assert_eq!(compact(body), (expected.to_owned(), vec![]));
    }

    #[test]
    fn of_repeated_keys_the_last_wins() {
        assert_eq!(
            compact(r#"{"a":1,"b":2,"\u0061":3}"#).0,
            r#"{"b":2,"\u0061":3}"#
        );
        let many: String = (0..100).map(|n| format!("\"k{}\":{n},", n % 50)).collect();
        let (out, _) = compact(&format!("{{{}\"z\":0}}", many));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&out).unwrap()["k7"],
            57
        );
        assert_eq!(out.matches("\"k7\"").count(), 1);
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced_and_told() {
        let (out, broken) = compact(r#"{"a":["x","\ud800y"],"\udc00":1}"#);
        assert_eq!(out, "{\"a\":[\"x\",\"\u{fffd}y\"],\"\u{fffd}\":1}");
        assert_eq!(
            broken,
            [
                ("/a/1".to_owned(), r"\ud800y".to_owned()),
                ("/\u{fffd}#".to_owned(), r#""\udc00":1"#.to_owned())
            ]
        );
    }

    #[test]
    fn nesting_is_unbounded() {
        let body = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(compact(&body).0, body);
    }

    #[test]
    fn an_error_names_the_place() {
        for (body, expected) in [
            ("", "unexpected end at line 1, column 1"),
            (
                "{\"a\":1,\n \"b\":x}",
                "unexpected character at line 2, column 6",
            ),
            ("{} {}", "text behind the value at line 1, column 4"),
            ("\"\\x\"", "unknown escape at line 1, column 2"),
            (
                "\"a\nb\"",
                "control character in a string at line 1, column 3",
            ),
            ("[1,]", "unexpected character at line 1, column 4"),
            ("01", "text behind the value at line 1, column 2"),
            ("\"abc", "unexpected end at line 1, column 5"),
        ] {
            assert_eq!(
                Document::parse(body.as_bytes()).unwrap_err().to_string(),
                expected,
                "{body}"
            );
        }
        let error = Document::parse(b"\"\xff\"").unwrap_err();
        assert_eq!(error.to_string(), "not UTF-8 at line 1, column 2");
    }

    #[test]
    fn an_id_is_peeked_at_the_top_only() {
        for (body, id) in [
            (r#"{"metadata":{"id":"no"},"id":"69fd"}"#, Some("69fd")),
            (r#"{"id":"a","id":"b"}"#, Some("b")),
            (r#"{"id":7}"#, None),
            (r#"{"id":""}"#, None),
            (r#"{"id":"é"}"#, None),
            (r#"{"id":"ab"#, None),
            (r#"["id","x"]"#, None),
        ] {
            assert_eq!(peek_id(body.as_bytes()).as_deref(), id, "{body}");
        }
        assert_eq!(
            peek_id(format!(r#"{{"id":"{}"}}"#, "a".repeat(129)).as_bytes()),
            None
        );
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_what_is_json(body in r#"[\[\]{}:,"\\u0-9eE+. truefalsn-]{0,40}"#) {
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&body);
            let ours = Document::parse(body.as_bytes());
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{} {:?} {:?}", body, ours.err(), theirs.err());
        }

        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::parse(&body);
        }
    }
}
