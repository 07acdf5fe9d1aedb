"""What a domain is told of the client."""

import json
from typing import Any

from infra.gateway.outgoing import request_body

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
VERSION = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}


def passed_on(capabilities: Any) -> Any:
    body = request_body("modern", 1, "tools/call", {"name": "x", "_meta": {**VERSION, CAPABILITIES: capabilities}})
    return json.loads(body)["params"]["_meta"][CAPABILITIES]


def test_a_domain_makes_no_task_that_could_not_be_asked_for_here() -> None:
    given = {"elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}, "com.example/other": {"a": 1}}}
    assert passed_on(given) == {"elicitation": {}, "extensions": {"com.example/other": {"a": 1}}}


def test_whatever_else_a_client_says_of_itself_is_passed_on() -> None:
    others: list[Any] = [{"elicitation": {}}, {"extensions": {"com.example/other": {}}}, {"extensions": []}, [], None]
    for given in others:
        assert passed_on(given) == given
