"""All domains: which one a request is for, and what it is called there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.gateway.domain import Domain
from infra.gateway.messages import Message


@dataclass(frozen=True)
class Route:
    """Where a request goes, with the parameters as the domain knows them."""

    domain: Domain
    name: str
    """Of the tool or prompt, or the URI of the resource, as the domain knows it."""
    params: dict[str, Any]


class Domains:
    """The domains by prefix."""

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        self._domains = dict(domains)

    def __iter__(self) -> Iterator[Domain]:
        return iter(self._domains.values())

    def route(self, message: Message) -> Route | None:
        """By the name in the body, never by a header. None if there is no such domain."""
        params = message.params
        if message.method == "resources/read":
            return self._by_uri(params, params.get("uri"))
        if message.method == "completion/complete":
            return self._completion(params)
        found = self._by_name(params.get("name"))
        return found and Route(*found, {**params, "name": found[1]})

    def _by_name(self, name: Any) -> tuple[Domain, str] | None:
        if not isinstance(name, str):
            return None
        prefix, underscore, inner = name.partition("_")
        domain = self._domains.get(prefix)
        return (domain, inner) if domain and underscore and inner else None

    def _by_uri(self, params: dict[str, Any], uri: Any) -> Route | None:
        scheme = uri.partition("://")[0] if isinstance(uri, str) else ""
        domain = self._domains.get(scheme)
        return Route(domain, uri, params) if domain else None

    def _completion(self, params: dict[str, Any]) -> Route | None:
        reference = params.get("ref")
        if not isinstance(reference, dict):
            return None
        if reference.get("type") == "ref/resource":
            return self._by_uri(params, reference.get("uri"))
        found = self._by_name(reference.get("name"))
        return found and Route(*found, {**params, "ref": {**reference, "name": found[1]}})
