//! Writes a value without white space and repeated keys, and tells each broken half of a surrogate pair by JSON Pointer.
//!
//! Nothing here recurses, so that no nesting is too deep.

use std::borrow::Cow;
use std::collections::HashSet;

use super::escape::unescape;
use super::{Kind, Member, Value, is_broken};

pub(super) struct Writer<'w, 'd> {
    out: &'w mut String,
    told: Told<'w, 'd>,
    open: Vec<Open<'d>>,
}

/// What is told of broken halves: where each stands, or the whole text where that would take many times as much, as when
/// thousands of them stand under one long key.
struct Told<'w, 'd> {
    base: &'w str,
    root: Value<'d>,
    broken: &'w mut Vec<(String, String)>,
    /// How many were there before.
    before: usize,
    bytes: usize,
    is_whole: bool,
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

impl<'w, 'd> Writer<'w, 'd> {
    pub(super) fn new(
        root: Value<'d>,
        base: &'w str,
        out: &'w mut String,
        broken: &'w mut Vec<(String, String)>,
    ) -> Self {
        let told = Told {
            base,
            root,
            before: broken.len(),
            broken,
            bytes: 0,
            is_whole: false,
        };
        Self {
            out,
            told,
            open: Vec::new(),
        }
    }

    pub(super) fn write(mut self) {
        self.begin(self.told.root);
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
                self.tell(|pointer| (pointer, value.inner().to_owned()));
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
        members.retain(|(text, key, value)| {
            let is_new = seen.insert(text.clone());
            if !is_new {
                self.tell(|mut pointer| {
                    push_token(&mut pointer, text);
                    broken_member(&pointer, *key, *value)
                });
            }
            is_new
        });
    }

    fn key(&mut self, key: Value<'d>, value: Value<'d>) {
        if key.kind() == Kind::BrokenString {
            self.tell(|pointer| broken_member(&pointer, key, value));
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

    /// Tells something of what stands here, which has this pointer.
    fn tell(&mut self, of: impl FnOnce(String) -> (String, String)) {
        if !self.told.is_whole {
            let told = of(self.pointer());
            self.told.add(told);
        }
    }

    fn pointer(&self) -> String {
        let mut pointer = self.told.base.to_owned();
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

impl Told<'_, '_> {
    fn add(&mut self, told: (String, String)) {
        let whole = self.root.raw();
        self.bytes += told.0.len() + told.1.len();
        self.is_whole = self.bytes > MOST_TIMES * (self.base.len() + whole.len());
        if self.is_whole {
            self.broken.truncate(self.before);
            self.broken.push((self.base.to_owned(), whole.to_owned()));
        } else {
            self.broken.push(told);
        }
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
    if memchr::memchr2(b'~', b'/', token.as_bytes()).is_none() {
        pointer.push_str(token);
        return;
    }
    for c in token.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            _ => pointer.push(c),
        }
    }
}

/// So many times as much as there is may be told of it.
const MOST_TIMES: usize = 8;
