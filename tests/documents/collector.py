"""An OTLP collector: takes spans over HTTP as protobuf and prints each as a line of JSON.

What it reads, it reads with OpenTelemetry's own messages. The first line says its port. With `hang` it takes requests
and never answers; with `refuse` it answers each with 503.
"""

import gzip
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

BEHAVIOUR = sys.argv[1] if len(sys.argv) > 1 else "take"


def tell(line):
    print(json.dumps(line), flush=True)


def spans(request):
    for of_resource in request.resource_spans:
        resource = attributes(of_resource.resource)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield {
                    "service": resource,
                    "name": span.name,
                    "kind": MessageToDict(span)["kind"],
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "began": span.start_time_unix_nano,
                    "ended": span.end_time_unix_nano,
                    "status": span.status.code,
                    "reason": span.status.message,
                    "attributes": attributes(span),
                }


def attributes(of):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in of.attributes}


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if BEHAVIOUR == "hang":
            time.sleep(3600)
        if BEHAVIOUR == "refuse" or self.path != "/v1/traces":
            self.answer(503 if BEHAVIOUR == "refuse" else 404, b"")
            return
        for span in spans(ExportTraceServiceRequest.FromString(body)):
            tell(span)
        self.answer(200, ExportTraceServiceResponse().SerializeToString())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
server.daemon_threads = True
tell({"port": server.server_address[1]})
server.serve_forever()
