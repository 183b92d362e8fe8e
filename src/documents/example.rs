//! An event made of the examples that its schema gives: all fields at once, as no real event has them.

use serde_json::{Map, Value};

/// The example of a schema. `definitions` is what its references are names in.
pub(super) fn of(schema: &Value, definitions: &Map<String, Value>) -> Value {
    if let Some(example) = schema.pointer("/examples/0") {
        return example.clone();
    }
    if let Some(target) = target(schema, definitions) {
        return of(target.1, definitions);
    }
    if let Some(Value::Object(properties)) = schema.get("properties") {
        let field = |(name, field): (&String, &Value)| (name.clone(), of(field, definitions));
        return properties.iter().map(field).collect();
    }
    schema.get("items").map_or(Value::Null, |items| {
        Value::Array(vec![of(items, definitions)])
    })
}

/// The struct that a schema stands for: its name and schema.
pub(super) fn target<'a>(
    schema: &'a Value,
    definitions: &'a Map<String, Value>,
) -> Option<(&'a str, &'a Value)> {
    let reference = schema
        .get("$ref")
        .or_else(|| schema.pointer("/allOf/0/$ref"))?;
    let (_, name) = reference.as_str()?.rsplit_once('/')?;
    Some((name, definitions.get(name)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::schema::published;

    #[test]
    fn every_field_has_an_example_that_its_schema_allows() {
        for schema in published() {
            let schema: Value = serde_json::from_str(&schema.text).unwrap();
            let definitions = schema["definitions"].as_object().unwrap();
            let example = of(&schema, definitions);
            assert!(!example.to_string().contains("null"), "{example}");
            assert!(jsonschema::draft7::is_valid(&schema, &example), "{example}");
            assert_eq!(example["transcript"][0]["role"], json!("agent"));
        }
    }
}
