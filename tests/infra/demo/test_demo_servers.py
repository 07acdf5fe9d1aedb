"""Servers that are started at the same moment get ports of their own."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.cli.verticals import vertical_names
from infra.demo.servers import RunningServer, free_port, held_port, is_ready, start_server, stop_server, wait_ready

NAME = next(iter(vertical_names()))


def test_a_port_is_held_until_its_server_listens() -> None:
    wanted = free_port(0)
    (one, held), (other, also_held) = held_port(wanted), held_port(wanted)
    assert one == wanted != other
    with held, also_held, socket.socket() as server:
        server.bind(("127.0.0.1", one))
    again, held = held_port(wanted)
    held.close()
    assert again == wanted


def test_a_server_that_cannot_be_started_holds_no_port(tmp_path: Path) -> None:
    wanted = free_port(0)
    (tmp_path / "logs" / f"{NAME}.log").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        start_server(NAME, wanted, tmp_path)
    again, held = held_port(wanted)
    held.close()
    assert again == wanted


def test_who_answers_in_its_place_is_not_the_server(tmp_path: Path) -> None:
    running = start_server(NAME, 0, tmp_path)
    try:
        wait_ready(running)
        log = tmp_path / "log"
        log.write_text("the port was taken")
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait(30)
        _, held = held_port(0)
        assert is_ready(running.url)
        with pytest.raises(RuntimeError, match="the port was taken"):
            wait_ready(RunningServer(NAME, running.url, ended, log, held))
    finally:
        stop_server(running)
