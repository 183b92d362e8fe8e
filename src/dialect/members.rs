//! The members of one object: which of them a field carries, and what becomes of the others.

use std::borrow::Cow;
use std::rc::Rc;

use super::fit::{Fitted, without_query};
use super::reader::Reader;
use crate::event::json::{Kind, Names, Value, broken_member, push_token};

/// The members of one object.
pub(super) struct Members<'d> {
    /// The pointer of the object, but for its last token if it is an element: most elements are never pointed at.
    pointer: Rc<str>,
    pub(super) position: Option<usize>,
    pub(super) members: Vec<Member<'d>>,
    names: Names,
}

pub(super) struct Member<'d> {
    pub(super) text: Cow<'d, str>,
    pub(super) key: Value<'d>,
    pub(super) value: Value<'d>,
    pub(super) carried: Carried,
}

/// Whether a field says what a member says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    No,
    InPart,
    Wholly,
}

impl<'d> Members<'d> {
    pub(super) fn of(pointer: impl Into<Rc<str>>, object: Value<'d>) -> Self {
        Self::with(Vec::new(), pointer, object)
    }

    /// As [`Members::of`], with the memory of a list that is empty.
    pub(super) fn with(
        mut members: Vec<Member<'d>>,
        pointer: impl Into<Rc<str>>,
        object: Value<'d>,
    ) -> Self {
        let member = |(text, key, value)| Member {
            text,
            key,
            value,
            carried: Carried::No,
        };
        let names = object.last_members_into(&mut members, member, |member| &member.text);
        Self {
            names,
            pointer: pointer.into(),
            position: None,
            members,
        }
    }

    /// A member, if it fits.
    pub(super) fn take<T: PartialEq>(
        &mut self,
        name: &str,
        fit: impl Fn(Value<'d>) -> Option<Fitted<T>>,
    ) -> Option<T> {
        let mut winner = None;
        self.take_agreeing(name, &fit, &mut winner);
        winner
    }

    /// The first of several names that fits.
    pub(super) fn take_any<T: PartialEq>(
        &mut self,
        names: &[&str],
        fit: impl Fn(Value<'d>) -> Option<Fitted<T>>,
    ) -> Option<T> {
        let mut winner = None;
        for name in names {
            self.take_agreeing(name, &fit, &mut winner);
        }
        winner
    }

    /// Every member that fits, by its key.
    pub(super) fn take_all<T>(
        &mut self,
        fit: impl Fn(Value<'d>) -> Option<Fitted<T>>,
    ) -> impl Iterator<Item = (Cow<'d, str>, T)> {
        self.members.iter_mut().filter_map(move |member| {
            let fitted = fit(member.value)?;
            member.carried = Carried::Wholly;
            Some((member.text.clone(), fitted.value))
        })
    }

    #[inline]
    pub(super) fn take_agreeing<T: PartialEq>(
        &mut self,
        name: &str,
        fit: &impl Fn(Value<'d>) -> Option<Fitted<T>>,
        winner: &mut Option<T>,
    ) {
        if self.names.may_hold(name) {
            self.take_found(name, fit, winner);
        }
    }

    fn take_found<T: PartialEq>(
        &mut self,
        name: &str,
        fit: &impl Fn(Value<'d>) -> Option<Fitted<T>>,
        winner: &mut Option<T>,
    ) {
        let mut members = self.members.iter_mut();
        let Some(member) = members.find(|member| member.text == name) else {
            return;
        };
        if member.carried != Carried::No {
            return;
        }
        let Some(fitted) = fit(member.value) else {
            return;
        };
        if winner.as_ref().is_none_or(|won| *won == fitted.value) {
            member.carried = if fitted.whole {
                Carried::Wholly
            } else {
                Carried::InPart
            };
            winner.get_or_insert(fitted.value);
        }
    }

    /// The members of an object in this one, which is then carried by what becomes of them.
    pub(super) fn descend(&mut self, name: &str) -> Option<Self> {
        let at = self.find(name)?;
        let pointer = self.pointer_to(at);
        let member = self
            .members
            .get_mut(at)
            .filter(|member| member.value.kind() == Kind::Object)?;
        let inner = Self::of(pointer, member.value);
        // An empty object has nothing that could stand for it, but for `callData`, which `call` stands for.
        if !inner.members.is_empty() || name == "callData" {
            member.carried = Carried::Wholly;
        }
        Some(inner)
    }

    /// Looks a member up by another name than its own, which stays in its pointer; a member that had this name is then
    /// found by none.
    pub(super) fn look_up_as(&mut self, own: &'static str, name: &'static str) {
        let is_plain = |member: &Member<'d>| member.key.kind() != Kind::BrokenString;
        let named = |members: &[Member<'d>], name: &str| {
            let mut members = members.iter();
            members.position(|member| member.text == name && is_plain(member))
        };
        let Some(at) = named(&self.members, own) else {
            return;
        };
        let other = named(&self.members, name);
        for (at, text) in [(Some(at), name), (other, own)] {
            if let Some(member) = at.and_then(|at| self.members.get_mut(at)) {
                self.names.add(text);
                member.text = Cow::Borrowed(text);
            }
        }
    }

    /// Lets go of every member but these.
    pub(super) fn only(&mut self, names: &[&str]) {
        self.members
            .retain(|member| names.contains(&member.text.as_ref()));
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        if !self.names.may_hold(name) {
            return None;
        }
        self.members.iter().position(|member| member.text == name)
    }

    pub(super) fn pointer_to(&self, at: usize) -> String {
        let mut pointer = self.pointer.to_string();
        if let Some(position) = self.position {
            push_token(&mut pointer, &position.to_string());
        }
        if let Some(member) = self.members.get(at) {
            // Its own name, under which it may not have been looked up.
            push_token(&mut pointer, &member.key.text().unwrap_or_default());
        }
        pointer
    }

    /// Keeps what nobody took.
    pub(super) fn finish(mut self, reader: &mut Reader<'d>) {
        for (at, member) in self.members.iter().enumerate() {
            let pointer = || self.pointer_to(at);
            let broken_key = member.key.kind() == Kind::BrokenString;
            if broken_key {
                let told = broken_member(&pointer(), member.key, member.value);
                reader.broken.push(told);
            }
            if member.carried == Carried::No && broken_key {
                reader.keep_unless_taken(pointer(), member.value);
            } else if member.carried == Carried::No {
                reader.keep(pointer(), member.value);
            } else if member.value.kind() == Kind::BrokenString {
                let pointer = pointer();
                let escapes = member.value.inner();
                let told = if pointer == "/url" {
                    without_query(escapes, &QUERY, &FRAGMENT)
                } else {
                    Cow::Borrowed(escapes)
                };
                reader.broken.push((pointer, told.into_owned()));
            } else if member.carried == Carried::InPart {
                reader.keep(pointer(), member.value);
            }
        }
        self.members.clear();
        reader.spare = self.members;
    }
}

/// How JSON may spell what begins a query, and what ends it.
const QUERY: [&str; 3] = ["?", r"\u003f", r"\u003F"];
const FRAGMENT: [&str; 2] = ["#", r"\u0023"];
