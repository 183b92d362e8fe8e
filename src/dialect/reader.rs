//! Looks fields up by their names, remembers what was carried, and keeps the rest.
//!
//! The places are `metadata.callData`, `metadata`, `data` and the root, in that order. What was not carried when the reader
//! finishes stands in `unmapped` under the JSON Pointer of the topmost value that nobody took.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::fit::{Fitted, raw};
use crate::event::json::{Document, Kind, Value, broken_member, push_token};

/// Reads one body.
pub(super) struct Reader<'d> {
    /// In order of precedence; the root is the last.
    places: Vec<Members<'d>>,
    kept: BTreeMap<String, Box<RawValue>>,
    broken: Vec<(String, String)>,
    has_metadata: bool,
    has_call_data: bool,
}

/// The members of one object.
pub(super) struct Members<'d> {
    pointer: String,
    members: Vec<Member<'d>>,
    /// What was carried by a field, but not wholly.
    also: Vec<usize>,
}

struct Member<'d> {
    text: Cow<'d, str>,
    key: Value<'d>,
    value: Value<'d>,
    carried: bool,
}

impl<'d> Reader<'d> {
    /// `None` when the body is not an object.
    pub(super) fn open(document: &'d Document<'d>) -> Option<Self> {
        if document.root().kind() != Kind::Object {
            return None;
        }
        let mut root = Members::of(String::new(), document.root());
        let has_metadata = root.find("metadata").is_some();
        let mut metadata = root.descend("metadata");
        let data = root.descend("data");
        let call_data = metadata
            .as_mut()
            .and_then(|metadata| metadata.descend("callData"));
        let has_call_data = call_data.is_some();
        let places = [call_data, metadata, data, Some(root)]
            .into_iter()
            .flatten()
            .collect();
        Some(Self {
            places,
            kept: BTreeMap::new(),
            broken: Vec::new(),
            has_metadata,
            has_call_data,
        })
    }

    /// Whether there is a `metadata` at all.
    pub(super) fn has_metadata(&self) -> bool {
        self.has_metadata
    }

    /// Whether there is an object `metadata.callData`, be it empty.
    pub(super) fn has_call_data(&self) -> bool {
        self.has_call_data
    }

    /// The field that goes by these names: the first name that is there and fits wins. Others that say the same are carried,
    /// others that disagree are not.
    pub(super) fn take<T: PartialEq>(
        &mut self,
        names: &[&str],
        fit: impl Fn(Value<'d>) -> Option<Fitted<T>>,
    ) -> Option<T> {
        let mut winner = None;
        for name in names {
            for place in &mut self.places {
                place.take_agreeing(name, &fit, &mut winner);
            }
        }
        winner
    }

    /// The same for a name that means this field only at the root.
    pub(super) fn take_at_root<T: PartialEq>(
        &mut self,
        name: &str,
        fit: impl Fn(Value<'d>) -> Option<Fitted<T>>,
    ) -> Option<T> {
        self.places.last_mut()?.take(name, fit)
    }

    /// An object of this name.
    pub(super) fn take_object(&mut self, name: &str) -> Option<Value<'d>> {
        self.take_container(name, Kind::Object)
            .map(|(_, value)| value)
    }

    /// An array of this name, and where it stands.
    pub(super) fn take_array(&mut self, name: &str) -> Option<(String, Value<'d>)> {
        self.take_container(name, Kind::Array)
    }

    /// An object of this name whose members are looked up before all other places.
    pub(super) fn enter(&mut self, name: &str) -> bool {
        let Some((pointer, value)) = self.take_container(name, Kind::Object) else {
            return false;
        };
        self.places.insert(0, Members::of(pointer, value));
        true
    }

    /// Ends what [`Reader::enter`] began.
    pub(super) fn leave(&mut self) {
        self.places.remove(0).finish(self);
    }

    /// The members of an object of this name.
    pub(super) fn take_members(&mut self, name: &str) -> Option<Members<'d>> {
        let (pointer, value) = self.take_container(name, Kind::Object)?;
        Some(Members::of(pointer, value))
    }

    fn take_container(&mut self, name: &str, kind: Kind) -> Option<(String, Value<'d>)> {
        let mut winner: Option<(String, Value<'d>)> = None;
        for place in &mut self.places {
            let Some(at) = place.find(name) else { continue };
            let Some(member) = place.members.get_mut(at).filter(|m| m.value.kind() == kind) else {
                continue;
            };
            match &winner {
                None => {
                    member.carried = true;
                    let value = member.value;
                    winner = Some((place.pointer_to(at), value));
                }
                Some((_, won)) => member.carried = won.same_as(member.value),
            }
        }
        winner
    }

    /// Carries the root's `id` if the event's id says it.
    pub(super) fn carry_id(&mut self, event_id: &str) {
        let says = |sent: &str| {
            let rest = event_id.strip_prefix(sent);
            rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with('-') && rest.len() == 9))
        };
        let fit = |value: Value<'d>| {
            let sent = value.text().filter(|sent| says(sent))?;
            Some(Fitted {
                value: sent,
                whole: true,
            })
        };
        let _carried = self.take_at_root("id", fit);
    }

    /// Says that no field carries these after all.
    pub(super) fn give_back(&mut self, names: &[&str]) {
        for place in &mut self.places {
            for member in &mut place.members {
                if names.contains(&member.text.as_ref()) {
                    member.carried = false;
                }
            }
        }
    }

    /// Members of these names, in the places' order, that nobody took.
    pub(super) fn untaken(&self, name: &str) -> impl Iterator<Item = (Place, Value<'d>)> {
        self.places
            .iter()
            .enumerate()
            .filter_map(move |(place, members)| {
                let at = members.find(name)?;
                let member = members.members.get(at).filter(|member| !member.carried)?;
                Some((Place { place, at }, member.value))
            })
    }

    /// Says that a field carries what stands there.
    pub(super) fn carry(&mut self, place: Place) {
        if let Some(members) = self.places.get_mut(place.place) {
            members.carry(place.at, true);
        }
    }

    /// A value of a container that was taken, as raw JSON.
    pub(super) fn raw(&mut self, name: &str, value: Value<'d>) -> Box<RawValue> {
        let pointer = self.pointer_of(name, value);
        let mut json = String::with_capacity(value.raw().len());
        value.write(&pointer, &mut json, &mut self.broken);
        raw(json)
    }

    fn pointer_of(&self, name: &str, value: Value<'d>) -> String {
        let here = |place: &Members<'d>| {
            let at = place.find(name)?;
            let found = place.members.get(at)?.value.raw().as_ptr() == value.raw().as_ptr();
            found.then(|| place.pointer_to(at))
        };
        self.places.iter().find_map(here).unwrap_or_default()
    }

    /// The members of an element of a list; an element that is no object is kept.
    pub(super) fn members(
        &mut self,
        list: &str,
        position: usize,
        element: Value<'d>,
    ) -> Option<Members<'d>> {
        let pointer = format!("{list}/{position}");
        if element.kind() != Kind::Object {
            self.keep(pointer, element);
            return None;
        }
        Some(Members::of(pointer, element))
    }

    /// An element of a list, if it fits.
    pub(super) fn element<T>(
        &mut self,
        list: &str,
        position: usize,
        element: Value<'d>,
        fit: impl Fn(Value<'d>) -> Option<Fitted<T>>,
    ) -> Option<T> {
        let fitted = fit(element)?;
        if element.kind() == Kind::BrokenString {
            self.broken
                .push((format!("{list}/{position}"), element.inner().to_owned()));
        }
        Some(fitted.value)
    }

    /// Keeps a value in `unmapped`.
    pub(super) fn keep(&mut self, pointer: String, value: Value<'d>) {
        let mut json = String::with_capacity(value.raw().len());
        value.write(&pointer, &mut json, &mut self.broken);
        self.kept.insert(pointer, raw(json));
    }

    /// Keeps what a member with a broken key held, unless another member already has that pointer.
    fn keep_unless_taken(&mut self, pointer: String, value: Value<'d>) {
        if !self.kept.contains_key(&pointer) {
            self.keep(pointer, value);
        }
    }

    /// Everything that no field carries.
    pub(super) fn finish(mut self) -> BTreeMap<String, Box<RawValue>> {
        for place in std::mem::take(&mut self.places) {
            place.finish(&mut self);
        }
        // Sorted, so that the order of members does not decide which of two gets the shorter pointer.
        self.broken.sort();
        for (mut pointer, escapes) in std::mem::take(&mut self.broken) {
            while pointer.ends_with('#') && self.kept.contains_key(&pointer) {
                pointer.push('#');
            }
            let escapes = serde_json::value::to_raw_value(&escapes);
            self.kept.insert(
                pointer,
                escapes.unwrap_or_else(|_| RawValue::NULL.to_owned()),
            );
        }
        self.kept
    }
}

/// Where a member stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    place: usize,
    at: usize,
}

impl<'d> Members<'d> {
    fn of(pointer: String, object: Value<'d>) -> Self {
        let member = |(text, key, value)| Member {
            text,
            key,
            value,
            carried: false,
        };
        let members = object.last_members().into_iter().map(member).collect();
        Self {
            pointer,
            members,
            also: Vec::new(),
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
            member.carried = true;
            Some((member.text.clone(), fitted.value))
        })
    }

    fn take_agreeing<T: PartialEq>(
        &mut self,
        name: &str,
        fit: &impl Fn(Value<'d>) -> Option<Fitted<T>>,
        winner: &mut Option<T>,
    ) {
        let Some(at) = self.find(name) else { return };
        let Some(member) = self.members.get(at).filter(|member| !member.carried) else {
            return;
        };
        let Some(fitted) = fit(member.value) else {
            return;
        };
        if winner.as_ref().is_none_or(|won| *won == fitted.value) {
            self.carry(at, fitted.whole);
            winner.get_or_insert(fitted.value);
        }
    }

    fn carry(&mut self, at: usize, whole: bool) {
        if let Some(member) = self.members.get_mut(at) {
            member.carried = true;
            if !whole {
                self.also.push(at);
            }
        }
    }

    /// The members of an object in this one, which is then carried by what becomes of them.
    fn descend(&mut self, name: &str) -> Option<Self> {
        let at = self.find(name)?;
        let pointer = self.pointer_to(at);
        let member = self
            .members
            .get_mut(at)
            .filter(|member| member.value.kind() == Kind::Object)?;
        let inner = Self::of(pointer, member.value);
        // An empty object has nothing that could stand for it, but for `callData`, which `call` stands for.
        member.carried = !inner.members.is_empty() || name == "callData";
        Some(inner)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.text == name)
    }

    fn pointer_to(&self, at: usize) -> String {
        let mut pointer = self.pointer.clone();
        if let Some(member) = self.members.get(at) {
            push_token(&mut pointer, &member.text);
        }
        pointer
    }

    /// Keeps what nobody took.
    pub(super) fn finish(self, reader: &mut Reader<'d>) {
        for (at, member) in self.members.iter().enumerate() {
            let pointer = || self.pointer_to(at);
            let broken_key = member.key.kind() == Kind::BrokenString;
            if broken_key {
                let told = broken_member(&pointer(), member.key, member.value);
                reader.broken.push(told);
            }
            if !member.carried && broken_key {
                reader.keep_unless_taken(pointer(), member.value);
            } else if !member.carried {
                reader.keep(pointer(), member.value);
            } else if member.value.kind() == Kind::BrokenString {
                let pointer = pointer();
                let escapes = member.value.inner();
                let told = if pointer == "/url" {
                    without_query(escapes)
                } else {
                    escapes
                };
                reader.broken.push((pointer, told.to_owned()));
            } else if self.also.contains(&at) {
                reader.keep(pointer(), member.value);
            }
        }
    }
}

/// The escapes of a URL up to its query, however the question mark is spelled.
fn without_query(escapes: &str) -> &str {
    let query = ["?", r"\u003f", r"\u003F"]
        .into_iter()
        .filter_map(|mark| escapes.find(mark))
        .min();
    query.and_then(|at| escapes.get(..at)).unwrap_or(escapes)
}
