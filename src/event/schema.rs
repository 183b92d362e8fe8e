//! The JSON Schemas of the canonical event, one for each topic that carries it, generated from its types.
//!
//! Draft-07, open, without `format`, without closed vocabularies, no empty schema: the style in which a later optional
//! field is forward compatible by the rules of every registry that was tried. A released file never changes.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::{Event, Stage};

/// A published schema.
#[derive(Debug)]
pub struct Published {
    /// The end of its topic's name, e.g. `post-conversation`.
    pub topic: &'static str,
    /// Its file's name, e.g. `post-conversation.v1.json`.
    pub file: String,
    /// Its text: pretty-printed JSON with a newline at the end.
    pub text: String,
}

/// The end of the name of the topic for events of unknown types.
pub const UNRECOGNIZED: &str = "unrecognized";

/// All published schemas, in the order of the topics.
pub fn published() -> Vec<Published> {
    let stages = Stage::ALL.map(|stage| (stage.name(), Some(stage)));
    stages
        .into_iter()
        .chain([(UNRECOGNIZED, None)])
        .map(|(topic, stage)| publish(topic, stage))
        .collect()
}

fn publish(topic: &'static str, stage: Option<Stage>) -> Published {
    let version = Event::SCHEMA_VERSION;
    let mut schema = event_schema();
    schema.insert(
        "title".into(),
        json!(format!("Atoms call event: {topic}, version {version}")),
    );
    match stage {
        Some(stage) => narrow(&mut schema, stage),
        None => give_examples(&mut schema, "type", json!(["call.transferred"])),
    }
    // Writing a tree of JSON to memory cannot fail.
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n";
    Published {
        topic,
        file: format!("{topic}.v{version}.json"),
        text,
    }
}

fn event_schema() -> Map<String, Value> {
    let mut generator = SchemaSettings::draft07().for_serialize().into_generator();
    let mut schema = <Event<'static>>::json_schema(&mut generator);
    let definitions = generator.take_definitions(true);
    schema.insert("definitions".into(), Value::Object(definitions));
    RecursiveTransform(plain).transform(&mut schema);
    let mut object = Map::new();
    object.insert(
        "$schema".into(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    object.extend(schema.as_object().cloned().unwrap_or_default());
    object
}

/// Drops what other tools refuse (`format`) and what is never emitted (`null`, and a type that is a list of one), and says
/// what would be passed over where it is heard.
fn plain(schema: &mut Schema) {
    // A doc comment's lines are this repository's, not the reader's.
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    schema.remove("format");
    schema.remove("minimum");
    schema.remove("maximum");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    // `anyOf: [a reference, null]` is how an optional struct is generated.
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice != &json!({ "type": "null" }));
        if let [only] = choices.as_slice() {
            let only = json!([only]);
            schema.remove("anyOf");
            schema.insert("allOf".into(), only);
        }
    }
    // Draft-07 passes over everything beside a reference, its description too.
    if schema.get("description").is_some()
        && let Some(reference) = schema.remove("$ref")
    {
        schema.insert("allOf".into(), json!([{ "$ref": reference }]));
    }
}

/// On a topic of one type, that type is the example, and `stage` is always there.
fn narrow(schema: &mut Map<String, Value>, stage: Stage) {
    give_examples(schema, "type", json!([stage.name()]));
    give_examples(schema, "stage", json!([stage.number()]));
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.push(json!("stage"));
    }
}

fn give_examples(schema: &mut Map<String, Value>, field: &str, examples: Value) {
    let properties = schema.get_mut("properties");
    if let Some(Value::Object(field)) = properties.and_then(|properties| properties.get_mut(field))
    {
        field.insert("examples".into(), examples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(value: &Value, path: &str, see: &mut impl FnMut(&str, &Map<String, Value>)) {
        match value {
            Value::Object(map) => {
                see(path, map);
                for (key, inner) in map {
                    walk(inner, &format!("{path}/{key}"), see);
                }
            }
            Value::Array(list) => list.iter().for_each(|inner| walk(inner, path, see)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn schemas_are_open_and_without_what_registries_refuse() {
        for schema in published() {
            let value: Value = serde_json::from_str(&schema.text).unwrap();
            assert_eq!(value["$schema"], "http://json-schema.org/draft-07/schema#");
            walk(&value, "", &mut |path, map| {
                assert!(!map.is_empty(), "empty schema at {path}");
                let in_properties = path.ends_with("/properties") || path.ends_with("/definitions");
                if in_properties {
                    assert!(
                        map.values().all(Value::is_object),
                        "a schema that is true at {path}"
                    );
                    return;
                }
                for key in ["format", "enum", "const", "additionalProperties", "minimum"] {
                    assert!(!map.contains_key(key), "{key} at {path}");
                }
            });
            assert!(!schema.text.contains("\"null\""));
        }
    }

    #[test]
    fn what_is_always_emitted_is_required() {
        let required = |topic: &str| -> Vec<String> {
            let all = published();
            let schema = all.iter().find(|s| s.topic == topic).unwrap();
            let value: Value = serde_json::from_str(&schema.text).unwrap();
            serde_json::from_value(value["required"].clone()).unwrap()
        };
        let always = [
            "id",
            "type",
            "schemaVersion",
            "callId",
            "occurredAt",
            "receivedAt",
            "source",
        ];
        assert_eq!(required("unrecognized"), always);
        assert_eq!(
            required("post-conversation"),
            [&always[..], &["stage"]].concat()
        );
    }
}
