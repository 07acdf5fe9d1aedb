"""Whichever worker is asked, the metrics are those of all."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from common.observability.metrics import Metrics
from common.observability.siblings import Siblings


def worker(folder: Path, slot: int) -> tuple[Metrics, Siblings]:
    metrics = Metrics("small")
    metrics.siblings = Siblings(folder, slot, metrics.own)
    return metrics, metrics.siblings


def samples(exposition: bytes) -> dict[tuple[str, str], float]:
    """Value by name and worker; each name is described once."""
    families = list(text_string_to_metric_families(exposition.decode()))
    assert len({family.name for family in families}) == len(families)
    return {
        (s.name, s.labels["worker"]): s.value for family in families for s in family.samples if "le" not in s.labels
    }


async def test_each_worker_answers_for_all_and_a_dead_one_is_left_out(tmp_path: Path) -> None:
    (first, one), (second, two) = worker(tmp_path, 0), worker(tmp_path, 1)
    await one.open()
    await two.open()
    first.observe("tool", "echo", "ok", 0.01)
    for _ in range(3):
        second.observe("tool", "echo", "ok", 0.01)
    second.observe_subject("acme", 'a "b" {c}', "ok")
    found = samples(await first.exposition())
    assert found == samples(await second.exposition())
    assert found["triptych_call_seconds_count", "0"] == 1 and found["triptych_call_seconds_count", "1"] == 3
    assert found["triptych_subject_calls_total", "1"] == 1
    await two.close()
    (tmp_path / "1.sock").touch()  # as a killed worker leaves it
    assert {slot for _, slot in samples(await first.exposition())} == {"0"}
    await one.close()


async def test_a_failing_refresh_hides_nothing(tmp_path: Path) -> None:
    metrics = Metrics("small")

    async def fail() -> None:
        raise OSError

    metrics.refresh.append(fail)
    metrics.observe("tool", "echo", "ok", 0.01)
    assert b"triptych_call_seconds_count" in await metrics.exposition()


def test_people_beyond_the_first_thousand_share_a_label() -> None:
    metrics = Metrics("small")
    for number in range(1005):
        metrics.observe_subject("acme", f"person-{number}", "denied")
    of = {"server": "small", "result": "refused"}
    value = metrics.registry.get_sample_value
    assert value("triptych_subject_calls_total", of | {"tenant": "other", "subject": "other"}) == 5
    assert value("triptych_subject_calls_total", of | {"tenant": "acme", "subject": "person-999"}) == 1
