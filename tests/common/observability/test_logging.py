"""Log lines: JSON on stderr, with request id and subject, without secrets."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from common.observability.call import request_id
from common.observability.logging import configure_logging
from common.security.principal import Principal, current_principal
from common.settings import CommonSettings


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    captured = capsys.readouterr()
    assert captured.out == "", "stdout belongs to the stdio transport"
    return [json.loads(line) for line in captured.err.splitlines()]


def test_both_kinds_of_loggers_say_who_and_which_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(CommonSettings(data_dir=tmp_path))
    request, principal = request_id.set("request-1"), current_principal.set(Principal("alice"))
    structlog.get_logger("ours").info("it.happened", password="hunter2", token="tk_abc_def")
    logging.getLogger("theirs").warning("Bearer %s failed", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl")
    request_id.reset(request)
    current_principal.reset(principal)
    ours, theirs = lines(capsys)
    assert (ours["event"], ours["request_id"], ours["subject"]) == ("it.happened", "request-1", "alice")
    assert theirs["request_id"] == "request-1" and theirs["level"] == "warning"
    assert "hunter2" not in str(ours) and "eyJ" not in str(theirs)


def test_the_level_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(CommonSettings(data_dir=tmp_path, log_level="error"))
    structlog.get_logger("ours").info("quiet")
    logging.getLogger("theirs").warning("quiet")
    structlog.get_logger("ours").error("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]
