// Prints every event of every call as a line of JSON, each once; what comes again is told on standard error.
//
// Kafka delivers an event again after a replay, after a rebalance, and when this program died before its offsets were
// committed. Within one life of the program the last ids are remembered. Beyond it only what you write can know: give `id`
// along as the idempotency key of what you do (a row's key, a request's header).
//
// Usage: node events.mjs BROKER [PREFIX [GROUP [REGISTRY [confluent | kafkajs]]]]

import { Kafka, logLevel } from "kafkajs";

const TOPICS = ["pre-conversation", "post-conversation", "analytics-completed"];
// Enough for a rebalance, and for a replay of some hours.
const REMEMBERED = 100_000;
// For the validators: a metric's value may be a string, a number or a boolean, which ajv warns of otherwise.
const AJV = { allowUnionTypes: true };

const [broker, prefix = "atoms.", group = "events", registry, client = "confluent"] = process.argv.slice(2);

// Plain JSON needs nothing. With a registry, each record says which schema it was written with.
async function decoder() {
  if (!registry) {
    return (message) => JSON.parse(message.value);
  }
  if (client === "kafkajs") {
    // Knows the schema's id only before the value: for a bridge with registry.schema_id = "prefix".
    const { SchemaRegistry, SchemaType } = await import("@kafkajs/confluent-schema-registry");
    const schemas = new SchemaRegistry({ host: registry }, { [SchemaType.JSON]: AJV });
    return (message) => schemas.decode(message.value);
  }
  // Finds the schema's id in the header `__value_schema_id`, or else before the value.
  const { JsonDeserializer, SchemaRegistryClient, SerdeType } = await import("@confluentinc/schemaregistry");
  const schemas = new SchemaRegistryClient({ baseURLs: [registry] });
  const deserializer = new JsonDeserializer(schemas, SerdeType.VALUE, { validate: true, ...AJV });
  return (message, topic) => deserializer.deserialize(topic, message.value, message.headers);
}

// An event that cannot be read is not skipped: the program ends, and begins with it again.
async function read(topic, partition, message) {
  try {
    return await decode(message, topic);
  } catch (error) {
    console.error(`cannot read ${topic}, partition ${partition}, offset ${message.offset}: ${error.message}`);
    process.exit(1);
  }
}

// Whether an id is new; forgets the oldest beyond the limit.
function remember(ids, id) {
  if (ids.has(id)) {
    return false;
  }
  ids.add(id);
  if (ids.size > REMEMBERED) {
    ids.delete(ids.values().next().value);
  }
  return true;
}

const decode = await decoder();
const seen = new Set();
const kafka = new Kafka({ clientId: "events", brokers: [broker], logLevel: logLevel.ERROR });
// Reads only what is committed: kafkajs's default.
const consumer = kafka.consumer({ groupId: group });

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => consumer.disconnect());
}

await consumer.connect();
await consumer.subscribe({ topics: TOPICS.map((topic) => prefix + topic), fromBeginning: true });
await consumer.run({
  eachMessage: async ({ topic, partition, message }) => {
    const event = await read(topic, partition, message);
    if (remember(seen, event.id)) {
      console.log(JSON.stringify(event));
    } else {
      console.error(`again: ${event.id}`);
    }
  },
});
