//! JSON as a plain tree with numbers as text, for tests that compare what was sent with what came out.
//!
//! Independent of the reader under test on purpose: a folding or a lost digit must not be mirrored here.

use std::collections::BTreeMap;

/// A JSON value; members are sorted by their keys, of repeated keys the last one stays.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    /// The digits as they stand.
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Object(BTreeMap<String, Tree>),
}

impl Tree {
    /// Reads JSON that must be valid.
    pub(crate) fn read(json: &str) -> Self {
        serde_json::from_str::<&serde_json::value::RawValue>(json)
            .unwrap_or_else(|e| panic!("{e}: {json}"));
        let mut rest = json;
        let tree = read_value(&mut rest);
        assert_eq!(rest.trim(), "", "text behind the value");
        tree
    }

    /// What stands at a JSON Pointer.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Self> {
        pointer.split('/').skip(1).try_fold(self, |tree, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match tree {
                Self::Object(members) => members.get(&token),
                Self::List(elements) => elements.get(token.parse::<usize>().ok()?),
                Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => None,
            }
        })
    }

    /// For the schema validator, which has no use for digits: a number beyond its range becomes zero.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Number(digits) => serde_json::from_str(digits).unwrap_or_else(|_| 0.into()),
            Self::Text(text) => text.as_str().into(),
            Self::List(elements) => elements.iter().map(Self::to_value).collect(),
            Self::Object(members) => members
                .iter()
                .map(|(key, value)| (key.clone(), value.to_value()))
                .collect(),
        }
    }
}

fn read_value(rest: &mut &str) -> Tree {
    *rest = rest.trim_start();
    match rest.as_bytes()[0] {
        b'{' => Tree::Object(read_members(rest)),
        b'[' => Tree::List(read_elements(rest)),
        b'"' => Tree::Text(read_text(rest)),
        _ => {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c))
                .unwrap_or(rest.len());
            match take(rest, end) {
                "null" => Tree::Null,
                "true" => Tree::Bool(true),
                "false" => Tree::Bool(false),
                digits => Tree::Number(digits.to_owned()),
            }
        }
    }
}

fn read_members(rest: &mut &str) -> BTreeMap<String, Tree> {
    let mut members = BTreeMap::new();
    while !ends(rest, '}') {
        let key = read_text(rest);
        *rest = rest.trim_start();
        take(rest, 1);
        members.insert(key, read_value(rest));
    }
    members
}

fn read_elements(rest: &mut &str) -> Vec<Tree> {
    let mut elements = Vec::new();
    while !ends(rest, ']') {
        elements.push(read_value(rest));
    }
    elements
}

/// Passes over the bracket or comma before the next member; whether the container ends instead.
fn ends(rest: &mut &str, close: char) -> bool {
    *rest = rest.trim_start();
    let opened_or_next = !rest.starts_with(close);
    take(rest, 1);
    *rest = rest.trim_start();
    if opened_or_next && rest.starts_with(close) {
        take(rest, 1);
        return true;
    }
    !opened_or_next
}

fn read_text(rest: &mut &str) -> String {
    *rest = rest.trim_start();
    let mut escaped = false;
    let end = rest
        .bytes()
        .skip(1)
        .position(|b| {
            let ends = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        })
        .expect("the validity was checked");
    serde_json::from_str(take(rest, end + 2)).expect("a string without broken halves")
}

fn take<'r>(rest: &mut &'r str, length: usize) -> &'r str {
    let (taken, behind) = rest.split_at(length);
    *rest = behind;
    taken
}
