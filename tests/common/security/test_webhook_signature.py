"""Signatures of webhooks: those of the specification's own example, and nothing that was changed."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Denied, SettingsError
from common.security.webhook_signature import ID, SIGNATURE, TIMESTAMP, secret_bytes, sign, signed_headers, verified

KEY = bytes(range(32))
NOW = 1_800_000_000


def test_the_example_of_the_specification() -> None:
    secret = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text(min_size=1, max_size=20, alphabet="abc-123"), st.binary(max_size=50), st.integers(0, 49))
def test_nothing_of_it_can_be_changed(message_id: str, body: bytes, where: int) -> None:
    headers = signed_headers(KEY, message_id, NOW, body)
    assert verified(KEY, headers, body, NOW + 299) == message_id
    changed = bytes([*body[:where], (body[where] + 1) % 256, *body[where + 1 :]]) if where < len(body) else body + b"x"
    for other, text in (
        (headers, changed),
        ({**headers, ID: f"{message_id}x"}, body),
        ({**headers, TIMESTAMP: str(NOW + 1)}, body),
        ({**headers, SIGNATURE: headers[SIGNATURE][:-4]}, body),
        ({**headers, SIGNATURE: ""}, body),
        ({**headers, TIMESTAMP: "٣"}, body),
        ({**headers, TIMESTAMP: "-1"}, body),
        ({}, body),
    ):
        with pytest.raises(Denied):
            verified(KEY, other, text, NOW)
    with pytest.raises(Denied):
        verified(bytes(32), headers, body, NOW)


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_recorded_message_is_too_old(seconds: int) -> None:
    headers = signed_headers(KEY, "a", NOW, b"{}")
    with pytest.raises(Denied, match="too old"):
        verified(KEY, headers, b"{}", NOW + seconds)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", f"whsec_{'*' * 40}", base64.b64encode(KEY).decode()])
def test_a_weak_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(SettingsError) as refused:
        secret_bytes(secret)
    assert not secret or secret.removeprefix("whsec_") == "" or secret not in str(refused.value)
