//! The one pass over a text that finds where each value begins and ends, or the first place that is not JSON.
//!
//! RFC 8259, strictly, but for halves of surrogate pairs. Open containers are on a stack of their own: nothing recurses.

use std::fmt;

use super::escape::{code_unit, is_high, is_low};
use super::plain::plain_until;
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
        let mut open: Vec<Open> = Vec::new();
        let mut in_object = false;
        loop {
            if in_object {
                self.key()?;
            }
            if let Some(opened) = self.value()? {
                in_object = opened.end == b'}';
                open.push(opened);
                continue;
            }
            match self.close(&mut open)? {
                Some(container) => in_object = container == b'}',
                None => return Ok(()),
            }
        }
    }

    /// Reads a value; of a container that is not empty only its beginning.
    #[inline]
    fn value(&mut self) -> Result<Option<Open>, Wrong> {
        match self.next()? {
            b'"' => self.string()?,
            b'{' => return self.container(Kind::Object, b'}'),
            b'[' => return self.container(Kind::Array, b']'),
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.literal(b"true", Kind::Boolean)?,
            b'f' => self.literal(b"false", Kind::Boolean)?,
            b'n' => self.literal(b"null", Kind::Null)?,
            _ => return Err(Wrong::UnexpectedCharacter),
        }
        Ok(None)
    }

    /// After a value: closes what ends here, up to the next value, and answers with the end of the container that it is in; or
    /// up to the end of the text.
    #[inline]
    fn close(&mut self, open: &mut Vec<Open>) -> Result<Option<u8>, Wrong> {
        while let Some(container) = open.last() {
            let next = self.next()?;
            if next == b',' {
                self.at += 1;
                return Ok(Some(container.end));
            }
            if next != container.end {
                return Err(Wrong::UnexpectedCharacter);
            }
            self.at += 1;
            self.end(container.node);
            open.pop();
        }
        match self.next() {
            Ok(_) => Err(Wrong::TrailingText),
            Err(_) => Ok(None),
        }
    }

    fn container(&mut self, kind: Kind, end: u8) -> Result<Option<Open>, Wrong> {
        let node = self.begin(kind);
        self.at += 1;
        if self.next()? == end {
            self.at += 1;
            self.end(node);
            return Ok(None);
        }
        Ok(Some(Open { node, end }))
    }

    #[inline]
    fn key(&mut self) -> Result<(), Wrong> {
        if self.next()? != b'"' {
            return Err(Wrong::UnexpectedCharacter);
        }
        self.string()?;
        if self.next()? != b':' {
            return Err(Wrong::UnexpectedCharacter);
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn string(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        self.at += 1;
        self.plain();
        if self.bytes.get(self.at) == Some(&b'"') {
            self.at += 1;
            self.leaf(Kind::PlainString, start);
            return Ok(());
        }
        self.escaped_string(start)
    }

    /// The rest of a string, from the first place that is not plain.
    fn escaped_string(&mut self, start: usize) -> Result<(), Wrong> {
        let mut kind = Kind::PlainString;
        loop {
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
            self.plain();
        }
    }

    #[inline]
    fn plain(&mut self) {
        self.at = plain_until(self.bytes, self.at);
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

    /// The next byte that is no white space.
    #[inline]
    fn next(&mut self) -> Result<u8, Wrong> {
        loop {
            let byte = self.peek()?;
            if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Result<u8, Wrong> {
        self.bytes.get(self.at).copied().ok_or(Wrong::UnexpectedEnd)
    }

    #[inline]
    fn leaf(&mut self, kind: Kind, start: usize) {
        self.nodes.push(Node {
            kind,
            start: offset(start),
            end: offset(self.at),
            next: offset(self.nodes.len() + 1),
        });
    }

    fn begin(&mut self, kind: Kind) -> u32 {
        let index = offset(self.nodes.len());
        self.nodes.push(Node {
            kind,
            start: offset(self.at),
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

/// A container that is being read.
struct Open {
    node: u32,
    /// The byte that closes it.
    end: u8,
}

/// [`Document::parse`] refuses texts of 4 GiB, and each node takes a byte of text at least.
pub(super) fn offset(at: usize) -> u32 {
    at as u32
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
