"""Short schemas tell the same arguments, and accept the same ones."""

import json
from typing import Annotated, Literal

import pytest
from fastmcp import Client, FastMCP
from pydantic import Field

from common.schemas import ShortSchemas

Name = Annotated[str, Field(description="a name", max_length=5)]


def server() -> FastMCP[None]:
    made: FastMCP[None] = FastMCP("short")

    @made.tool
    def look(
        name: Name,
        other: Name | None = None,
        count: Annotated[int, Field(ge=0, le=9)] = 0,
        kind: Literal["a", "b"] | None = None,
        deep: bool = False,
    ) -> str:
        """Look."""
        return f"{name} {other} {count} {kind} {deep}"

    made.add_transform(ShortSchemas())
    return made


async def test_an_optional_argument_is_told_as_one_that_can_be_left_out() -> None:
    async with Client(server()) as client:
        [tool] = await client.list_tools()
    properties = tool.input_schema["properties"]
    assert properties["other"] == {"type": "string", "description": "a name"}
    assert properties["count"] == {"type": "integer", "minimum": 0, "maximum": 9, "default": 0}
    assert properties["kind"] == {"enum": ["a", "b"]} and properties["deep"] == {"type": "boolean"}
    assert tool.input_schema["required"] == ["name"]
    assert "null" not in json.dumps(tool.input_schema)


async def test_what_is_accepted_and_refused_stays_the_same() -> None:
    async with Client(server()) as client:
        for arguments in (
            {"name": "a"},
            {"name": "a", "other": None},
            {"name": "a", "other": "b", "kind": None, "deep": True},
        ):
            await client.call_tool("look", arguments)
        for wrong in ({"name": "too long"}, {"name": "a", "other": "too long"}, {"name": "a", "kind": "c"}, {"x": 1}):
            with pytest.raises(Exception, match="validation error|Invalid"):
                await client.call_tool("look", wrong)
