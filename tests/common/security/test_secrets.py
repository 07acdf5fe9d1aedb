"""References in settings, the cache with its time to live, and what happens while a secret changes."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from common.errors import SettingsError
from common.security.key_ring import read_ring
from common.security.secrets import Rotating, Secret, SecretCache, SecretUnavailable, Template
from common.security.signing import load_signing_key
from common.settings import CommaList, CommonSettings, Settings, load_settings

CANARY = "canary-9f2c7b1e"


class Shelf:
    """A store in memory: the port itself, for the cache's own rules."""

    name = "shelf"

    def __init__(self, **values: str) -> None:
        self.secrets = {path: Secret({"": value}, "1") for path, value in values.items()}
        self.before: dict[str, Secret] = {}
        self.down = False
        self.breaks: dict[str, Exception] = {}
        self.reads = 0

    def put(self, path: str, value: str) -> None:
        old = self.secrets[path]
        self.before[path], self.secrets[path] = old, Secret({"": value}, str(int(old.version) + 1))

    def read(self, path: str) -> Secret:
        self.reads += 1
        if path in self.breaks:
            raise self.breaks[path]
        if self.down or path not in self.secrets:
            raise SecretUnavailable("there is no such secret")
        return self.secrets[path]

    def previous(self, path: str) -> Secret | None:
        return self.before.get(path)

    def write(self, path: str, values: Mapping[str, str], expected: str) -> None:
        raise NotImplementedError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class OtherSettings(Settings):
    """Settings of somebody else, such as a fork's."""

    model_config = SettingsConfigDict(env_prefix="OTHER_", env_file=".env", extra="ignore", frozen=True)

    token: SecretStr | None = None
    url: str = ""
    count: int = 1
    names: CommaList = []
    table: dict[str, int] = {}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_SECRETS_DIR", str(tmp_path))
    (tmp_path / "prod").write_text(
        json.dumps({"token": CANARY, "count": "3", "names": "a, b", "table": '{"x": 1}', "password": "p@ss/word"})
    )
    return tmp_path


def test_any_setting_of_any_class_may_be_a_reference(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("TOKEN", "COUNT", "NAMES"):
        monkeypatch.setenv(f"OTHER_{name}", f"secret://prod#{name.lower()}")
    (folder / ".env").write_text("OTHER_TABLE=secret://prod#table\n")
    found = load_settings(OtherSettings)
    assert found.token is not None and found.token.get_secret_value() == CANARY
    assert (found.count, found.names, found.table) == (3, ["a", "b"], {"x": 1})
    assert CANARY not in repr(found)


def test_a_part_of_a_url_is_percent_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_URL", "postgresql+asyncpg://app:${secret://prod#password}@db/app")
    assert load_settings(OtherSettings).url == "postgresql+asyncpg://app:p%40ss%2Fword@db/app"


def test_errors_name_the_setting_and_the_reference_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_TOKEN", "secret://prod#none")
    monkeypatch.setenv("OTHER_URL", "secret://gone")
    monkeypatch.setenv("OTHER_COUNT", "secret://prod#token")
    with pytest.raises(SettingsError) as caught:
        load_settings(OtherSettings)
    text = str(caught.value)
    assert "OTHER_TOKEN: secret://prod#none: it has no such field" in text and "OTHER_URL: secret://gone" in text
    monkeypatch.delenv("OTHER_TOKEN")
    monkeypatch.delenv("OTHER_URL")
    with pytest.raises(SettingsError, match="OTHER_COUNT") as caught:
        load_settings(OtherSettings)
    assert CANARY not in text + str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "secret://",
        f"secret://a {CANARY}",
        "secret:///#x y",
        "${secret://}",
        f"redis://:{CANARY}@cache/0?user=${{secret://prod#token",
        f"redis://:{CANARY}@${{secret://prod#count}}/${{secret://prod #count}}",
    ],
)
def test_a_mistyped_reference_is_never_taken_for_the_value_nor_shown(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_TOKEN", text)
    with pytest.raises(SettingsError, match="OTHER_TOKEN: it is or holds a reference that is not") as caught:
        load_settings(OtherSettings)
    assert CANARY not in str(caught.value)


def test_where_secrets_live_cannot_be_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_VAULT_TOKEN", "secret://prod#token")
    found = load_settings(CommonSettings)
    assert found.vault_token is not None and found.vault_token.get_secret_value() == "secret://prod#token"
    monkeypatch.setenv("TRIPTYCH_SECRETS", "safe")
    monkeypatch.setenv("OTHER_TOKEN", "secret://prod#token")
    with pytest.raises(SettingsError, match="TRIPTYCH_SECRETS cannot be used"):
        load_settings(OtherSettings)


def test_a_secret_is_read_once_within_its_time() -> None:
    clock, shelf = Clock(), Shelf(a="one")
    cache = SecretCache(shelf, ttl_seconds=60, clock=clock)
    assert [cache.get("a").fields[""] for _ in range(3)] == ["one"] * 3 and shelf.reads == 1
    assert cache.refresh() == [] and shelf.reads == 1
    clock.now += 60
    shelf.put("a", "two")
    assert cache.refresh() == ["a"] and cache.get("a").fields[""] == "two"


def test_old_and_new_in_the_overlap() -> None:
    clock, shelf = Clock(), Shelf(a="one")
    cache = SecretCache(shelf, 60, overlap_seconds=600, clock=clock)
    setting = Rotating(Template("secret://a"), cache)
    assert setting.candidates() == ["one"]
    shelf.put("a", "two")
    clock.now += 60
    cache.refresh()
    assert setting.candidates() == ["two", "one"] and setting.changed_at == clock.now
    clock.now += 600
    assert setting.candidates() == ["two"]


def test_a_refused_value_is_looked_up_at_once_but_not_all_the_time() -> None:
    clock, shelf = Clock(), Shelf(a="one")
    cache = SecretCache(shelf, 60, clock=clock)
    setting = Rotating(Template("secret://a"), cache)
    setting.value()
    shelf.put("a", "two")
    assert setting.look() and setting.candidates() == ["two", "one"]
    reads = shelf.reads
    setting.look()
    assert shelf.reads == reads
    clock.now += 2
    setting.look()
    assert shelf.reads == reads + 1


def test_one_who_began_after_a_change_can_try_the_value_before() -> None:
    shelf = Shelf(a="one")
    shelf.put("a", "two")
    setting = Rotating(Template("secret://a"), SecretCache(shelf, 60, clock=Clock()))
    assert setting.candidates() == ["two"]
    assert setting.look() and setting.candidates() == ["two", "one"]


def test_an_outage_keeps_what_is_known() -> None:
    clock, shelf = Clock(), Shelf(a="one")
    cache = SecretCache(shelf, 60, clock=clock)
    cache.get("a")
    shelf.down = True
    clock.now += 1000
    assert cache.refresh() == [] and cache.get("a").fields[""] == "one"
    with pytest.raises(SecretUnavailable):
        cache.get("b")
    assert [(access.path, access.outcome) for access in cache.drain()] == [
        ("a", "ok"),
        ("a", "unavailable"),
        ("b", "unavailable"),
    ]


def test_what_a_store_may_not_raise_holds_up_no_other_secret(capsys: pytest.CaptureFixture[str]) -> None:
    shelf = Shelf(a="one", b="one")
    cache = SecretCache(shelf, 0)
    cache.get("a"), cache.get("b")
    cache.drain()
    shelf.put("b", "two")
    shelf.breaks["a"] = TypeError(CANARY)
    assert cache.refresh() == ["b"] and cache.get("a").fields[""] == "one"
    assert [(access.path, access.outcome) for access in cache.drain()] == [("a", "unavailable"), ("b", "ok")]
    written = "".join(capsys.readouterr())
    assert "TypeError" in written and CANARY not in written


def test_a_lease_is_kept_for_two_thirds_of_its_time() -> None:
    clock, shelf = Clock(), Shelf(a="one")
    shelf.secrets["a"] = Secret({"": "made"}, "1", lease_seconds=300)
    cache = SecretCache(shelf, 60, clock=clock)
    cache.get("a")
    clock.now += 199
    cache.refresh()
    assert shelf.reads == 1
    clock.now += 2
    cache.refresh()
    assert shelf.reads == 2


def test_a_plain_signing_key_that_is_replaced_verifies_during_the_overlap(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    from common.security.secret_cache import open_cache

    (folder / "key").write_text("o" * 40)
    monkeypatch.setenv("TRIPTYCH_SIGNING_KEY", "secret://key")
    settings = load_settings(CommonSettings)
    ring = load_signing_key(settings)
    old = ring.current().id
    (folder / "key").write_text("n" * 40)
    cache = open_cache(settings)
    cache.ttl_seconds = 0
    assert cache.refresh() == ["key"]
    new = read_ring("n" * 40).keys[0].key.id
    assert [key.id for key in ring.accepted()] in ([old, new], [new, old])
    (folder / "key").write_text("short")
    cache.refresh()
    assert ring.current().id in (old, new)
