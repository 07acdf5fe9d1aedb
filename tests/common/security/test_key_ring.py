"""A ring of signing keys: the new one signs, old ones verify until they are dropped, and nobody restarts."""

import asyncio
from pathlib import Path

import pytest
from mcp.server.request_state import InvalidRequestState

from common.console.forms import FormTokens
from common.errors import Conflict, NotFound, SettingsError
from common.security.audit import AuditLog, verify
from common.security.audit_checkpoints import checkpoint_key
from common.security.encryption import Keyring
from common.security.key_ring import KeyRing, Purpose, SigningKey, read_ring
from common.security.key_rotation import OVERLAP_SECONDS, dropped, rotated
from common.security.request_state import RequestStates
from common.security.signing import load_signing_key
from common.security.tokens import OwnTokens
from common.settings import CommonSettings
from devops.cursors import Cursors
from tests.support.audit import Place, intent, outcome, until

FIRST = "a" * 48


class Box:
    """A ring whose text and time a test changes."""

    def __init__(self) -> None:
        self.text = FIRST
        self.now = 1_000_000.0
        self.ring = KeyRing(lambda: self.text, lambda: self.now)

    def rotate(self, wait: float = 0.0) -> str:
        self.text, key_id = rotated(self.text, wait, self.now)
        return key_id

    def drop(self, key_id: str) -> None:
        self.text = dropped(self.text, key_id, force=True, now=self.now)


def test_a_text_that_is_no_ring_is_the_only_key() -> None:
    ring = KeyRing(lambda: FIRST)
    assert ring.current().id == SigningKey(FIRST.encode()).id
    assert len(ring.accepted()) == 1 and not ring.retired()


def test_what_was_derived_follows_a_rotation() -> None:
    box = Box()
    purpose = Purpose(box.ring, "objects")
    old = purpose.newest
    new_id = box.rotate()
    assert purpose.newest.id == new_id and purpose.newest.secret != old.secret
    assert purpose.named(old.id) == old
    box.drop(old.id)
    assert purpose.named(old.id) is None and [key.id for key in purpose.accepted] == [new_id]


def test_a_new_key_verifies_before_it_signs() -> None:
    box = Box()
    old = box.ring.current().id
    new = box.rotate(wait=60)
    assert [key.id for key in box.ring.accepted()] == [old, new]
    box.now += 61
    assert [key.id for key in box.ring.accepted()] == [new, old]


def test_states_tokens_forms_and_cursors_survive_a_rotation_and_end_with_their_key() -> None:
    box = Box()
    states, tokens, forms = RequestStates(box.ring), OwnTokens(box.ring, "x"), FormTokens(box.ring)
    cursors = Cursors(Purpose(box.ring, "cursors"))
    old = box.ring.current().id
    sealed, token, cursor = states.seal(b"state"), tokens.issue({"sub": "alice"}, 60), cursors.seal(3, "q")
    form = forms.issue("sid", "/console")
    box.rotate()
    assert states.unseal(sealed) == b"state" and tokens.check(token) and cursors.open(cursor, "q") == 3
    assert forms.issue("sid", "/console") != form and tokens.issue({"sub": "alice"}, 60) != token
    box.drop(old)
    with pytest.raises(InvalidRequestState):
        states.unseal(sealed)
    with pytest.raises(Exception, match="cursor does not fit"):
        cursors.open(cursor, "q")
    assert tokens.check(token) is None


def test_data_at_rest_opens_after_its_key_was_dropped() -> None:
    box = Box()
    data, old = Keyring(box.ring), box.ring.current().id
    sealed, index = data.seal(b"a secret", b"row 1"), data.index("a@b.example", "email")
    box.rotate()
    assert data.open(sealed, b"row 1") == b"a secret" and not data.is_current(sealed)
    assert data.is_current(data.seal(b"a secret", b"row 1"))
    box.drop(old)
    assert data.open(sealed, b"row 1") == b"a secret" and index in data.indexes("a@b.example", "email")
    assert data.index("a@b.example", "email") != index
    with pytest.raises(KeyError):
        box.ring.retired()[0].derive("request-state")
    assert data.open(sealed, b"row 1").decode() not in repr([data, read_ring(box.text), box.ring.retired()])


def test_a_key_is_dropped_only_when_nothing_needs_it() -> None:
    box = Box()
    old = box.ring.current().id
    with pytest.raises(Conflict, match="is in use"):
        box.drop(old)
    new = box.rotate()
    with pytest.raises(Conflict, match="more hours"):
        dropped(box.text, old, now=box.now + 60)
    with pytest.raises(NotFound):
        box.drop("0" * 12)
    with pytest.raises(Conflict, match="is in use"):
        box.drop(new)
    assert len(read_ring(dropped(box.text, old, now=box.now + OVERLAP_SECONDS)).keys) == 1


def test_no_second_rotation_while_one_is_under_way() -> None:
    box = Box()
    box.rotate(wait=60)
    with pytest.raises(Conflict, match="does not sign yet"):
        box.rotate()


@pytest.mark.parametrize("text", ['{"keys": []}', '{"keys": [{"secret": "short"}]}', '{"keys": 3'])
def test_a_damaged_ring_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SettingsError, match="damaged") as caught:
        read_ring(text)
    assert "short" not in str(caught.value)


def test_no_repr_shows_a_secret() -> None:
    box = Box()
    box.rotate()
    shown = repr([box.ring, box.ring.accepted(), Purpose(box.ring, "x").newest, read_ring(box.text)])
    assert FIRST not in shown and read_ring(box.text).keys[1].secret not in shown


def test_the_file_is_followed_and_a_damaged_one_changes_nothing(tmp_path: Path) -> None:
    ring = load_signing_key(CommonSettings(data_dir=tmp_path))
    path = tmp_path / "signing.key"
    first = ring.current().id
    text, new = rotated(path.read_text())
    path.write_text(text)
    assert ring.current().id == new
    path.write_text('{"keys"')
    assert ring.current().id == new
    path.unlink()
    assert [key.id for key in ring.accepted()] == [new, first]


async def test_the_audit_log_verifies_across_a_rotation_and_after_a_drop(tmp_path: Path) -> None:
    box, place = Box(), Place(tmp_path)
    box.now = 4_000_000_000.0  # the drop comes after every checkpoint
    old = box.ring.current()
    async with place.engine() as engine, AuditLog(engine, "test", box.ring, place.checkpoints, 0.01) as log:
        await log.write(intent())
        await until(lambda: len(place.lines) == 1)
        box.rotate()
        await log.write(outcome())
        await until(lambda: len(place.lines) >= 2)
        assert not (await verify(engine, box.ring, place.checkpoints)).problems
    async with place.engine() as engine:
        box.drop(old.id)
        report = await verify(engine, box.ring, place.checkpoints)
        assert not report.problems and report.checkpoints >= 2
        forgotten = await verify(engine, KeyRing(lambda: "n" * 48), place.checkpoints)
        assert "not in the ring" in forgotten.problems[0].what


async def test_a_dropped_key_signs_nothing_more(tmp_path: Path) -> None:
    box, place = Box(), Place(tmp_path)
    old = box.ring.current()
    box.rotate()
    box.drop(old.id)  # at a time that is long past
    async with place.engine() as engine, AuditLog(engine, "test", old, place.checkpoints, 60) as log:
        await log.write(intent())
        await log.write(outcome())
    async with place.engine() as engine:
        assert "not in the ring" in (await verify(engine, box.ring, place.checkpoints)).problems[0].what


async def test_a_new_key_binds_every_chain_again(tmp_path: Path) -> None:
    from common.security.audit_checkpoints import Checkpoint

    box, place = Box(), Place(tmp_path)
    async with place.log("earlier") as log:
        await log.write(intent())
        await log.write(outcome())
    async with place.engine() as engine, AuditLog(engine, "test", box.ring, place.checkpoints, 0.01) as log:
        await until(lambda: len(place.lines) == 2)
        box.rotate()
        await until(lambda: len(place.lines) == 3)
        await asyncio.sleep(0)
    last = Checkpoint.model_validate_json(place.lines[2])
    assert last.is_signed_by(checkpoint_key(box.ring.current()).public_key())
    assert any(writer.startswith("earlier") for writer in last.heads)
