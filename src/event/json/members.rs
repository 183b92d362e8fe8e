//! The members of an object as a reader sees them: repeated keys, and keys that look like what they are not.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{Kind, Names, Value};

impl<'d> Value<'d> {
    /// Whether this is an object of a few members whose keys have no escapes and are all different.
    pub fn is_simple(self) -> bool {
        let mut names = Names::default();
        let is_new = |(at, (key, _)): (usize, (Value<'d>, Value<'d>))| {
            let known = names.add(key.inner())
                && (self.members().take(at)).any(|(other, _)| other.raw() == key.raw());
            key.kind() == Kind::PlainString && !known && at < FEW
        };
        self.kind() == Kind::Object && self.members().enumerate().all(is_new)
    }

    /// The members of an object as a reader sees them: of repeated keys only the last, and broken keys behind the others
    /// (they look like what they are not).
    pub fn last_members(self) -> Vec<Member<'d>> {
        let mut members = Vec::new();
        self.last_members_into(&mut members, |member| member, |(text, ..)| text);
        members
    }

    /// Adds [`Value::last_members`] to an empty list, each as `make` has it, whose `name` is then its key; and tells their
    /// names.
    #[inline]
    pub fn last_members_into<M>(
        self,
        list: &mut Vec<M>,
        make: impl Fn(Member<'d>) -> M,
        name: impl Fn(&M) -> &str,
    ) -> Names {
        let mut names = Names::default();
        let nodes = self.node().next.saturating_sub(self.index) as usize;
        list.reserve((nodes / 2).min(FEW));
        for (key, value) in self.members() {
            let text = key.text().unwrap_or_default();
            let repeated = names.add(&text) && list.iter().any(|other| name(other) == text);
            if repeated || key.kind() == Kind::BrokenString || list.len() == FEW {
                let members = self.sorted_out();
                list.clear();
                members.iter().for_each(|(text, ..)| _ = names.add(text));
                list.extend(members.into_iter().map(make));
                break;
            }
            list.push(make((text, key, value)));
        }
        names
    }

    /// The members of an object some of whose keys are repeated or broken, or so many that each is not compared with each.
    fn sorted_out(self) -> Vec<Member<'d>> {
        let mut members: Vec<_> = self
            .members()
            .map(|(key, value)| (key.text().unwrap_or_default(), key, value))
            .collect();
        let shadowed = shadowed(&members);
        if !shadowed.is_empty() {
            let shadowed: HashSet<usize> = shadowed.into_iter().collect();
            let mut at = 0;
            members.retain(|_| {
                at += 1;
                !shadowed.contains(&(at - 1))
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
}

/// A member: its key decoded, its key as it stands, and its value.
pub type Member<'d> = (Cow<'d, str>, Value<'d>, Value<'d>);

pub(super) fn is_broken((_, key, _): &Member<'_>) -> bool {
    key.kind() == Kind::BrokenString
}

/// Members whose key stands again further on, by position.
fn shadowed<'d>(members: &[Member<'d>]) -> Vec<usize> {
    let mut shadowed = Vec::new();
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
                shadowed.push(at);
            }
        }
    } else {
        let mut last = HashMap::with_capacity(members.len());
        for (at, member) in members.iter().enumerate() {
            if let Some(earlier) = last.insert(name(member), at) {
                shadowed.push(earlier);
            }
        }
    }
    shadowed
}

/// So many members are compared each with each; more go through a map.
const FEW: usize = 24;
