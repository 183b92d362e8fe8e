//! The AsyncAPI 3 document: topics, keys, headers and values, for tools and portals.
//!
//! It is whole in one file: the schemas stand in it as they are published, but for where their references point.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::shared::{Parts, shared_schemas};
use super::topics::{self, Topic};
use super::{example, headers};
use crate::config::Config;
use crate::event::Event;
use crate::event::schema::{Published, UNRECOGNIZED, published};
use crate::publish::topics::Plan;

/// The document as YAML, with the topics of a configuration.
pub(super) fn document(config: &Config) -> String {
    let channels = topics::all().map(|topic| (topic.id.to_owned(), channel(&topic, config)));
    let operations = topics::all().map(|topic| (operation_id(&topic), operation(&topic)));
    let document = Document {
        asyncapi: "3.0.0",
        info: Info {
            title: "Atoms calls on Kafka",
            version: format!("{}.0.0", Event::SCHEMA_VERSION),
            description: ABOUT,
        },
        default_content_type: JSON,
        servers: Named(vec![("kafka".to_owned(), server())]),
        channels: Named(channels.into()),
        operations: Named(operations.into()),
        components: components(),
    };
    // Texts, numbers and maps with text keys: writing them to memory cannot fail.
    GENERATED.to_owned() + &serde_saphyr::to_string(&document).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    asyncapi: &'static str,
    info: Info,
    default_content_type: &'static str,
    servers: Named<Server>,
    channels: Named<Channel>,
    operations: Named<Operation>,
    components: Components,
}

#[derive(Serialize)]
struct Info {
    title: &'static str,
    version: String,
    description: &'static str,
}

#[derive(Serialize)]
struct Server {
    host: &'static str,
    protocol: &'static str,
    description: &'static str,
    variables: Named<Value>,
    bindings: Value,
}

#[derive(Serialize)]
struct Channel {
    address: String,
    title: &'static str,
    description: &'static str,
    messages: Value,
    bindings: Value,
}

#[derive(Serialize)]
struct Operation {
    action: &'static str,
    title: &'static str,
    channel: Value,
    messages: [Value; 1],
}

#[derive(Serialize)]
struct Components {
    messages: Named<Message>,
    schemas: Named<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    name: &'static str,
    title: &'static str,
    summary: &'static str,
    content_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<Value>,
    headers: Value,
    payload: Value,
    bindings: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<Value>,
}

/// A map that stays in the order in which it is told.
struct Named<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn server() -> Server {
    let host = json!({ "default": "localhost", "description": "One of your Kafka brokers." });
    let port = json!({ "default": "9092", "description": "Its port." });
    Server {
        host: "{host}:{port}",
        protocol: "kafka",
        description: "Your own Kafka cluster. Whether a registry is used, and where it is, `[registry]` of the bridge's \
                      configuration says; the address below stands for it.",
        variables: Named(vec![("host".to_owned(), host), ("port".to_owned(), port)]),
        bindings: kafka(
            json!({ "schemaRegistryUrl": "http://localhost:8085", "schemaRegistryVendor": "confluent" }),
        ),
    }
}

fn channel(topic: &Topic, config: &Config) -> Channel {
    let plan = Plan::of(config);
    let name = format!("{}{}", config.topics.prefix, topic.name);
    Channel {
        title: topic.title,
        description: topic.about,
        messages: json!({ topic.id: reference(&["components", "messages", topic.id]) }),
        bindings: kafka(json!({
            "topic": name,
            "partitions": plan.partitions,
            "topicConfiguration": settings(&plan, &name),
        })),
        address: name,
    }
}

/// Numbers as numbers; the policy as a list, in which it may stand beside another.
fn settings(plan: &Plan, topic: &str) -> Value {
    let setting = |(key, value): (&str, &str)| {
        let value = value
            .parse::<i64>()
            .map_or_else(|_| json!([value]), Value::from);
        (key.to_owned(), value)
    };
    plan.settings(topic).map(setting).collect()
}

fn operation_id(topic: &Topic) -> String {
    let (first, rest) = topic.id.split_at(1);
    format!("send{}{rest}", first.to_uppercase())
}

fn operation(topic: &Topic) -> Operation {
    Operation {
        action: "send",
        title: topic.title,
        channel: reference(&["channels", topic.id]),
        messages: [reference(&["channels", topic.id, "messages", topic.id])],
    }
}

fn components() -> Components {
    let schemas = published();
    let message = |topic: Topic| {
        let schema = schemas.iter().find(|schema| schema.topic == topic.name);
        let message = match schema {
            Some(schema) => event_message(&topic, schema),
            None => dead_letter_message(&topic),
        };
        (topic.id.to_owned(), message)
    };
    Components {
        messages: Named(topics::all().map(message).into()),
        schemas: Named(shared_schemas(&schemas)),
    }
}

fn event_message(topic: &Topic, schema: &Published) -> Message {
    Message {
        name: topic.name,
        title: topic.title,
        summary: topic.about,
        content_type: JSON,
        correlation_id: Some(json!({
            "description": "The call: all events of one call share it.",
            "location": "$message.payload#/callId",
        })),
        headers: reference(&["components", "schemas", "eventHeaders"]),
        payload: reference(&["components", "schemas", topic.id]),
        bindings: kafka(json!({
            "key": { "type": "string", "description": "`callId` of the value, in UTF-8.", "examples": ["CALL-1778226705739-7e4c17"] },
            "schemaIdLocation": "header",
            "schemaLookupStrategy": "TopicNameStrategy",
        })),
        examples: vec![json!({
            "name": "everything",
            "summary": "All fields at once. No real event has them all.",
            "headers": event_headers(topic),
            "payload": event_example(topic, &Parts::of(schema)),
        })],
    }
}

fn event_headers(topic: &Topic) -> Map<String, Value> {
    let post = topics::all().map(|topic| topic.name);
    let mut headers = headers::examples(&headers::OF_EVENTS);
    for value in headers.values_mut() {
        // The table's examples are those of one topic.
        if let Value::String(text) = value {
            *text = text.replace(post[1], topic.name);
        }
    }
    headers
}

fn event_example(topic: &Topic, parts: &Parts) -> Value {
    let mut event = example::of(&parts.schema, &parts.definitions);
    if let (UNRECOGNIZED, Some(event)) = (topic.name, event.as_object_mut()) {
        event.remove("stage");
    }
    event
}

fn dead_letter_message(topic: &Topic) -> Message {
    Message {
        name: topic.name,
        title: topic.title,
        summary: topic.about,
        content_type: "application/octet-stream",
        correlation_id: None,
        headers: reference(&["components", "schemas", "deadLetterHeaders"]),
        payload: json!({ "type": "string", "format": "binary", "description": "The bytes as they were sent. They may be anything; the header `content-type` says what the sender took them for." }),
        bindings: kafka(json!({
            "key": { "type": "string", "description": "The call's id, when the bytes say it; otherwise the record has no key." },
        })),
        examples: Vec::new(),
    }
}

fn kafka(mut binding: Value) -> Value {
    if let Some(binding) = binding.as_object_mut() {
        binding.insert("bindingVersion".into(), json!("0.5.0"));
    }
    json!({ "kafka": binding })
}

fn reference(path: &[&str]) -> Value {
    json!({ "$ref": format!("#/{}", path.join("/")) })
}

const JSON: &str = "application/json";
const GENERATED: &str = "# Generated by `atoms-kafka-bridge schemas write`; `schemas diff` tells when it is not what the bridge does.\n";
const ABOUT: &str = "\
Every call of Smallest.ai's Atoms voice agents, as a canonical event on Kafka. This document tells what the bridge sends; a consumer receives it.

- Topics stand here as the bridge's configuration has them; in the file of the repository, as its defaults do. `topics.prefix` and the `topic_prefix` of a webhook put another word in place of `atoms.`; `topics.all` adds a topic with every event but dead letters.
- The key is the call's id, placed by the rule of Java's own producer, and all topics have the same number of partitions: events of one call can be joined without repartitioning.
- Read with `isolation.level=read_committed`.
- Headers are those of CloudEvents 1.0 in binary mode. The value is plain JSON.
- With a schema registry the id of the value's schema is in the header `__value_schema_id`; `registry.schema_id = \"prefix\"` puts Confluent's five bytes before the value instead.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::DEAD_LETTER;

    fn default() -> String {
        document(&Config::defaults().unwrap())
    }

    #[test]
    fn it_is_yaml_that_reads_as_what_was_written() {
        let read: Value = serde_saphyr::from_str(&default()).unwrap();
        assert_eq!(read["asyncapi"], "3.0.0");
        for topic in topics::all() {
            let name = &read["channels"][topic.id]["address"];
            assert_eq!(name, &format!("atoms.{}", topic.name));
            assert_eq!(
                read["operations"][operation_id(&topic)]["channel"]["$ref"],
                format!("#/channels/{}", topic.id)
            );
        }
        let dead = &read["components"]["messages"]["deadLetter"];
        assert_eq!(dead["name"], DEAD_LETTER);
    }

    #[test]
    fn the_schemas_in_it_are_the_published_ones() {
        let read: Value = serde_saphyr::from_str(&default()).unwrap();
        let schemas = &read["components"]["schemas"];
        for (published, topic) in published().iter().zip(topics::all()) {
            let back = schemas[topic.id]["schema"].to_string();
            let mut back: Value =
                serde_json::from_str(&back.replace("#/components/schemas/", "#/definitions/"))
                    .unwrap();
            let whole: Value = serde_json::from_str(&published.text).unwrap();
            let definitions: Map<_, _> = whole["definitions"]
                .as_object()
                .unwrap()
                .keys()
                .map(|name| {
                    let text = schemas[name].to_string();
                    let text = text.replace("#/components/schemas/", "#/definitions/");
                    (name.clone(), serde_json::from_str(&text).unwrap())
                })
                .collect();
            back["definitions"] = Value::Object(definitions);
            assert_eq!(back, whole, "{}", published.file);
        }
    }
}
