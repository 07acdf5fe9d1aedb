"""Each incident that the simulated cluster comes with is diagnosed, by the line that shows it."""

from pathlib import Path

import pytest

from tests.support.operations import ask, person, served

INCIDENTS = [
    ("production", "alert-engine", "A container ends soon after it starts", "too many clients already"),
    ("production", "ingest-api", "The image cannot be pulled", "ingest-api:2026.2.33"),
    ("production", "web-portal", "The readiness probe fails", "statuscode: 500"),
    ("production", "billing-api", "No node has room for the pod", "Insufficient cpu"),
    ("load-test", "ingest-replay", "A quota of the namespace is used up", "pods: 3 of 3 used"),
]
BEGAN = "It began with the newest revision"


async def test_incidents_are_named_with_their_evidence(tmp_path: Path) -> None:
    async with served(tmp_path) as ops, ops.client(person()) as alice:
        for namespace, name, cause, line in INCIDENTS:
            found = await ask(alice, "diagnose", namespace=namespace, name=name)
            assert not found["healthy"] and found["missing"] == [], name
            assert found["causes"][0]["cause"] == cause, name
            assert any(line in evidence["line"] for evidence in found["causes"][0]["evidence"]), name
            assert all(evidence["source"] for one in found["causes"] for evidence in one["evidence"]), name
            began = [one for one in found["causes"] if one["cause"] == BEGAN]
            assert bool(began) == (name in {"alert-engine", "ingest-api", "web-portal"}), name


@pytest.mark.parametrize("name", ["report-worker", "telemetry-store-2"])
async def test_what_is_healthy_has_no_causes(tmp_path: Path, name: str) -> None:
    async with served(tmp_path) as ops, ops.client(person()) as alice:
        found = await ask(alice, "diagnose", namespace="production", name=name)
    assert found["healthy"] and found["causes"] == [] and "nothing is wrong" in found["summary"]
