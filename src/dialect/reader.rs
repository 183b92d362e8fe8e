//! Looks fields up by their names, remembers what was carried, and keeps the rest.
//!
//! The places are `metadata.callData`, `metadata`, `data` and the root, in that order. What was not carried when the reader
//! finishes stands in `unmapped` under the JSON Pointer of the topmost value that nobody took.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::fit::Fitted;
use super::members::{Carried, Member, Members};
use crate::event::Raw;
use crate::event::json::{Document, Kind, Value};

/// Reads one body.
pub(super) struct Reader<'d> {
    /// In order of precedence; the root is the last.
    places: Vec<Members<'d>>,
    kept: BTreeMap<String, Raw<'d>>,
    pub(super) broken: Vec<(String, String)>,
    has_metadata: bool,
    has_call_data: bool,
    /// Memory for the members of the next element.
    pub(super) spare: Vec<Member<'d>>,
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
            spare: Vec::new(),
        })
    }

    /// Reads an object that has no places but its root; each member of the first name is looked up by the second.
    /// `None` when it is not an object.
    pub(super) fn at_root(
        document: &'d Document<'d>,
        also_known: &[(&'static str, &'static str)],
    ) -> Option<Self> {
        if document.root().kind() != Kind::Object {
            return None;
        }
        let mut root = Members::of(String::new(), document.root());
        for (own, name) in also_known {
            root.look_up_as(own, name);
        }
        Some(Self {
            places: vec![root],
            kept: BTreeMap::new(),
            broken: Vec::new(),
            has_metadata: false,
            has_call_data: false,
            spare: Vec::new(),
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

    /// An object of this name that is carried as it is; others that say the same are carried with it.
    pub(super) fn take_object(&mut self, name: &str) -> Option<Value<'d>> {
        let (_, won) = self.take_container(name, Kind::Object)?;
        Some(won)
    }

    /// An array of this name, and where it stands.
    pub(super) fn take_array(&mut self, name: &str) -> Option<(Rc<str>, Value<'d>)> {
        self.take_container(name, Kind::Array)
            .map(|(pointer, value)| (pointer.into(), value))
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

    /// The first one. Others of the same value are carried with it: whatever becomes of a part of it is said once. What is
    /// broken is never the same, since its escapes are told with its own pointer.
    fn take_container(&mut self, name: &str, kind: Kind) -> Option<(String, Value<'d>)> {
        let mut winner: Option<(String, Value<'d>)> = None;
        for place in &mut self.places {
            let Some(at) = place.find(name) else { continue };
            let Some(member) = place.members.get_mut(at).filter(|m| m.value.kind() == kind) else {
                continue;
            };
            match &winner {
                None => {
                    member.carried = Carried::Wholly;
                    let value = member.value;
                    winner = Some((place.pointer_to(at), value));
                }
                Some((_, won)) => {
                    member.carried = if won.same_whole_as(member.value) {
                        Carried::Wholly
                    } else {
                        Carried::No
                    };
                }
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
                    member.carried = Carried::No;
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
                let member = members
                    .members
                    .get(at)
                    .filter(|member| member.carried == Carried::No)?;
                Some((Place { place, at }, member.value))
            })
    }

    /// Says that a field carries what stands there.
    pub(super) fn carry(&mut self, place: Place) {
        let members = self.places.get_mut(place.place);
        if let Some(member) = members.and_then(|it| it.members.get_mut(place.at)) {
            member.carried = Carried::Wholly;
        }
    }

    /// A value of a container that was taken, as raw JSON.
    pub(super) fn raw(&mut self, name: &str, value: Value<'d>) -> Raw<'d> {
        if value.is_clean() {
            return Raw::of(value.raw());
        }
        let pointer = self.pointer_of(name, value);
        let mut json = String::with_capacity(value.raw().len());
        value.write(&pointer, &mut json, &mut self.broken);
        Raw::of(json)
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
        list: &Rc<str>,
        position: usize,
        element: Value<'d>,
    ) -> Option<Members<'d>> {
        if element.kind() != Kind::Object {
            self.keep(format!("{list}/{position}"), element);
            return None;
        }
        let spare = std::mem::take(&mut self.spare);
        let mut members = Members::with(spare, Rc::clone(list), element);
        members.position = Some(position);
        Some(members)
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
        let json = if value.is_clean() {
            Raw::of(value.raw())
        } else {
            let mut json = String::with_capacity(value.raw().len());
            value.write(&pointer, &mut json, &mut self.broken);
            Raw::of(json)
        };
        self.kept.insert(pointer, json);
    }

    /// Keeps what a member with a broken key held, unless another member already has that pointer.
    pub(super) fn keep_unless_taken(&mut self, pointer: String, value: Value<'d>) {
        if !self.kept.contains_key(&pointer) {
            self.keep(pointer, value);
        }
    }

    /// Everything that no field carries.
    pub(super) fn finish(mut self) -> BTreeMap<String, Raw<'d>> {
        for place in std::mem::take(&mut self.places) {
            place.finish(&mut self);
        }
        // Sorted, so that the order of members does not decide which of two gets the shorter pointer.
        self.broken.sort();
        for (mut pointer, escapes) in std::mem::take(&mut self.broken) {
            while pointer.ends_with('#') && self.kept.contains_key(&pointer) {
                pointer.push('#');
            }
            // Writing a string to memory as JSON cannot fail.
            let escapes = serde_json::to_string(&escapes).unwrap_or_default();
            self.kept.insert(pointer, Raw::of(escapes));
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
