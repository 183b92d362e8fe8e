"""Keeps every event of every call in SQLite, once, whatever Kafka delivers again.

What must stay true: offsets are committed to Kafka only after the rows are committed to SQLite. A crash between the two
makes the events come again, and the primary key `id` makes that harmless. So do a replay, a rebalance, and a second bridge
that published the same delivery: one remedy for all duplicates.

Nothing is computed as events come. `call` is a view over the set of events, so it is right in whatever order the stages
arrive and however late: a call shows what is known of it so far, and the next event completes it.
"""

import argparse
import json
import sqlite3

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

TOPICS = ["pre-conversation", "post-conversation", "analytics-completed"]

TABLES = """
CREATE TABLE IF NOT EXISTS event (
    id TEXT PRIMARY KEY, call_id TEXT, type TEXT, occurred_at TEXT, received_at TEXT, value TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS event_of_call ON event (call_id, type, received_at);

-- One row a call. Of two events of one type the later counts: the bridge may fill a gap by itself (reconcile) and the
-- real event come after all.
CREATE VIEW IF NOT EXISTS call AS
WITH newest AS (
    SELECT *, row_number() OVER (PARTITION BY call_id, type ORDER BY received_at DESC, id DESC) AS age FROM event
)
SELECT
    call_id,
    count(*) AS events,
    max(occurred_at) FILTER (WHERE type = 'post-conversation') AS ended_at,
    -- Any event may carry any part, and what is not known is absent.
    max(value ->> '$.call.status') AS status,
    max(value ->> '$.call.durationSeconds') AS seconds,
    max(value ->> '$.analytics.summary') AS summary
FROM newest WHERE age = 1 GROUP BY call_id;
"""


def main():
    arguments = parse_arguments()
    database = sqlite3.connect(arguments.database)
    database.executescript(TABLES)
    decode = decoder(arguments.registry)
    consumer = Consumer({
        "bootstrap.servers": arguments.broker,
        "group.id": arguments.group,
        # The default here, but not everywhere: what an aborted transaction left on the topic is no event.
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        # Kafka is to hear of an event only after SQLite has it.
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })
    consumer.subscribe([arguments.prefix + topic for topic in TOPICS])
    read = new = 0
    try:
        for messages in batches(consumer, arguments.once):
            with database:  # one transaction
                for message in messages:
                    new += keep(database, decode(message))
            consumer.commit(asynchronous=False)
            read += len(messages)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()
    print(f"{read} records read, {new} events were new")


def keep(database, event):
    """Adds an event unless it is there; 1 if it was new."""
    row = [event.get(name) for name in ("id", "callId", "type", "occurredAt", "receivedAt")]
    row.append(json.dumps(event, ensure_ascii=False))
    return database.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING", row).rowcount


def decoder(registry):
    """How a record becomes an event. One that cannot be read ends the program: nothing is skipped in silence."""
    if registry is None:
        return lambda message: json.loads(message.value())
    # Finds the schema's id in the header `__value_schema_id` or before the value, and validates by that schema.
    deserialize = JSONDeserializer(None, schema_registry_client=SchemaRegistryClient({"url": registry}))
    return lambda message: deserialize(
        message.value(), SerializationContext(message.topic(), MessageField.VALUE, message.headers()))


def batches(consumer, once):
    """Lists of messages, for ever, or until every partition's present end."""
    ended = set()
    while True:
        messages = []
        for message in consumer.consume(num_messages=500, timeout=0.5):
            place = (message.topic(), message.partition())
            if message.error() is None:
                ended.discard(place)
                messages.append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(place)
            else:
                raise KafkaException(message.error())
        if messages:
            yield messages
        assigned = {(partition.topic, partition.partition) for partition in consumer.assignment()}
        if once and assigned and assigned <= ended:
            return


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("broker", help="host:port")
    parser.add_argument("database", help="SQLite file, made if it is not there")
    parser.add_argument("--prefix", default="atoms.", help="what the topics' names begin with")
    parser.add_argument("--group", default="calls-to-sqlite", help="consumer group")
    parser.add_argument("--registry", metavar="URL", help="schema registry, if the bridge was given one")
    parser.add_argument("--once", action="store_true", help="end when everything there is has been read")
    return parser.parse_args()


if __name__ == "__main__":
    main()
