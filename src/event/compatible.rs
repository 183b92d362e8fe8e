//! Whether a later schema is forward compatible with an earlier one: whoever reads by the earlier can read what is written
//! by the later.
//!
//! It judges the style that the published schemas are written in (open objects of typed properties, lists, references).
//! What it does not know it takes for a difference, so that it errs on the side of the reader.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

/// Something that a reader by the earlier schema would trip over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where, in dots and brackets as one would write it in a program, e.g. `call.durationSeconds`, `transcript[].role`.
    pub field: String,
    /// What the later schema does.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.what)
    }
}

/// What keeps `later` from being forward compatible with `earlier`; nothing when it is.
pub fn differences(earlier: &Value, later: &Value) -> Vec<Difference> {
    let mut walk = Walk {
        earlier,
        later,
        found: Vec::new(),
    };
    walk.compare(earlier, later, "", 0);
    walk.found
}

struct Walk<'a> {
    earlier: &'a Value,
    later: &'a Value,
    found: Vec<Difference>,
}

impl<'a> Walk<'a> {
    fn compare(&mut self, earlier: &'a Value, later: &'a Value, field: &str, depth: usize) {
        if depth > DEEPEST {
            return self.find(field, "is nested too deep to be judged");
        }
        let (earlier, later) = (resolved(earlier, self.earlier), resolved(later, self.later));
        let (Some(old), Some(new)) = (earlier.as_object(), later.as_object()) else {
            if earlier != later {
                self.find(field, "is described in a way that is not judged here");
            }
            return;
        };
        self.types(old, new, field);
        self.properties(old, new, field, depth);
        self.required(old, new, field);
        self.items(old, new, field, depth);
        self.others(old, new, field);
    }

    fn types(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, field: &str) {
        let (before, now) = (types(old), types(new));
        if before.is_empty() {
            return;
        }
        // Every integer is a number.
        let is_known = |name: &&str| {
            before.contains(name) || (*name == "integer" && before.contains("number"))
        };
        if now.is_empty() || !now.iter().all(is_known) {
            let (before, now) = (listed(&before), listed(&now));
            self.find(field, &format!("was {before} and is {now}"));
        }
    }

    fn properties(
        &mut self,
        old: &'a Map<String, Value>,
        new: &'a Map<String, Value>,
        field: &str,
        depth: usize,
    ) {
        let of =
            |schema: &'a Map<String, Value>| schema.get("properties").and_then(Value::as_object);
        for (name, earlier) in of(old).into_iter().flatten() {
            let field = joined(field, name);
            match of(new).and_then(|properties| properties.get(name)) {
                Some(later) => self.compare(earlier, later, &field, depth + 1),
                // An open object may then hold anything under this name.
                None => self.find(&field, "is no longer described"),
            }
        }
    }

    fn required(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, field: &str) {
        let now = names(new.get("required"));
        for name in names(old.get("required")).difference(&now) {
            self.find(&joined(field, name), "was always there and is no longer");
        }
    }

    fn items(
        &mut self,
        old: &'a Map<String, Value>,
        new: &'a Map<String, Value>,
        field: &str,
        depth: usize,
    ) {
        let field = format!("{field}[]");
        match (old.get("items"), new.get("items")) {
            (Some(earlier), Some(later)) => self.compare(earlier, later, &field, depth + 1),
            (Some(_), None) => self.find(&field, "is no longer described"),
            (None, _) => {}
        }
    }

    /// A keyword that this does not know may narrow or widen: only the same one is surely compatible.
    fn others(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, field: &str) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            if !JUDGED.contains(&name.as_str())
                && !ANNOTATIONS.contains(&name.as_str())
                && old.get(name) != new.get(name)
            {
                self.find(
                    field,
                    &format!("`{name}` differs, which is not judged here"),
                );
            }
        }
    }

    fn find(&mut self, field: &str, what: &str) {
        let field = if field.is_empty() { "the event" } else { field };
        let difference = Difference {
            field: field.to_owned(),
            what: what.to_owned(),
        };
        // A definition that is used twice is compared twice.
        if !self.found.contains(&difference) {
            self.found.push(difference);
        }
    }
}

/// What a reference means, also one that is wrapped in `allOf` to stand beside a description.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..DEEPEST {
        let pointer = schema.get("$ref").and_then(Value::as_str);
        let meant = pointer.and_then(|pointer| root.pointer(pointer.strip_prefix('#')?));
        match meant.or_else(|| wrapped(schema)) {
            Some(inner) => schema = inner,
            None => break,
        }
    }
    schema
}

/// The only schema of an `allOf` that stands beside nothing that is judged.
fn wrapped(schema: &Value) -> Option<&Value> {
    let object = schema.as_object()?;
    let says_more = |name: &String| name != "allOf" && !ANNOTATIONS.contains(&name.as_str());
    match object.get("allOf")?.as_array()?.as_slice() {
        [only] if !object.keys().any(says_more) => Some(only),
        _ => None,
    }
}

fn types(schema: &Map<String, Value>) -> BTreeSet<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => BTreeSet::from([name.as_str()]),
        other => names(other),
    }
}

fn names(list: Option<&Value>) -> BTreeSet<&str> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

fn listed(types: &BTreeSet<&str>) -> String {
    if types.is_empty() {
        return "of any type".to_owned();
    }
    types.iter().copied().collect::<Vec<_>>().join(" or ")
}

fn joined(field: &str, name: &str) -> String {
    if field.is_empty() {
        name.to_owned()
    } else {
        format!("{field}.{name}")
    }
}

const JUDGED: [&str; 4] = ["type", "properties", "required", "items"];
/// What says nothing about what is valid.
const ANNOTATIONS: [&str; 8] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "examples",
    "default",
    "definitions",
];
/// Deeper than any event, and an end to a definition that holds itself.
const DEEPEST: usize = 32;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn base() -> Value {
        json!({
            "definitions": {"Turn": {"type": "object", "properties": {"role": {"type": "string"}}}},
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": {"type": "string"},
                "cost": {"type": "number"},
                "last": {"allOf": [{"$ref": "#/definitions/Turn"}], "description": "The last."},
                "turns": {"type": "array", "items": {"$ref": "#/definitions/Turn"}}
            }
        })
    }

    fn changed(pointer: &str, value: Value) -> Vec<String> {
        let mut later = base();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = later.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(name);
        } else {
            parent.insert(name.to_owned(), value);
        }
        differences(&base(), &later)
            .iter()
            .map(Difference::to_string)
            .collect()
    }

    #[test]
    fn what_readers_of_the_earlier_can_read_is_compatible() {
        let text = || json!({"type": "string"});
        for (pointer, value) in [
            ("/properties/language", text()),
            ("/definitions/Turn/properties/mood", text()),
            ("/required", json!(["id", "cost"])),
            (
                "/properties/cost",
                json!({"type": "integer", "description": "In cents."}),
            ),
            ("/title", json!("another")),
        ] {
            assert_eq!(changed(pointer, value), [""; 0], "{pointer}");
        }
    }

    #[test]
    fn what_they_would_trip_over_is_named_by_its_field() {
        let role = [
            "last.role: was string and is integer",
            "turns[].role: was string and is integer",
        ];
        for (pointer, value, expected) in [
            (
                "/definitions/Turn/properties/role",
                json!({"type": "integer"}),
                &role[..],
            ),
            (
                "/properties/cost",
                json!({"type": ["number", "string"]}),
                &["cost: was number and is number or string"],
            ),
            (
                "/properties/cost",
                json!({}),
                &["cost: was number and is of any type"],
            ),
            (
                "/properties/cost",
                Value::Null,
                &["cost: is no longer described"],
            ),
            (
                "/required",
                json!([]),
                &["id: was always there and is no longer"],
            ),
            (
                "/properties/turns",
                json!({"type": "array"}),
                &["turns[]: is no longer described"],
            ),
            (
                "/additionalProperties",
                json!(false),
                &["the event: `additionalProperties` differs, which is not judged here"],
            ),
            (
                "/properties/id",
                json!({"type": "string", "enum": ["a"]}),
                &["id: `enum` differs, which is not judged here"],
            ),
        ] {
            assert_eq!(changed(pointer, value), expected, "{pointer}");
        }
    }

    #[test]
    fn a_definition_that_holds_itself_comes_to_an_end() {
        let own = json!({"definitions": {"A": {"properties": {"a": {"$ref": "#/definitions/A"}}}}, "$ref": "#/definitions/A"});
        assert!(!differences(&own, &own).is_empty());
    }
}
