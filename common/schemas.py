"""Tools' argument schemas as short as they can be told: a model pays for each word of them in every conversation."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastmcp.server.transforms import Transform
from fastmcp.tools.base import Tool

LENGTHS = frozenset({"maxLength", "minLength", "maxItems", "maxProperties"})


class ShortSchemas(Transform):
    """Leaves out what tells a model nothing. What is accepted stays the same: the types check the arguments."""

    def __init__(self) -> None:
        self._short: dict[str, tuple[Tool, Tool]] = {}

    async def list_tools(self, tools: Sequence[Tool]) -> Sequence[Tool]:
        """See Transform."""
        return [self._shortened(tool) for tool in tools]

    def _shortened(self, tool: Tool) -> Tool:
        known = self._short.get(tool.key)
        if known is None or known[0] is not tool:
            known = (tool, tool.model_copy(update={"parameters": short_parameters(tool.parameters)}))
            self._short[tool.key] = known
        return known[1]


def short_parameters(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same arguments. An optional one can be left out, so it need not be told that it can be null, too."""
    kept = {key: value for key, value in schema.items() if key != "additionalProperties"}
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        kept["properties"] = {name: _short(one) for name, one in properties.items()}
    return kept


def _short(one: Any) -> Any:
    if not isinstance(one, Mapping):
        return one
    kept = {key: value for key, value in one.items() if key not in LENGTHS}
    choices = [_short(choice) for choice in kept.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1 and kept.get("default", ...) is None:
        del kept["anyOf"]
        kept = {**choices[0], **kept}
    if "enum" in kept:
        kept.pop("type", None)  # the values say it
    if "anyOf" not in kept and any(kept.get("default", ...) is nothing for nothing in (None, False)):
        del kept["default"]  # as one expects of what is left out
    return kept
