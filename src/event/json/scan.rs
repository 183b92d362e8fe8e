//! The one pass over a text that finds where each value begins and ends, or the first place that is not JSON.
//!
//! RFC 8259, strictly, but for halves of surrogate pairs. Open containers are on a stack of their own: nothing recurses.

use std::fmt;

use super::escape::{code_unit, is_high, is_low};
use super::{Kind, Node};

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

/// One pass over the bytes.
pub(super) struct Scan<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) nodes: Vec<Node>,
}

impl Scan<'_> {
    pub(super) fn document(&mut self) -> Result<(), Wrong> {
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
            self.at += plain_run(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    self.leaf(kind, start);
                    return Ok(());
                }
                b'\\' => {
                    let found = self.escape()?;
                    if kind != Kind::BrokenString {
                        kind = found;
                    }
                }
                _ => return Err(Wrong::ControlCharacter),
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

/// How many bytes come before the next one that means something within a string: a quote, a backslash, a control character.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    // Most strings are short.
    if let Some(word) = bytes.first_chunk()
        && let found @ 1.. = special(u64::from_le_bytes(*word))
    {
        return found.trailing_zeros() as usize / 8;
    }
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    // Without an early end within it, the processor looks at a chunk as a whole.
    let is_plain = |chunk: &&[u8; CHUNK]| !chunk.iter().fold(false, |any, b| any | is_special(b));
    let plain = bytes
        .as_chunks::<CHUNK>()
        .0
        .iter()
        .take_while(is_plain)
        .count()
        * CHUNK;
    let behind = bytes.get(plain..).unwrap_or_default();
    let (words, rest) = behind.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return plain + at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let left = rest.iter().position(is_special).unwrap_or(rest.len());
    bytes.len() - rest.len() + left
}

const CHUNK: usize = 32;

/// Eight bytes at once: the lowest bit that is set is the highest of the first special byte. (A borrow only runs upwards.)
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & HIGHS
}

/// [`Document::parse`] refuses texts of 4 GiB, and each node takes a byte of text at least.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

pub(super) fn error_at(body: &[u8], at: usize, what: Wrong) -> ParseError {
    let before = body.get(..at).unwrap_or_default();
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    ParseError {
        what,
        line,
        column: at - line_start + 1,
    }
}
