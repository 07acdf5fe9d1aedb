"""The spans of the gateway and of the domain are one trace, which the client may have begun."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.common.observability.test_tracing import collector

__all__ = ["collector"]
ROOT = Path(__file__).parents[3]
TRACE = "0af7651916cd43dd8448eb211c80319c"
# The tracer provider is global in a process, so all of it gets a process of its own.
PROGRAM = f"""
import asyncio, sys
from pathlib import Path
from tests.benchmarks.requests import tool_call
from tests.support.gateway import domain_server, gateway_in_front

async def main():
    folder = Path(sys.argv[1])
    async with domain_server(folder, "kb") as kb:
        given = {{"otlp_endpoint": sys.argv[2]}}
        async with gateway_in_front(folder, {{"kb": [kb.url]}}, common=given) as here, here.asgi.http_client() as http:
            headers, body = tool_call("modern", "kb_echo", {{"text": "secret-argument"}})
            headers |= {{"X-API-Key": here.token(), "traceparent": "00-{TRACE}-b7ad6b7169203331-01"}}
            answer = await http.post("/mcp", headers=headers, content=body)
            assert answer.status_code == 200, answer.text

asyncio.run(main())
"""


def test_gateway_and_domain_are_one_trace(tmp_path: Path, collector: tuple[str, list[Any]]) -> None:
    url, received = collector
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), url]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=100)
    scopes = [scope for request in received for group in request.resource_spans for scope in group.scope_spans]
    spans = [span for scope in scopes for span in scope.spans if span.trace_id.hex() == TRACE]
    [gateway] = [span for span in spans if span.name == "tools/call kb"]
    domain = [span for span in spans if span.name == "tools/call echo"]
    assert gateway.parent_span_id.hex() == "b7ad6b7169203331"
    assert domain and {span.parent_span_id for span in domain} & {gateway.span_id}
    assert "secret-argument" not in str(received)
