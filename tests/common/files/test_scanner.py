"""A file passes only after a scanner said that it is clean."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import SettingsError, Unavailable
from common.files import EicarScanner, Refused
from common.files.clamd import ClamdScanner
from tests.services import clamd
from tests.support.clamd_server import WORM, clamd_server

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


async def test_the_built_in_scanner_knows_the_test_signature() -> None:
    assert await EicarScanner().scan(b"x" + EICAR) == "EICAR-Test-File"
    assert await EicarScanner().scan(b"an apple") is None


def test_no_file_of_ours_contains_the_signature() -> None:
    for path in Path(__file__).parents[3].joinpath("common").rglob("*.py"):
        assert EICAR not in path.read_bytes(), path


async def test_the_whole_file_is_streamed() -> None:
    data = bytes(range(256)) * 1000
    async with clamd_server() as server:
        assert await ClamdScanner(server.address).scan(data) is None
        assert await ClamdScanner(server.address).scan(data + WORM) == "Test.Worm-1"
        assert server.scanned == [data, data + WORM]


async def test_a_unix_socket_is_an_address_too(tmp_path: Path) -> None:
    async with clamd_server(str(tmp_path / "s")) as server:
        assert await ClamdScanner(server.address).scan(WORM) == "Test.Worm-1"


@pytest.mark.parametrize("behaviour", ["hang", "hang_up", "error", "nonsense", "endless"])
async def test_without_a_clear_answer_nothing_passes(behaviour: str) -> None:
    started = time.perf_counter()
    async with clamd_server() as server:
        server.behaviour = behaviour
        with pytest.raises(Unavailable, match="try again") as refused:
            await ClamdScanner(server.address, timeout_seconds=0.2).scan(b"an apple")
    assert refused.value.retry_after
    assert time.perf_counter() - started < 3


async def test_a_scanner_that_is_not_there_lets_nothing_pass(tmp_path: Path) -> None:
    for address in ("127.0.0.1:1", str(tmp_path / "nothing")):
        with pytest.raises(Unavailable):
            await ClamdScanner(address, timeout_seconds=1).scan(b"an apple")


async def test_a_second_try_may_succeed() -> None:
    async with clamd_server() as server:
        server.behaviour = "hang_up"
        scanner = ClamdScanner(server.address, timeout_seconds=5)
        with pytest.raises(Unavailable):
            await scanner.scan(b"an apple")
        assert server.connections == 2
        server.behaviour = "ok"
        assert await scanner.scan(b"an apple") is None


async def test_what_is_too_large_for_it_is_refused() -> None:
    async with clamd_server() as server:
        server.behaviour = "too_large"
        with pytest.raises((Refused, Unavailable), match="StreamMaxLength"):
            await ClamdScanner(server.address, timeout_seconds=5).scan(b"x" * 20_000_000)


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", ":3310", "host:port"])
def test_a_wrong_address_is_said_at_the_start(address: str) -> None:
    with pytest.raises(SettingsError, match="host:port"):
        ClamdScanner(address)


@pytest.fixture(scope="module")
def real_clamd() -> Iterator[str]:
    binary = clamd.binary()
    if binary is None:
        pytest.skip("no clamd here: `apt install clamav-daemon`, or TEST_CLAMD=/path/to/clamd")
    yield from clamd.start(binary)


async def test_a_real_clamd_finds_what_its_database_names(real_clamd: str) -> None:
    scanner = ClamdScanner(real_clamd)
    assert await scanner.scan(b"an apple") is None
    assert await scanner.scan(b"text before " + clamd.SIGNATURE) == "Triptych.Test.Worm.UNOFFICIAL"
    with pytest.raises((Refused, Unavailable), match="StreamMaxLength"):
        await scanner.scan(b"x" * 5_000_000)
