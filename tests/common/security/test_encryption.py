"""What is sealed opens in its own place and with its own key, and nowhere else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SettingsError
from common.security.encryption import HEADER_BYTES, CannotOpen, Keyring, load_keyring, place
from common.security.signing import SigningKey
from common.settings import CommonSettings, load_settings

OLD, NEW, OTHER = (SigningKey(name * 32) for name in (b"o", b"n", b"x"))
RING = Keyring(NEW, [OLD])
HERE = place("profiles", "sealed", "row 1")


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_was_sealed_opens(plain: bytes, aad: bytes) -> None:
    sealed = RING.seal(plain, aad)
    assert RING.open(sealed, aad) == plain
    assert len(sealed) == HEADER_BYTES + len(plain) + 16
    assert len(plain) < 4 or plain not in sealed


@given(st.data())
def test_a_changed_value_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(RING.seal(b"a secret", HERE))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CannotOpen):
        RING.open(bytes(sealed), HERE)


@pytest.mark.parametrize("length", [0, 1, 5, HEADER_BYTES, HEADER_BYTES + 15])
def test_a_cut_value_does_not_open(length: int) -> None:
    with pytest.raises(CannotOpen):
        RING.open(RING.seal(b"a secret", HERE)[:length], HERE)


@pytest.mark.parametrize(
    "elsewhere", [place("profiles", "sealed", "row 2"), place("orders", "sealed", "row 1"), place("profiles"), b""]
)
def test_a_moved_value_does_not_open(elsewhere: bytes) -> None:
    with pytest.raises(CannotOpen, match="moved"):
        RING.open(RING.seal(b"a secret", HERE), elsewhere)


@given(st.lists(st.text(max_size=8), max_size=4), st.lists(st.text(max_size=8), max_size=4))
def test_no_two_places_are_the_same(one: list[str], other: list[str]) -> None:
    assert (place(*one) == place(*other)) == (one == other)


def test_old_keys_open_and_the_newest_seals() -> None:
    before = Keyring(OLD).seal(b"a secret", HERE)
    assert RING.open(before, HERE) == b"a secret"
    assert not RING.is_current(before) and RING.is_current(RING.seal(b"a secret", HERE))
    with pytest.raises(CannotOpen, match="another key"):
        Keyring(OTHER).open(before, HERE)
    with pytest.raises(CannotOpen, match="another key"):
        Keyring(OLD).open(RING.seal(b"a secret", HERE), HERE)


def test_each_value_has_its_own_data_key() -> None:
    assert RING.seal(b"same", HERE) != RING.seal(b"same", HERE)


def test_a_blind_index_finds_equal_values_of_a_field() -> None:
    assert RING.index("a@b.example", "email") == RING.index("a@b.example", "email")
    assert RING.index("a@b.example", "email") != RING.index("a@b.example", "phone")
    assert RING.index("a@b.example", "email") != Keyring(OTHER).index("a@b.example", "email")
    both = [Keyring(key).index("a@b.example", "email") for key in (NEW, OLD)]
    assert RING.indexes("a@b.example", "email") == both


def test_the_settings_name_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_keyring(CommonSettings(data_dir=tmp_path))
    sealed = first.seal(b"a secret", HERE)
    assert load_keyring(CommonSettings(data_dir=tmp_path)).open(sealed, HERE) == b"a secret"
    # The signing key was the root until now; from here on there is a key of its own.
    monkeypatch.setenv("TRIPTYCH_ENCRYPTION_KEY", "k" * 40)
    monkeypatch.setenv("TRIPTYCH_ENCRYPTION_OLD_KEYS", f"{'p' * 40}, {(tmp_path / 'signing.key').read_text()}")
    settings = load_settings(CommonSettings, data_dir=tmp_path)
    ring = load_keyring(settings)
    assert ring.open(sealed, HERE) == b"a secret" and not ring.is_current(sealed)
    assert "kkkk" not in repr(settings) + repr(ring) + repr(vars(ring)) and "pppp" not in repr(settings)


@pytest.mark.parametrize("name", ["TRIPTYCH_ENCRYPTION_KEY", "TRIPTYCH_ENCRYPTION_OLD_KEYS"])
def test_a_short_key_stops_the_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "short-secret")
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings(CommonSettings)
    assert "short-secret" not in str(caught.value)
