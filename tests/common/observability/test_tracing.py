"""Spans reach a collector when one is configured, with the request id on them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ROOT = Path(__file__).parents[3]
# The tracer provider is global in a process, so the server gets a process of its own.
PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.support.apps import small_server

async def main():
    async with small_server(Path(sys.argv[1]), otlp_endpoint=sys.argv[2]) as small:
        async with small.client(small.token(), headers={"X-Request-Id": "trace-me-12345"}) as client:
            await client.call_tool("echo", {"text": "secret-argument"})

asyncio.run(main())
"""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Any]]]:
    received: list[Any] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", received
    server.shutdown()
    server.server_close()


def test_spans_carry_the_request_id_and_no_arguments(tmp_path: Path, collector: tuple[str, list[Any]]) -> None:
    url, received = collector
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), url]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=60)
    scopes = [scope for request in received for group in request.resource_spans for scope in group.scope_spans]
    spans = [span for scope in scopes for span in scope.spans if span.name == "tools/call echo"]
    ids = {pair.value.string_value for span in spans for pair in span.attributes if pair.key == "request.id"}
    assert "trace-me-12345" in ids
    # What the console shows as a step is a span below that of the call.
    [step] = [span for scope in scopes for span in scope.spans if span.name == "limits budget of the caller"]
    assert step.parent_span_id in {span.span_id for span in spans}
    assert "secret-argument" not in str(received)
