//! The shape of a JSON value, and where a value departs from it.
//!
//! A complaint names the place and what belongs there, never the value, which may be a secret or somebody's number.

use serde_json::Value;

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Whatever it is.
    Any,
    /// `null`.
    Null,
    /// A string.
    Text,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Up to so many elements of one shape.
    List(&'static Shape, usize),
    /// An object that has these members and no others.
    Object(&'static [Field]),
    /// An object that has these members; what else it has is not known.
    Open(&'static [Field]),
    /// An object whose members, whatever their names, all have one shape.
    Named(&'static Shape, usize),
    /// Any of these.
    Either(&'static [Shape]),
}

/// A member of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub shape: Shape,
    /// Whether it is always there.
    pub always: bool,
}

/// A member that is always there.
pub(super) const fn always(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        always: true,
    }
}

/// A member that may be missing.
pub(super) const fn maybe(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        always: false,
    }
}

impl Shape {
    /// Where `value`, which stands at `place`, departs from this shape; nothing when it does not.
    pub fn departures(&self, value: &Value, place: &str) -> Vec<String> {
        let fits = match (self, value) {
            (Self::Any, _)
            | (Self::Null, Value::Null)
            | (Self::Text, Value::String(_))
            | (Self::Number, Value::Number(_))
            | (Self::Boolean, Value::Bool(_)) => true,
            (Self::Word(words), Value::String(text)) => words.contains(&text.as_str()),
            (Self::List(shape, most), Value::Array(list)) => {
                return elements(shape, *most, list, place);
            }
            (Self::Object(fields), Value::Object(members)) => {
                let mut departures = known(fields, members, place);
                departures.extend(unknown(fields, members, place));
                return departures;
            }
            (Self::Open(fields), Value::Object(members)) => return known(fields, members, place),
            (Self::Named(shape, most), Value::Object(members)) => {
                return named(shape, *most, members, place);
            }
            (Self::Either(shapes), _) => shapes
                .iter()
                .any(|shape| shape.departures(value, place).is_empty()),
            _ => false,
        };
        if fits {
            Vec::new()
        } else {
            vec![format!("{place} is not {}", self.in_words())]
        }
    }

    /// What belongs here, for people.
    fn in_words(&self) -> String {
        match self {
            Self::Any => "anything".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Text => "a string".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Number => "a number".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::List(..) => "a list".to_owned(),
            Self::Object(_) | Self::Open(_) | Self::Named(..) => "an object".to_owned(),
            Self::Either(shapes) => {
                let shapes: Vec<String> = shapes.iter().map(Self::in_words).collect();
                shapes.join(" or ")
            }
        }
    }
}

type Members = serde_json::Map<String, Value>;

fn elements(shape: &Shape, most: usize, list: &[Value], place: &str) -> Vec<String> {
    let mut departures: Vec<String> = list
        .iter()
        .enumerate()
        .flat_map(|(at, element)| shape.departures(element, &format!("{place}/{at}")))
        .collect();
    if list.len() > most {
        departures.push(format!("{place} has more than {most} elements"));
    }
    departures
}

fn named(shape: &Shape, most: usize, members: &Members, place: &str) -> Vec<String> {
    let mut departures: Vec<String> = members
        .iter()
        .flat_map(|(name, value)| shape.departures(value, &format!("{place}/{name}")))
        .collect();
    if members.len() > most {
        departures.push(format!("{place} has more than {most} members"));
    }
    departures
}

fn known(fields: &[Field], members: &Members, place: &str) -> Vec<String> {
    let judge = |field: &Field| match members.get(field.name) {
        Some(value) => field
            .shape
            .departures(value, &format!("{place}/{}", field.name)),
        None if field.always => vec![format!("{place}/{} is missing", field.name)],
        None => Vec::new(),
    };
    fields.iter().flat_map(judge).collect()
}

fn unknown(fields: &[Field], members: &Members, place: &str) -> Vec<String> {
    let is_known = |name: &str| fields.iter().any(|field| field.name == name);
    members
        .keys()
        .filter(|name| !is_known(name))
        .map(|name| format!("{place}/{name} is unknown"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHAPE: Shape = Shape::Object(&[
        always("id", Shape::Text),
        maybe("state", Shape::Word(&["on", "off"])),
        maybe(
            "list",
            Shape::List(&Shape::Open(&[always("n", Shape::Number)]), 2),
        ),
        maybe("either", Shape::Either(&[Shape::Null, Shape::Boolean])),
        maybe("named", Shape::Named(&Shape::Text, 1)),
    ]);

    #[test]
    fn what_fits_departs_nowhere() {
        for value in [
            json!({ "id": "a" }),
            json!({ "id": "a", "state": "on", "list": [{ "n": 1, "more": 2 }], "either": null }),
            json!({ "id": "a", "list": [], "either": true, "named": { "x": "y" } }),
        ] {
            assert_eq!(SHAPE.departures(&value, ""), Vec::<String>::new());
        }
    }

    #[test]
    fn each_departure_is_told_by_its_place_and_never_by_its_value() {
        for (value, expected) in [
            (json!([]), " is not an object"),
            (json!({}), "/id is missing"),
            (json!({ "id": 1 }), "/id is not a string"),
            (json!({ "id": "a", "x": 1 }), "/x is unknown"),
            (
                json!({ "id": "a", "state": "hidden" }),
                "/state is not one of on, off",
            ),
            (
                json!({ "id": "a", "list": [{ "n": "1" }] }),
                "/list/0/n is not a number",
            ),
            (
                json!({ "id": "a", "list": [{ "n": 1 }, { "n": 1 }, { "n": 1 }] }),
                "/list has more than 2 elements",
            ),
            (
                json!({ "id": "a", "either": "x" }),
                "/either is not null or true or false",
            ),
            (
                json!({ "id": "a", "named": { "x": 1 } }),
                "/named/x is not a string",
            ),
            (
                json!({ "id": "a", "named": { "x": "", "y": "" } }),
                "/named has more than 1 members",
            ),
        ] {
            assert_eq!(SHAPE.departures(&value, ""), [expected]);
        }
    }
}
