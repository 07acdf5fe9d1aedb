"""Notices as mail, handed in at a real SMTP server."""

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import Unavailable
from devops.adapters import smtp_notifier
from devops.adapters.smtp_notifier import MailServer, SmtpNotifier
from devops.notify.notice import Notice
from tests.devops.notify.smtp_server import mail_server
from tests.services.authority import Authority

FACTS = {"summary": "Scale Deployment production/web-portal", "risk": "high", "requester": "olga"}
NOTICE = Notice("ntc-1", "smtp", "change.waiting", 1_800_000_000.0, FACTS, 1)


def to(port: int, **more: object) -> MailServer:
    server = MailServer("localhost", port, "starttls", "triptych@fernhill.example", ["oncall@fernhill.example"])
    return replace(server, **more)  # type: ignore[arg-type]


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the file with who signed it."""
    made = Authority(tmp_path, "mail")
    issued = made.issue("localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.cert, issued.key)
    return context, made.ca_file


async def test_mail_goes_over_tls_and_only_to_who_is_believed(
    authority: tuple[ssl.SSLContext, Path],
) -> None:
    context, ca_file = authority
    async with mail_server(context, ("triptych", "a password")) as box:
        good = to(box.port, ca_file=ca_file, user="triptych", password="a password")
        await SmtpNotifier(good).send(NOTICE)
        [(recipients, mail)] = box.taken
        assert recipients == ["oncall@fernhill.example"] and mail["From"] == "triptych@fernhill.example"
        assert mail["Subject"] == "Scale Deployment production/web-portal: waits for a yes"
        assert mail["Message-ID"] == "<ntc-1@fernhill.example>" and mail["Auto-Submitted"] == "auto-generated"
        assert "requester: olga" in mail.get_content()
        assert "answers" in await SmtpNotifier(good).check() and len(box.taken) == 1
        for bad in (replace(good, password="wrong"), replace(good, ca_file=None), replace(good, tls="off")):
            with pytest.raises(Unavailable) as refused:
                await SmtpNotifier(bad).send(NOTICE)
            assert "password" not in str(refused.value)
        assert len(box.taken) == 1 and "a password" not in repr(good)


async def test_without_starttls_nothing_goes_in_the_clear() -> None:
    async with mail_server() as box:
        with pytest.raises(Unavailable):
            await SmtpNotifier(to(box.port)).send(NOTICE)
        assert box.taken == []
        await SmtpNotifier(to(box.port, tls="off")).send(NOTICE)
        assert len(box.taken) == 1


async def test_a_refusal_is_no_delivery() -> None:
    async with mail_server() as box:
        box.refuse = "554 no"
        with pytest.raises(Unavailable, match="554"):
            await SmtpNotifier(to(box.port, tls="off")).send(NOTICE)


async def test_text_of_people_makes_no_header() -> None:
    async with mail_server() as box:
        evil = {**FACTS, "summary": "x\r\nBcc: eve@evil.example\r\n\r\nhello"}
        with pytest.raises(ValueError):
            await SmtpNotifier(to(box.port, tls="off")).send(replace(NOTICE, facts=evil))
        from devops.notify.notice import cleaned

        await SmtpNotifier(to(box.port, tls="off")).send(replace(NOTICE, facts=cleaned(evil)))
        [(recipients, mail)] = box.taken
        assert recipients == ["oncall@fernhill.example"] and mail["Bcc"] is None


async def test_a_server_that_stands_still_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_notifier, "STEP_SECONDS", 0.2)
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    try:
        with pytest.raises(Unavailable, match="did not take it"):
            await SmtpNotifier(to(server.sockets[0].getsockname()[1], tls="off")).send(NOTICE)
    finally:
        for writer in held:
            writer.close()
        server.close()
