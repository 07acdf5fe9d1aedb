"""A real SMTP server, aiosmtpd, that keeps what it takes."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult


@dataclass
class Mailbox:
    """What was handed in; `refuse` is answered instead, if it is set."""

    port: int = 0
    refuse: str = ""
    taken: list[tuple[list[str], EmailMessage]] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Called by aiosmtpd."""
        if self.refuse:
            return self.refuse
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append((list(envelope.rcpt_tos), message))
        return "250 OK"


@asynccontextmanager
async def mail_server(
    context: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
) -> AsyncIterator[Mailbox]:
    """With `context` it demands STARTTLS, with `login` this user and password."""
    box, loop = Mailbox(), asyncio.get_running_loop()

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        fits = login is not None and (data.login, data.password) == tuple(part.encode() for part in login)
        return AuthResult(success=fits)

    def protocol() -> SMTP:
        return SMTP(
            box,
            hostname="localhost",
            tls_context=context,
            require_starttls=context is not None,
            auth_required=login is not None,
            authenticator=authenticate,
            loop=loop,
        )

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    box.port = int(server.sockets[0].getsockname()[1])
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()
