"""The gateway in the demo: in front of every vertical, by its prefix."""

import json
from collections.abc import Mapping, Sequence

from common.vertical import Vertical
from infra.demo.gateway import tell_gateway
from infra.demo.part import Front
from infra.demo.servers import RunningServer


def domains(verticals: Sequence[Vertical], servers: Sequence[RunningServer]) -> Mapping[str, str]:
    """Which server answers for which prefix."""
    places = {vertical.prefix: [f"{server.url}/mcp"] for vertical, server in zip(verticals, servers, strict=True)}
    return {"GATEWAY_DOMAINS": json.dumps(places)}


part = Front(person="alice", settings=domains, tell=tell_gateway)
