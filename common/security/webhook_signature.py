"""Signed webhooks: who receives one can tell that it is genuine, whole, and new.

Ours are signed as the Standard Webhooks specification says, for which receivers find libraries in most languages.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from common.errors import Denied, SettingsError

WINDOW_SECONDS = 300.0
"""How old a message may be; as long its signature, or its id, is remembered."""
PREFIX = "whsec_"
MIN_SECRET_BYTES = 24
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def check_signature(expected: str, given: str) -> None:
    """In constant time. Raises Denied."""
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise Denied("The signature does not fit.")


def check_time(sent_at: float, now: float) -> None:
    """Raises Denied for a message from outside the window: it may have been recorded."""
    if abs(now - sent_at) > WINDOW_SECONDS:
        raise Denied("The message is too old.")


def secret_bytes(secret: str) -> bytes:
    """Of `whsec_` and base64. Raises SettingsError, without the secret."""
    try:
        found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not secret.startswith(PREFIX) or len(found) < MIN_SECRET_BYTES:
        raise SettingsError(f"A webhook's secret is {PREFIX} and at least {MIN_SECRET_BYTES} bytes in base64")
    return found


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Over id, time and body, so that none of them can be exchanged."""
    signed = hmac.digest(secret, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def signed_headers(secret: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that go with the body."""
    return {ID: message_id, TIMESTAMP: str(timestamp), SIGNATURE: sign(secret, message_id, timestamp, body)}


def verified(secret: bytes, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The id of a genuine message, which its receiver remembers for the window to drop what comes twice.

    `headers` have names in lower case. Raises Denied.
    """
    message_id, timestamp, given = (headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not timestamp.isascii() or not timestamp.isdecimal():
        raise Denied("The message has no time.")
    check_signature(sign(secret, message_id, int(timestamp), body), given)
    check_time(int(timestamp), now)
    return message_id
