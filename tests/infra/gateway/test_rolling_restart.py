"""Domain replicas and gateways are restarted one after the other under load, and no request is lost."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.security.api_keys import ApiKeyStore, api_keys_path
from common.settings import CommonSettings
from infra.demo.servers import free_port
from tests.benchmarks.requests import ERAS, raw_request
from tests.support.rolling import Process, balanced, domain, gateway, used_while

CALLERS = 4
pytestmark = pytest.mark.alone


@pytest.fixture
def token(tmp_path: Path) -> str:
    return ApiKeyStore(api_keys_path(CommonSettings(data_dir=tmp_path))).create("alice", "acme", ["user"], [])[1]


@contextlib.contextmanager
def started(*processes: Process) -> Iterator[None]:
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in processes:
            process.stop(signal.SIGKILL)


def calls(port: int, token: str) -> list[bytes]:
    """Of clients of both eras."""
    return [raw_request(ERAS[n % 2], "kb_echo", {"text": str(n)}, port, token) for n in range(CALLERS)]


@pytest.mark.slow
def test_no_request_is_lost_while_the_replicas_of_a_domain_are_restarted(tmp_path: Path, token: str) -> None:
    replicas = [domain(tmp_path, free_port(0)) for _ in range(2)]
    front = gateway(tmp_path, free_port(0), [each.port for each in replicas])
    with started(*replicas, front):

        def restart_all() -> None:
            for replica in replicas:
                replica.restart()

        load = used_while(front.port, calls(front.port, token), restart_all)
    assert load.calls > 100


@pytest.mark.slow
def test_no_request_is_lost_while_the_gateways_are_restarted(tmp_path: Path, token: str) -> None:
    behind = domain(tmp_path, free_port(0))
    fronts = [gateway(tmp_path, free_port(0), [behind.port]) for _ in range(2)]
    port = free_port(0)
    with started(behind, *fronts), balanced(tmp_path, port, [each.port for each in fronts]):

        def restart_all() -> None:
            for front in fronts:
                front.restart()

        load = used_while(port, calls(port, token), restart_all)
    assert load.calls > 100


@pytest.mark.slow
def test_a_replica_that_is_killed_loses_no_call_that_may_be_repeated(tmp_path: Path, token: str) -> None:
    replicas = [domain(tmp_path, free_port(0)) for _ in range(2)]
    front = gateway(tmp_path, free_port(0), [each.port for each in replicas])
    with started(*replicas, front):

        def kill_one() -> None:
            replicas[0].stop(signal.SIGKILL)
            replicas[0].start()

        load = used_while(front.port, calls(front.port, token), kill_one)
    assert load.calls > 100
