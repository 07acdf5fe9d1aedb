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
from knowledge_base.adapters import elastic_filter, lance_filter, mongo_documents, pinecone_filter, sql_tables
from knowledge_base.adapters.elastic_filter import EVERYTHING
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.browsing import BY_ID
from knowledge_base.filters import AnyOf, Not
from tests.support.catalogs import settings_of
from tests.support.chunks import BACKENDS, Backend, index_settings, server_of
from tests.support.knowledge import knowledge_base_in
from tests.support.worlds import QUESTIONS, HashEmbedder, Item, Question, build, check, worlds

ALICE = AccessScope("acme", "alice", frozenset({"eng"}), "internal")
QUESTION: Question = (ALICE, Not(AnyOf(())), BY_ID)


PROFILES: list[tuple[Backend, str]] = [(backend, "sqlite") for backend in BACKENDS] + [("lance", "mongodb")]


def every_world(
    backend: Backend, kind: str, request: pytest.FixtureRequest, folders: pytest.TempPathFactory, examples: int
) -> None:
    questions = st.lists(QUESTIONS, min_size=4, max_size=4)

    @settings(phases=[Phase.generate], max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(world=worlds(), questions=questions)
    def check_all(world: list[Item], questions: list[Question]) -> None:
        async def run(given: dict[str, Any]) -> None:
            folder = folders.mktemp("world")
            async with settings_of(kind, request) as more, knowledge_base_in(folder, **given, **more) as knowledge_base:
                await build(knowledge_base, world)
                for question in questions:
                    await check(knowledge_base, world, question)

        url = server_of(backend, request)
        with pytest.MonkeyPatch.context() as patch, index_settings(backend, url, HashEmbedder.dimension) as given:
            patch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
            asyncio.run(run(given))

    check_all()


@pytest.mark.parametrize(
    ("backend", "kind", "examples"), [("lance", "sqlite", 3), ("elasticsearch", "sqlite", 1), ("lance", "mongodb", 1)]
)
def test_exactly_what_may_be_read_is_shown(
    backend: Backend, kind: str, examples: int, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    every_world(backend, kind, request, tmp_path_factory, examples)


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "kind"), PROFILES)
def test_exactly_what_may_be_read_is_shown_in_many_worlds(
    backend: Backend, kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    every_world(backend, kind, request, tmp_path_factory, 10)


Small = tuple[asyncio.Runner, KnowledgeBase, list[Item]]


@pytest.fixture(scope="module", params=PROFILES, ids="-".join)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """A world with one document that each part of the rule alone keeps from alice."""
    everyone, secret = Access("public"), Access("restricted")
    rights = [("acme", everyone), ("ot'her", everyone), ("acme", secret), ("acme", Access(groups=frozenset({"hr"})))]
    world = [Item(tenant, f"d{n}", access, access, ({"n": n},)) for n, (tenant, access) in enumerate(rights)]
    backend, kind = request.param
    url = server_of(backend, request)
    with (
        index_settings(backend, url, HashEmbedder.dimension) as given,
        asyncio.Runner() as runner,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(bootstrap, "OnnxEmbedder", HashEmbedder)
        choosing = settings_of(kind, request)
        more = runner.run(choosing.__aenter__())
        opening = knowledge_base_in(tmp_path_factory.mktemp("small"), **given, **more)
        knowledge_base = runner.run(opening.__aenter__())
        runner.run(build(knowledge_base, world))
        yield runner, knowledge_base, world
        runner.run(opening.__aexit__(None, None, None))
        runner.run(choosing.__aexit__(None, None, None))


def test_the_small_world_is_shown_as_it_should_be(small: Small) -> None:
    runner, knowledge_base, world = small
    runner.run(check(knowledge_base, world, QUESTION))


# Each translation of the rule, and what it says when it lets everything through.
TRANSLATIONS: dict[str, tuple[Any, Any]] = {
    "lance": (lance_filter, "true"),
    "elasticsearch": (elastic_filter, EVERYTHING),
    "pinecone": (pinecone_filter, pinecone_filter.EVERYTHING),
}


@pytest.mark.parametrize("part", ["tenant_filter", "clearance_filter", "readers_filter"])
def test_without_a_part_of_the_rule_in_the_index_the_property_fails(
    small: Small, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    runner, knowledge_base, world = small
    if (knowledge_base.settings.index, part) == ("pinecone", "tenant_filter"):
        pytest.skip("each tenant has a namespace, too, so that this part alone changes nothing")
    module, everything = TRANSLATIONS[knowledge_base.settings.index]
    monkeypatch.setattr(module, part, lambda scope: everything)
    with pytest.raises(AssertionError):
        runner.run(check(knowledge_base, world, QUESTION))


@pytest.mark.parametrize("part", ["of_tenant", "within_clearance", "named_reader"])
def test_without_a_part_of_the_rule_in_the_catalogue_the_property_fails(
    small: Small, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    runner, knowledge_base, world = small
    if knowledge_base.settings.catalog == "mongodb":
        monkeypatch.setattr(mongo_documents, part, lambda scope: {})
    else:
        monkeypatch.setattr(sql_tables, part, lambda scope: true())
        sql_tables.readable.cache_clear()
    try:
        with pytest.raises(AssertionError):
            runner.run(check(knowledge_base, world, QUESTION))
    finally:
        sql_tables.readable.cache_clear()
