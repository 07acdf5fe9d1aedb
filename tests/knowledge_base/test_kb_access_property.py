"""For random documents and callers, what is shown is what the reference predicate allows. Each part of it counts."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import true

from common.security.access import Access, AccessScope
from knowledge_base import bootstrap
from knowledge_base.adapters import lance_filter, sql_tables
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.browsing import BY_ID
from knowledge_base.filters import AnyOf, Not
from tests.support.knowledge import knowledge_base_in
from tests.support.worlds import QUESTIONS, HashEmbedder, Item, Question, build, check, worlds

ALICE = AccessScope("acme", "alice", frozenset({"eng"}), "internal")
QUESTION: Question = (ALICE, Not(AnyOf(())), BY_ID)


@settings(phases=[Phase.generate], max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds(), questions=st.lists(QUESTIONS, min_size=4, max_size=4))
def test_exactly_what_may_be_read_is_shown(
    world: list[Item], questions: list[Question], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def run() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
            async with knowledge_base_in(tmp_path_factory.mktemp("world")) as knowledge_base:
                await build(knowledge_base, world)
                for question in questions:
                    await check(knowledge_base, world, question)

    asyncio.run(run())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, KnowledgeBase, list[Item]]]:
    """A world with one document that each part of the rule alone keeps from alice."""
    everyone, secret = Access("public"), Access("restricted")
    rights = [("acme", everyone), ("ot'her", everyone), ("acme", secret), ("acme", Access(groups=frozenset({"hr"})))]
    world = [Item(tenant, f"d{n}", access, access, ({"n": n},)) for n, (tenant, access) in enumerate(rights)]
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
        opening = knowledge_base_in(tmp_path_factory.mktemp("small"))
        knowledge_base = runner.run(opening.__aenter__())
        runner.run(build(knowledge_base, world))
        yield runner, knowledge_base, world
        runner.run(opening.__aexit__(None, None, None))


def test_the_small_world_is_shown_as_it_should_be(small: tuple[asyncio.Runner, KnowledgeBase, list[Item]]) -> None:
    runner, knowledge_base, world = small
    runner.run(check(knowledge_base, world, QUESTION))


@pytest.mark.parametrize(
    ("backend", "part"),
    [
        *((lance_filter, part) for part in ("tenant_filter", "clearance_filter", "readers_filter")),
        *((sql_tables, part) for part in ("of_tenant", "within_clearance", "named_reader")),
    ],
    ids=lambda value: getattr(value, "__name__", value).rsplit(".", 1)[-1],
)
def test_without_a_part_of_the_rule_the_property_fails(
    small: tuple[asyncio.Runner, KnowledgeBase, list[Item]], monkeypatch: pytest.MonkeyPatch, backend: Any, part: str
) -> None:
    runner, knowledge_base, world = small
    monkeypatch.setattr(backend, part, lambda scope: "true" if backend is lance_filter else true())
    with pytest.raises(AssertionError):
        runner.run(check(knowledge_base, world, QUESTION))
