"""Which namespaces a caller sees, by Cedar policy; the rest looks as if it did not exist."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import cedarpy

from common.errors import SettingsError
from common.security.policy import CALLER, caller_entity
from common.security.principal import Principal

SEE = {"type": "Action", "id": "see"}
NAMESPACE = {"type": "Namespace", "id": "namespace"}
EVERY_OTHER = "*"


class NamespaceScope:
    """Decides by principal, cluster and namespace. What no policy permits is denied."""

    def __init__(self, file: Path, tenant: str, groups: Mapping[str, Sequence[str]]) -> None:
        try:
            self._policies = cedarpy.PolicySet.from_str(file.read_text())
        except (OSError, ValueError) as error:
            raise SettingsError(f"DEVOPS_NAMESPACE_POLICY cannot be used ({file}): {error}") from None
        self._tenant = tenant
        self._groups = groups
        # A decision depends on nothing but the caller, the namespace and what is fixed at the start.
        self.sees = lru_cache(maxsize=20_000)(self._sees)

    def _sees(self, principal: Principal, cluster: str, namespace: str) -> bool:
        request = {"principal": CALLER, "action": SEE, "resource": NAMESPACE, "context": {}}
        attributes = {
            "name": namespace,
            "cluster": cluster,
            "tenant": self._tenant,
            "groups": list(self._groups.get(namespace, self._groups.get(EVERY_OTHER, []))),
        }
        entities = [caller_entity(principal), {"uid": NAMESPACE, "attrs": attributes, "parents": []}]
        return cedarpy.is_authorized(request, self._policies, json.dumps(entities)).allowed
