// Reads records as CloudEvents, by the SDK: node cloud_events.cjs BROKER COUNT TOPIC...
//
// Prints a JSON object for each record: its attributes, key and data.

const { randomUUID } = require("crypto");
const { Kafka: Binding } = require("cloudevents");
const { Kafka, logLevel } = require("kafkajs");

const ATTRIBUTES = ["id", "source", "type", "specversion", "subject", "time", "dataschema", "datacontenttype"];

async function main(broker, count, topics) {
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.ERROR });
  const consumer = kafka.consumer({ groupId: `cloud-events-${randomUUID()}` });
  await consumer.connect();
  await consumer.subscribe({ topics, fromBeginning: true });
  const late = setTimeout(() => fail("no record within 30 s"), 30000);
  let left = Number(count);
  await consumer.run({
    eachMessage: async ({ topic, message }) => {
      if (left <= 0) return;
      left -= 1;
      console.log(JSON.stringify(read(topic, message)));
      if (left === 0) {
        clearTimeout(late);
        // A consumer cannot wait for its own end in here.
        setImmediate(() => consumer.disconnect());
      }
    },
  });
}

function read(topic, message) {
  // kafkajs gives bytes, the SDK takes text. What is no attribute need be no text.
  const headers = Object.entries(message.headers)
    .filter(([name]) => name.startsWith("ce_") || name === "content-type")
    .map(([name, value]) => [name, value.toString()]);
  const key = message.key?.toString();
  const event = Binding.toEvent({ headers: Object.fromEntries(headers), key, value: message.value.toString() });
  // Throws when an attribute is not what the specification wants.
  event.validate();
  return {
    topic,
    key,
    attributes: Object.fromEntries(ATTRIBUTES.map((name) => [name, event[name]])),
    partitionkey: event.partitionkey,
    data: typeof event.data === "string" ? JSON.parse(event.data) : event.data,
  };
}

function fail(why) {
  console.error(why);
  process.exit(1);
}

const [broker, count, ...topics] = process.argv.slice(2);
main(broker, count, topics).catch((error) => fail(error.stack));
