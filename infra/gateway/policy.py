"""Who may send what to which domain: Cedar policies with the domain as resource. What no policy permits is denied."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cedarpy

from common.errors import SettingsError
from common.security.policy import CALLER, caller_entity
from common.security.principal import Principal


class DomainPolicy:
    """Decides by action (`tool`, `prompt`, `resource`, `completion`), domain, and the domain's own name of it."""

    def __init__(self, files: Sequence[Path]) -> None:
        try:
            self._policies = cedarpy.PolicySet.from_str("\n".join(file.read_text() for file in files))
        except (OSError, ValueError) as error:
            raise SettingsError(f"Policies cannot be used ({', '.join(map(str, files))}): {error}") from None
        # A decision depends on nothing but this, so it may be kept.
        self.allows = lru_cache(maxsize=50_000)(self._allows)

    def _allows(self, principal: Principal, action: str, domain: str, name: str) -> bool:
        request = {
            "principal": CALLER,
            "action": {"type": "Action", "id": action},
            "resource": {"type": "Domain", "id": domain},
            "context": {"name": name},
        }
        return cedarpy.is_authorized(request, self._policies, json.dumps([caller_entity(principal)])).allowed
