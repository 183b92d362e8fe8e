"""Reads records as CloudEvents, by the SDK: cloud_events.py BROKER COUNT TOPIC...

Prints a JSON object for each record: its attributes and data by both of the SDK's interfaces, and its key.
"""

import json
import sys
import uuid

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.v1.kafka import KafkaMessage as OldMessage
from cloudevents.v1.kafka import from_binary as old_from_binary
from confluent_kafka import Consumer

ATTRIBUTES = ["id", "source", "type", "specversion", "subject", "time", "dataschema", "datacontenttype"]


def main(broker, count, topics):
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": f"cloud-events-{uuid.uuid4()}",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe(topics)
    for _ in range(count):
        record = consumer.poll(30)
        if record is None or record.error():
            sys.exit(f"no record within 30 s: {record and record.error()}")
        print(json.dumps(read(record), ensure_ascii=False))
    consumer.close()


def read(record):
    # The SDK decodes every header that it is given. Others than these need be no text.
    headers = {name: value for name, value in record.headers() if name.startswith("ce_") or name == "content-type"}
    event = from_binary(KafkaMessage(headers, record.key(), record.value()), JSONFormat())
    attributes = {name: getattr(event, f"get_{name}")() for name in ATTRIBUTES}
    attributes["time"] = attributes["time"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    old = old_from_binary(OldMessage(headers, record.key(), record.value()))
    return {
        "topic": record.topic(),
        "key": record.key() and record.key().decode(),
        "attributes": attributes,
        "partitionkey": event.get_extension("partitionkey"),
        "data": event.get_data(),
        "old": {name: old.get(name) for name in ATTRIBUTES},
        "takesBinaryHeaders": takes_binary_headers(headers, record),
    }


def takes_binary_headers(headers, record):
    """Whether the SDK gets by with the id of a schema beside the attributes."""
    headers = {**headers, "__value_schema_id": b"\x00\x00\x00\x00\xc8"}
    try:
        from_binary(KafkaMessage(headers, record.key(), record.value()), JSONFormat())
        return True
    except UnicodeDecodeError:
        return False


main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
