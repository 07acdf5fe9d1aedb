"""Who may use which tool: Cedar policies in files that a person can read. What no policy permits is denied."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cedarpy

from common.errors import SettingsError
from common.security.access import LEVELS
from common.security.principal import Principal

# The caller's own values are attributes, never part of an entity id or of policy text.
CALLER = {"type": "Caller", "id": "caller"}


class ToolPolicy:
    """Decides by action (a tool's name, `read_resource`, `prompt:...`, `console:...`) and server."""

    def __init__(self, server: str, files: Sequence[Path]) -> None:
        try:
            self._policies = cedarpy.PolicySet.from_str("\n".join(file.read_text() for file in files))
        except (OSError, ValueError) as error:
            raise SettingsError(f"Policies cannot be used ({', '.join(map(str, files))}): {error}") from None
        self._server = {"type": "Server", "id": server}
        # A decision depends on nothing but the caller, the action and the files, so it may be kept.
        self.allows = lru_cache(maxsize=10_000)(self._allows)

    def _allows(self, principal: Principal, action: str) -> bool:
        request = {
            "principal": CALLER,
            "action": {"type": "Action", "id": action},
            "resource": self._server,
            "context": {},
        }
        return cedarpy.is_authorized(request, self._policies, json.dumps([caller_entity(principal)])).allowed


def caller_entity(principal: Principal) -> dict[str, Any]:
    """The caller as Cedar's entity `CALLER`."""
    attributes = {
        "subject": principal.subject,
        "tenant": principal.tenant,
        "roles": sorted(principal.roles),
        "groups": sorted(principal.groups),
        "scopes": sorted(principal.scopes),
        "clearance": LEVELS[principal.clearance],
    }
    return {"uid": CALLER, "attrs": attributes, "parents": []}
