"""The fault switch, the counters and the control endpoints."""

import time
from typing import Any

import pytest
import requests

from infra.crm.calls import Call
from infra.crm.control import Control
from infra.crm.faults import Fault, FaultSwitch
from tests.support.crm import RunningSuite

PATH = "/crm/v3/objects/tickets"


def get(crm: RunningSuite, path: str = PATH, **given: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {crm.suite.credentials['hubspot']['access_token']}"}
    return requests.get(crm.urls["hubspot"] + path, headers=headers, timeout=given.pop("timeout", 10), **given)


def test_errors_come_as_often_and_where_they_were_asked_for(crm: RunningSuite) -> None:
    crm.control("hubspot", "faults", [{"kind": "error", "status": 500, "count": 2, "path": "/crm/v3/*"}])
    assert get(crm, "/account-info/v3/details").status_code == 200
    assert [get(crm).status_code for _ in range(3)] == [500, 500, 200]
    counted = crm.control("hubspot", "requests")
    assert counted["faults"] == {"error": 2} and counted["by_status"] == {"200": 2, "500": 2}
    assert counted["by_path"] == {"GET /account-info/v3/details": 1, f"GET {PATH}": 3} and counted["requests"] == 4


def test_latency_and_rate_limits(crm: RunningSuite) -> None:
    crm.control("hubspot", "faults", [{"kind": "latency", "seconds": 0.2}, {"kind": "rate_limit", "count": 1}])
    start = time.monotonic()
    assert get(crm).status_code == 429
    assert time.monotonic() - start >= 0.2
    assert get(crm).status_code == 200


def test_answers_that_arrive_and_are_wrong(crm: RunningSuite) -> None:
    crm.control("hubspot", "faults", [{"kind": "broken_json", "count": 1}])
    with pytest.raises(requests.JSONDecodeError):
        get(crm).json()
    crm.control("hubspot", "faults", [{"kind": "wrong_content_type", "count": 1}])
    page = get(crm)
    assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
    crm.control("hubspot", "faults", [{"kind": "partial_page", "count": 1}])
    partial, whole = get(crm).json(), get(crm).json()
    assert len(partial["results"]) == 5 and len(whole["results"]) == 10 and partial["paging"] == whole["paging"]


def test_connections_that_are_cut_or_hang(crm: RunningSuite) -> None:
    crm.control("hubspot", "faults", [{"kind": "reset", "count": 1}])
    with pytest.raises(requests.ConnectionError):
        get(crm)
    crm.control("hubspot", "faults", [{"kind": "hang", "count": 1}])
    with pytest.raises(requests.Timeout):
        get(crm, timeout=0.3)
    assert get(crm).status_code == 200


def test_the_same_seed_draws_the_same_faults() -> None:
    def drawn(seed: int) -> list[int]:
        switch = FaultSwitch(seed)
        switch.set([Fault(kind="reset", probability=0.3)])
        return [len(switch.draw(Call("GET", "/"))) for _ in range(200)]

    assert drawn(1) == drawn(1) != drawn(2) and 30 < sum(drawn(1)) < 90


def test_wrong_faults_and_subscribers_are_refused(crm: RunningSuite) -> None:
    url = f"{crm.urls['hubspot']}/__control"
    assert requests.put(f"{url}/faults", json=[{"kind": "flood"}], timeout=10).status_code == 400
    assert requests.put(f"{url}/limits", json={"x": {"requests": 1, "seconds": 1}}, timeout=10).status_code == 400
    elsewhere = requests.put(f"{url}/subscriber", json={"url": "http://192.0.2.1/hook"}, timeout=10)
    assert elsewhere.status_code == 400 and "127.0.0.1" in elsewhere.json()["error"]
    assert requests.get(f"{url}/nothing", timeout=10).status_code == 404


def test_control_is_for_this_machine_and_not_for_web_pages(crm: RunningSuite) -> None:
    url = f"{crm.urls['hubspot']}/__control/requests"
    assert requests.get(url, headers={"Host": "evil.example"}, timeout=10).status_code == 403
    control = Control.__new__(Control)
    assert control.answer(Call("GET", "/__control/requests", headers={"Host": "localhost"}), "192.0.2.7").status == 403


def test_everything_says_that_it_is_simulated(crm: RunningSuite) -> None:
    for name, url in crm.urls.items():
        answer = requests.get(url, timeout=10)
        assert answer.headers["X-Simulated"] == "true" and answer.headers["Server"] == f"triptych-simulated-{name}"


def test_too_large_a_body_is_refused(crm: RunningSuite) -> None:
    answer = requests.post(f"{crm.urls['zendesk']}/oauth/tokens", data=b"x" * 3_000_000, timeout=10)
    assert answer.status_code == 413


def test_a_reset_takes_writes_back(crm: RunningSuite) -> None:
    headers = {"Authorization": f"Bearer {crm.suite.credentials['hubspot']['access_token']}"}
    body = {"properties": {"subject": "to go", "hs_pipeline_stage": "1"}}
    made = requests.post(crm.urls["hubspot"] + PATH, json=body, headers=headers, timeout=10).json()
    assert get(crm, f"{PATH}/{made['id']}").status_code == 200
    requests.post(f"{crm.urls['hubspot']}/__control/reset", timeout=10)
    assert get(crm, f"{PATH}/{made['id']}").status_code == 404
