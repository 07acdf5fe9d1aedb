"""Prompts for operations: how to use the tools well. Policy names them `prompt:NAME`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastmcp import FastMCP
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import Field

from common.errors import InvalidInput
from common.security.principal import current_principal
from common.security.untrusted import untrusted
from devops.names import NAME_PATTERN, NAMESPACE_PATTERN, matches
from devops.post_mortem import PostMortems

MAX_REPORT = 4000
MAX_IMAGE = 512
IMAGE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:/@-]*"
Namespace = Annotated[str, Field(description="namespace")]
Workload = Annotated[str, Field(description="name of the workload")]


def add_prompts(server: FastMCP[Any], post_mortems: PostMortems) -> None:
    """investigate_incident, plan_rollout, write_post_mortem."""
    # Plain text for a model: there is nothing to escape. What others wrote stands between marks that it cannot contain.
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=False,  # noqa: S701
    )

    @server.prompt(title="Investigate an incident")
    def investigate_incident(
        question: Annotated[str, Field(description="what was noticed, or the alert as it came")],
    ) -> str:
        """Find out what is wrong, with the lines that show it."""
        return templates.get_template("investigate_incident.md.j2").render(
            question=untrusted(_text(question), MAX_REPORT)
        )

    @server.prompt(title="Plan a safe rollout")
    def plan_rollout(
        namespace: Namespace,
        workload: Workload,
        image: Annotated[str, Field(description="image with tag or digest")],
    ) -> str:
        """Plan how a new image goes into production: what to check, when to stop, and the way back."""
        given = {**_target(namespace, workload), "image": _named("image", image, IMAGE_PATTERN, MAX_IMAGE)}
        return templates.get_template("plan_rollout.md.j2").render(given)

    @server.prompt(title="Write a post-mortem")
    async def write_post_mortem(
        namespace: Namespace,
        workload: Workload,
        since: Annotated[str, Field(description="when it began, as 2026-01-31T09:00Z")],
    ) -> str:
        """Write down what happened to a workload, from the audit log and what the cluster says."""
        target, begin = _target(namespace, workload), _time(since)
        found = await post_mortems.log(current_principal.get(), namespace, workload, begin)
        return templates.get_template("write_post_mortem.md.j2").render(
            **target,
            since=begin.isoformat(timespec="minutes"),
            log=found and found.text,
            partial=bool(found and found.partial),
            shown=found.shown if found else 0,
        )


def _text(text: str) -> str:
    # Not a constraint of the argument: the error for one tells the value, and not what is wrong with it.
    if not 0 < len(text.strip()) <= MAX_REPORT:
        raise InvalidInput(f"An argument is empty, or longer than {MAX_REPORT} characters.", "Say it shortly.")
    return text.strip()


def _target(namespace: str, workload: str) -> dict[str, str]:
    return {
        "namespace": _named("namespace", namespace, NAMESPACE_PATTERN, 63),
        "workload": _named("workload", workload, NAME_PATTERN, 253),
    }


def _named(what: str, text: str, pattern: str, longest: int) -> str:
    """A name that can say nothing else. Raises InvalidInput."""
    if len(text) > longest or not matches(pattern, text):
        raise InvalidInput(
            f"`{what}` is no name that Kubernetes knows.", "Give it as list_workloads and get_workload do."
        )
    return text


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidInput("`since` is no time with its zone.", "Write it as 2026-01-31T09:00Z.")
    return found.astimezone(UTC)
