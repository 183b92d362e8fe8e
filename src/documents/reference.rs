//! The reference of the canonical event, for people, from the descriptions in the schemas.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::headers::{self, Header};
use super::{example, topics};
use crate::config::Config;
use crate::event::Stage;
use crate::event::schema::{UNRECOGNIZED, published};

/// The page as Markdown, with the topics of a configuration.
pub(super) fn document(config: &Config) -> String {
    let schemas: BTreeMap<&str, Value> = published()
        .iter()
        .map(|schema| {
            let value = serde_json::from_str(&schema.text);
            (schema.topic, value.unwrap_or_default())
        })
        .collect();
    // The schema for any type; those of the single types only narrow it.
    let Some(any) = schemas.get(UNRECOGNIZED) else {
        return String::new();
    };
    let definitions = any.get("definitions").and_then(Value::as_object);
    let mut page = Page {
        text: OPENING.to_owned(),
        definitions: definitions.cloned().unwrap_or_default(),
    };
    page.topics(config);
    page.fields("Event", any, &schemas);
    for (name, schema) in page.structs(any) {
        page.fields(&name, &schema, &BTreeMap::new());
    }
    page.line(HEADERS);
    page.headers("On an event", &headers::OF_EVENTS);
    page.headers("On a dead letter", &headers::OF_DEAD_LETTERS);
    page.whole(schemas.get(Stage::PostConversation.name()).unwrap_or(any));
    page.text
}

struct Page {
    text: String,
    definitions: Map<String, Value>,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn heading(&mut self, marks: &str, heading: &str) {
        self.line(&format!("\n{marks} {heading}\n"));
    }

    fn row<const N: usize>(&mut self, cells: [&str; N]) {
        // A vertical line would end the cell.
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    fn table<const N: usize>(&mut self, header: [&str; N]) {
        self.row(header);
        self.row(["---"; N]);
    }

    fn topics(&mut self, config: &Config) {
        self.heading("##", "Topics");
        self.table(["topic", "what", "value"]);
        for topic in topics::all() {
            let value = match topic.schema_file() {
                Some(file) => format!("[event](#event), by [{file}]({file})"),
                None => "raw bytes".to_owned(),
            };
            let name = format!("`{}{}`", config.topics.prefix, topic.name);
            self.row([&name, topic.about, &value]);
        }
        self.line(KEY);
    }

    /// The fields of a struct: those that are always there first, in their own order, then the others by name.
    fn fields(&mut self, name: &str, schema: &Value, of_topics: &BTreeMap<&str, Value>) {
        self.heading("##", name);
        let about = schema.get("description").and_then(Value::as_str);
        self.line(about.unwrap_or_default());
        self.line("");
        self.table(["field", "type", "there", "what", "for example"]);
        for (name, field) in ordered(schema) {
            let field_type = self.type_of(field);
            let there = presence(name, schema, of_topics);
            let about = field.get("description").and_then(Value::as_str);
            self.row([
                &format!("`{name}`"),
                &field_type,
                &there,
                about.unwrap_or_default(),
                &examples(field),
            ]);
        }
    }

    fn type_of(&self, field: &Value) -> String {
        if let Some((name, _)) = example::target(field, &self.definitions) {
            return format!("[{name}](#{})", name.to_lowercase());
        }
        match field.get("type") {
            Some(Value::Array(types)) => {
                let types: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
                types.join(" or ")
            }
            Some(Value::String(list)) if list == "array" => {
                let items = field.get("items").unwrap_or(&Value::Null);
                format!("list of {}", self.type_of(items))
            }
            Some(Value::String(one)) => one.clone(),
            _ => String::new(),
        }
    }

    /// Every struct below a schema, each where it is met first.
    fn structs(&self, schema: &Value) -> Vec<(String, Value)> {
        let mut found: Vec<(String, Value)> = Vec::new();
        for (_, field) in ordered(schema) {
            let items = field.get("items").unwrap_or(field);
            if let Some((name, schema)) = example::target(items, &self.definitions) {
                found.push((name.to_owned(), schema.clone()));
                found.extend(self.structs(schema));
            }
        }
        found
    }

    fn headers(&mut self, heading: &str, headers: &[Header]) {
        self.heading("###", heading);
        self.table(["header", "there", "what", "for example"]);
        for header in headers {
            let there = if header.always { ALWAYS } else { "sometimes" };
            let example = header.example.map(|example| format!("`{example}`"));
            self.row([
                &format!("`{}`", header.name),
                there,
                header.about,
                &example.unwrap_or_default(),
            ]);
        }
    }

    fn whole(&mut self, schema: &Value) {
        let event = example::of(schema, &self.definitions);
        let event = serde_json::to_string_pretty(&event).unwrap_or_default();
        self.heading("##", "All fields at once");
        self.line("No real event has them all, and the order of fields means nothing.\n");
        self.line(&format!("```json\n{event}\n```"));
    }
}

fn ordered(schema: &Value) -> Vec<(&String, &Value)> {
    let Some(Value::Object(properties)) = schema.get("properties") else {
        return Vec::new();
    };
    let required = required(schema);
    let mut fields: Vec<_> = properties.iter().collect();
    fields.sort_by_key(|(name, _)| {
        let place = required.iter().position(|required| required == name);
        (place.unwrap_or(required.len()), *name)
    });
    fields
}

fn required(schema: &Value) -> Vec<&str> {
    let required = schema.get("required").and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    names.collect()
}

/// Whether a field is always there, or on which topics it is.
fn presence(name: &str, schema: &Value, of_topics: &BTreeMap<&str, Value>) -> String {
    if required(schema).contains(&name) {
        return ALWAYS.to_owned();
    }
    let requiring = of_topics
        .iter()
        .filter(|(_, schema)| required(schema).contains(&name));
    let topics: Vec<String> = requiring.map(|(topic, _)| format!("`{topic}`")).collect();
    if topics.is_empty() {
        return WHEN_KNOWN.to_owned();
    }
    format!("always on {}", topics.join(", "))
}

fn examples(field: &Value) -> String {
    let examples = field.get("examples").and_then(Value::as_array);
    let examples = examples.into_iter().flatten();
    let shown: Vec<String> = examples.map(|example| format!("`{example}`")).collect();
    shown.join(" ")
}

const ALWAYS: &str = "always";
const WHEN_KNOWN: &str = "when known";
const OPENING: &str = "\
# The canonical event

<!-- Generated by `atoms-kafka-bridge schemas write`; `schemas diff` tells when it is not what the bridge does. -->

Every call reaches Kafka in this one shape, whichever way the sender spelled it. The value is UTF-8 JSON. What is not known is
absent: never null, never invented. Any event may carry any part, whatever its type; what counts is what was sent. New optional
fields may come at any time: pass over what you do not know.
";
const KEY: &str = "
The **key** is the call's id (`callId`), in UTF-8, placed by the rule of Java's own producer. All topics have the same number of
partitions, so that the events of one call lie on partitions of the same number. A dead letter has a key when its bytes say which
call it belongs to. The **timestamp** is when the bridge had received the delivery (a replay: when it was replayed).
Read with `isolation.level=read_committed`.";
const HEADERS: &str = "
## Headers

CloudEvents 1.0 in binary mode: an attribute is a header `ce_…`. All are UTF-8 text, but one.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_and_struct_is_on_the_page_and_every_link_leads_to_one() {
        let page = document(&Config::defaults().unwrap());
        for schema in published() {
            let schema: Value = serde_json::from_str(&schema.text).unwrap();
            let structs = schema["definitions"].as_object().unwrap();
            for (name, described) in structs.iter().chain([(&"Event".to_owned(), &schema)]) {
                let section = page.split(&format!("\n## {name}\n")).nth(1).unwrap();
                let section = section.split("\n## ").next().unwrap();
                for (field, described) in described["properties"].as_object().unwrap() {
                    let row = section.lines().find(|line| {
                        line.starts_with(&format!("| `{field}` |"))
                            && line.contains(described["description"].as_str().unwrap())
                    });
                    assert!(row.is_some(), "{name}.{field}");
                }
            }
        }
        for link in page
            .split("](#")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let heading = |line: &str| line.to_lowercase() == format!("## {link}");
            assert!(page.lines().any(heading), "#{link}");
        }
    }

    #[test]
    fn stage_is_said_to_be_on_the_three_topics_of_a_call() {
        let page = document(&Config::defaults().unwrap());
        let row = page.lines().find(|line| line.starts_with("| `stage` |"));
        let told = "always on `analytics-completed`, `post-conversation`, `pre-conversation`";
        assert!(row.unwrap().contains(told), "{row:?}");
    }
}
