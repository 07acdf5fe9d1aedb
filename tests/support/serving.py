"""A vertical's server, served through its real ASGI application."""

from dataclasses import dataclass
from typing import Any

from fastmcp.utilities.tests import ASGIServer

from common.runtime import Runtime
from common.security.principal import Principal


@dataclass
class Served:
    """The running server, and how to sign in."""

    runtime: Runtime
    asgi: ASGIServer

    def client(self, principal: Principal, mode: str = "auto") -> Any:
        """An MCP client that acts as this principal."""
        rights = (sorted(principal.roles), sorted(principal.groups), principal.clearance)
        _, token = self.runtime.credentials.api_keys.create(principal.subject, principal.tenant, *rights)
        return self.asgi.client(auth=token, mode=mode)


async def ask(client: Any, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured answer of a tool."""
    answer: dict[str, Any] = (await client.call_tool(tool, arguments)).structured_content
    return answer
