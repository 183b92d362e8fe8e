//! The published schemas as they stand in the AsyncAPI document: each struct once, and references to where it stands.

use serde_json::{Map, Value, json};

use super::{headers, topics};
use crate::event::schema::Published;

/// A published schema, taken apart.
pub(super) struct Parts {
    pub(super) schema: Value,
    pub(super) definitions: Map<String, Value>,
}

impl Parts {
    pub(super) fn of(published: &Published) -> Self {
        let mut schema: Value = serde_json::from_str(&published.text).unwrap_or_default();
        let definitions = schema
            .as_object_mut()
            .and_then(|schema| schema.remove("definitions"));
        let definitions = match definitions {
            Some(Value::Object(definitions)) => definitions,
            _ => Map::new(),
        };
        Self {
            schema,
            definitions,
        }
    }
}

/// Headers, the four values, and the structs in them, which all four have alike.
pub(super) fn shared_schemas(published: &[Published]) -> Vec<(String, Value)> {
    let mut schemas = vec![
        (
            "eventHeaders".to_owned(),
            headers::schema(&headers::OF_EVENTS),
        ),
        (
            "deadLetterHeaders".to_owned(),
            headers::schema(&headers::OF_DEAD_LETTERS),
        ),
    ];
    let mut structs = Map::new();
    for topic in topics::all() {
        let Some(file) = published.iter().find(|schema| schema.topic == topic.name) else {
            continue;
        };
        let mut parts = Parts::of(file);
        rebase(&mut parts.schema);
        let schema = json!({ "schemaFormat": DRAFT_07, "schema": parts.schema });
        schemas.push((topic.id.to_owned(), schema));
        structs.extend(parts.definitions);
    }
    for (name, mut schema) in structs {
        rebase(&mut schema);
        schemas.push((name, schema));
    }
    schemas
}

/// Points a schema's references to where the structs stand in this document.
fn rebase(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref") {
                *reference = reference.replace("#/definitions/", "#/components/schemas/");
            }
            members.values_mut().for_each(rebase);
        }
        Value::Array(elements) => elements.iter_mut().for_each(rebase),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const DRAFT_07: &str = "application/schema+json;version=draft-07";
