"""The questions about customers are answered, and lost as soon as what they ask for is not there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from common.evals import Report
from common.tool_evals import Questions
from support_hub.evals import questions
from tests.support.crm import RunningSuite
from tests.support.evals import AsgiStage, stage_of, with_wrong_answers
from tests.support.hub import served, settings_of


@asynccontextmanager
async def stage(crm: RunningSuite, folder: Path, about: Questions, *platforms: str) -> AsyncIterator[AsgiStage]:
    more = {"SUPPORT_SOURCE_SECONDS": "8", "SUPPORT_TENANT": "fernhill", "SUPPORT_GROUPS": "support"}
    async with served(folder, {**settings_of(crm, *platforms), **more}) as hub:
        yield stage_of(about, hub)


def scores(report: Report) -> dict[str, float]:
    return {score.name: score.value for score in report.scores}


async def test_every_question_is_answered_and_nothing_leaks(crm: RunningSuite, tmp_path: Path) -> None:
    async with stage(crm, tmp_path, questions()) as playing:
        report = await questions().ask(playing)
    assert report.misses == [] and report.passed
    asked = {score.name: score.asked for score in report.scores}
    assert asked["questions"] >= 25 and asked["facts"] > 60 and asked["leaks"] > 60


async def test_wrong_answers_score_nothing(crm: RunningSuite, tmp_path: Path) -> None:
    wrong = with_wrong_answers(questions())
    async with stage(crm, tmp_path, wrong) as playing:
        report = await wrong.ask(playing)
    assert scores(report)["facts"] == scores(report)["questions"] == 0 and not report.passed


def needs_zendesk(question: str) -> bool:
    """A record of it is asked for, and no other platform's would do."""
    return "zendesk:" in question and "|salesforce:" not in question


async def test_a_platform_that_is_not_there_loses_its_questions(crm: RunningSuite, tmp_path: Path) -> None:
    async with stage(crm, tmp_path, questions(), "salesforce", "hubspot") as playing:
        report = await questions().ask(playing)
    about_zendesk = {each.question for each in questions().questions if needs_zendesk(each.model_dump_json())}
    lost = {miss.question for miss in report.misses}
    assert len(about_zendesk) >= 5 and about_zendesk <= lost and not report.passed
    of_products = {
        q.question for q in questions().questions if {c.tool for c in q.calls} <= {"get_product", "search_products"}
    }
    assert len(of_products) >= 4 and not of_products & lost


def test_each_question_has_tools_facts_and_somebody_who_may_not_know() -> None:
    here = questions()
    people = {person.name for person in here.people}
    assert len({each.question for each in here.questions}) == len(here.questions) >= 25
    for each in here.questions:
        assert each.facts and all(call.shows for call in each.calls), each.question
        assert {each.person, *each.hidden_from} <= people and each.hidden_from, each.question
    tools = {call.tool for each in here.questions for call in each.calls}
    assert {"get_customer_360", "search_tickets", "get_ticket", "list_orders", "search_products"} <= tools
    assert {"search_customers", "get_timeline", "get_order", "get_product", "list_merge_suggestions"} <= tools
