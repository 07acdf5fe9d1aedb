"""Nothing outside of an allowed folder is read, and nothing that is no plain file."""

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from common.errors import Denied, InvalidInput
from common.files import FileRules, Folder, Found, NotTaken, NotThere, Refused, locate, shown_path

RULES = FileRules(max_bytes=1000)
SECRET = "the secret of somebody else"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder with one good file, and a secret beside it."""
    (tmp_path / "secret.md").write_text(SECRET)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.md").write_text(SECRET)
    folder = tmp_path / "inbox"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "good.md").write_text("good")
    return folder


def walked(folder: Path, rules: FileRules = RULES) -> tuple[list[str], dict[str, str]]:
    """What is taken, and why the rest is not."""
    with Folder.opened(folder, rules) as opened:
        items = list(opened.walk())
    taken = [item.relative for item in items if isinstance(item, Found)]
    return taken, {item.relative: item.reason for item in items if isinstance(item, NotTaken)}


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        # Its name may have 107 bytes at most.
        before = os.getcwd()
        os.chdir(path.parent)
        try:
            server.bind(path.name)
        finally:
            os.chdir(before)


def make_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


def world_writable(path: Path) -> None:
    path.write_text("anybody")
    path.chmod(0o646)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "link": (lambda path: path.symlink_to(path.parent.parent / "secret.md"), "is a link"),
    "relative link": (lambda path: path.symlink_to("../secret.md"), "is a link"),
    "link to a folder": (lambda path: path.symlink_to("../outside"), "is a link"),
    "link inside": (lambda path: path.symlink_to("sub/good.md"), "is a link"),
    "dangling link": (lambda path: path.symlink_to("nothing"), "is a link"),
    "link to itself": (lambda path: path.symlink_to(path.name), "is a link"),
    "link to a process": (lambda path: path.symlink_to("/proc/self/environ"), "is a link"),
    "hard link": (lambda path: path.hardlink_to(path.parent.parent / "secret.md"), "has 2 names"),
    "pipe": (make_fifo, "is no regular file"),
    "socket": (make_socket, "is no regular file"),
    "device": (make_device, "is no regular file"),
    "world-writable": (world_writable, "may be changed by everybody"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_no_plain_file_is_refused(inbox: Path, case: str) -> None:
    make, reason = ODD[case]
    make(inbox / "odd.md")
    taken, refused = walked(inbox)
    assert taken == ["sub/good.md"]
    assert reason in refused["odd.md"]
    with Folder.opened(inbox, RULES) as folder, pytest.raises(Refused, match=reason):
        folder.read("odd.md")


@pytest.mark.parametrize(
    "path",
    [
        "../secret.md",
        "sub/../../secret.md",
        "/etc/passwd",
        "sub//good.md",
        "./sub/good.md",
        "",
        "sub/good.md/",
        "sub\\x",
    ]
    + ["a\x00b", "a\nb.md", "a\x1b[31m.md", "\u202etxt.md", "a\u200b.md", "\udcff.md", "x/" * 40 + "a.md", "x" * 2000],
)
def test_paths_that_lead_elsewhere_are_refused(inbox: Path, path: str) -> None:
    with Folder.opened(inbox, RULES) as folder, pytest.raises(Refused) as refused:
        folder.read(path)
    assert str(refused.value).isprintable()


def test_a_link_in_the_middle_of_a_path_is_refused(inbox: Path) -> None:
    (inbox / "to").symlink_to("../outside")
    with Folder.opened(inbox, RULES) as folder:
        with pytest.raises(NotThere, match="is a link"):
            folder.read("to/secret.md")
        with pytest.raises(NotThere, match="is a link"):
            list(folder.walk("to"))


def test_odd_names_are_refused_and_shown_safely(inbox: Path) -> None:
    names = ["line\nbreak.md", "turn\u202etxt.md", "esc\x1b[31m.md", "back\\slash.md", "\u2028.md"]
    for name in names:
        (inbox / name).write_text("x")
    with open(os.fsencode(inbox) + b"/\xff\xfe.md", "w") as file:
        file.write("x")
    (inbox / "Größe naïve \u0645\u06cc\u200c\u062e.md").write_text("x")
    taken, refused = walked(inbox)
    assert len(taken) == 2 and len(refused) == len(names) + 1
    assert all(f"{shown_path(name)}{reason}".isprintable() for name, reason in refused.items())


def test_hidden_files_are_left_out(inbox: Path) -> None:
    (inbox / ".git").mkdir()
    (inbox / ".git" / "config.md").write_text("x")
    (inbox / "~$lock.docx").write_text("x")
    assert walked(inbox) == (["sub/good.md"], {})


def test_deep_trees_end(inbox: Path) -> None:
    path = inbox
    for _ in range(40):
        path /= "d"
        path.mkdir()
        (path / "a.md").write_text("x")
    taken, refused = walked(inbox)
    assert len(taken) == 1 + 32
    assert [reason for reason in refused.values() if "more than 32 folders deep" in reason]


def test_too_many_files_are_an_error(inbox: Path) -> None:
    for number in range(20):
        (inbox / f"{number}.md").write_text("x")
    with pytest.raises(InvalidInput, match="more than 10 files"):
        walked(inbox, FileRules(1000, max_files=10))


def test_a_folder_that_everybody_may_write_is_refused(inbox: Path) -> None:
    (inbox / "sub").chmod(0o777)
    with Folder.opened(inbox, RULES) as folder:
        [item] = list(folder.walk())
        assert isinstance(item, NotTaken) and item.is_folder and "everybody" in item.reason
        with pytest.raises(Refused, match="everybody"):
            folder.read("sub/good.md")
    assert walked(inbox, FileRules(1000, world_writable=True))[0] == ["sub/good.md"]
    inbox.chmod(0o777)
    with pytest.raises(Refused, match="everybody"):
        walked(inbox)


def test_the_operator_may_allow_hard_links(inbox: Path) -> None:
    (inbox / "again.md").hardlink_to(inbox / "sub" / "good.md")
    assert walked(inbox)[0] == []
    assert walked(inbox, FileRules(1000, hard_links=True))[0] == ["again.md", "sub/good.md"]


def test_sizes_are_limited_while_reading(inbox: Path) -> None:
    (inbox / "large.md").write_bytes(b"x" * 1001)
    with open(inbox / "sparse.md", "wb") as sparse:
        sparse.truncate(1 << 40)
    with Folder.opened(inbox, RULES) as folder:
        for name in ("large.md", "sparse.md"):
            with pytest.raises(Refused, match="larger than"):
                folder.read(name)


def test_a_file_that_changes_while_it_is_read_is_refused(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fstat
    calls = count()

    def fstat(descriptor: int) -> os.stat_result:
        # The root, its subfolder, the file before and the file after.
        if next(calls) == 2:
            (inbox / "sub" / "good.md").write_text("other")
        return real(descriptor)

    with Folder.opened(inbox, RULES) as folder:
        monkeypatch.setattr("common.files.folder.os.fstat", fstat)
        with pytest.raises(Refused, match="changed while it was read"):
            folder.read("sub/good.md")


@pytest.mark.parametrize("root", ["/", "/proc", "/proc/self", "/sys/kernel", "/dev/shm", "nowhere"])
def test_some_folders_cannot_be_sources(root: str) -> None:
    with pytest.raises(InvalidInput), Folder.opened(Path(root), RULES):
        pass


def test_another_file_system_below_is_not_entered(tmp_path: Path) -> None:
    """/ has /proc below it, which no test can mount: so the rule is asked with the device of another folder."""
    with Folder.opened(tmp_path, RULES) as folder:
        (tmp_path / "sub").mkdir()
        folder._device += 1
        [item] = folder._walk(folder._root, "", 0)
    assert isinstance(item, NotTaken) and "another file system" in item.reason


@pytest.mark.parametrize(
    ("path", "rest"),
    [("{root}", ""), ("{root}/", ""), ("{root}/a/b.md", "a/b.md"), ("{root}/./a//b.md", "a/b.md"), ("{alias}/a", "a")],
)
def test_paths_of_an_allowed_folder_are_located(tmp_path: Path, path: str, rest: str) -> None:
    root, alias = tmp_path / "root", tmp_path / "alias"
    root.mkdir()
    alias.symlink_to(root)
    assert locate(path.format(root=root, alias=alias), [tmp_path / "other", alias]) == (alias, rest)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "{root}/../x", "{root}x/a.md", "{root}/%2e%2e/%2e%2e/..", "", "relative.md", "{root}/a\x00", "~/x"]
    + ["{root}/a/../../x", "file://{root}/a", "//etc/passwd", "{root}/..\\x", "\\\\host\\share", "{root}\n/../x"],
)
def test_paths_outside_get_one_answer(tmp_path: Path, path: str) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(Denied, match="is not in a folder that may be read"):
        locate(path.format(root=tmp_path / "root"), [tmp_path / "root"])


@pytest.mark.parametrize("part", ["file", "hard link"])
def test_a_swap_between_look_and_open_is_noticed(inbox: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    good, secret = inbox / "sub" / "good.md", inbox.parent / "secret.md"
    real_stat, real_open, looked = os.stat, os.open, threading.Event()

    def stat_and_swap(path: str, **more: object) -> os.stat_result:
        status = real_stat(path, **more)  # type: ignore[arg-type]
        if path == "good.md" and not looked.is_set():
            looked.set()
            good.unlink()
            good.symlink_to(secret) if part == "file" else good.hardlink_to(secret)
        return status

    def open_and_hide(path: str, flags: int, **more: object) -> int:
        descriptor = real_open(path, flags, **more)  # type: ignore[arg-type]
        if path == "good.md":
            good.unlink()  # now the secret has one name again
        return descriptor

    with Folder.opened(inbox, RULES) as folder:
        monkeypatch.setattr("common.files.folder.os.stat", stat_and_swap)
        monkeypatch.setattr("common.files.folder.os.open", open_and_hide)
        with pytest.raises(Refused, match="is a link" if part == "file" else "changed while it was read"):
            folder.read("sub/good.md")
    assert looked.is_set()


SWAPS = 3_000
ATTACK = """
import os, sys
target, secret, aside, link, kind = sys.argv[1:]
make = os.link if kind == "hard link" else os.symlink
print("ready", flush=True)
while True:
    os.rename(target, aside)
    make(secret, target)
    os.rename(target, link)
    os.rename(aside, target)
    os.unlink(link)
"""


@pytest.mark.parametrize("part", ["file", "folder", "hard link"])
def test_nobody_wins_a_race_against_the_check(inbox: Path, part: str) -> None:
    """Somebody who may write in the folder swaps a file or folder for a link to a secret, as fast as possible."""
    target, secret = (inbox / "sub", "outside") if part == "folder" else (inbox / "sub" / "good.md", "secret.md")
    paths = [target, inbox.parent / secret, inbox.parent / "aside", inbox.parent / "link"]
    attacker = subprocess.Popen([sys.executable, "-c", ATTACK, *map(str, paths), part], stdout=subprocess.PIPE)
    seen: set[bytes] = set()
    try:
        assert attacker.stdout is not None and attacker.stdout.readline() == b"ready\n"
        with Folder.opened(inbox, RULES) as folder:
            for _ in range(SWAPS):
                for name in ("sub/good.md", "sub/secret.md"):
                    try:
                        seen.add(folder.read(name)[0])
                    except Refused:
                        seen.add(b"refused")
                for item in folder.walk():
                    assert not isinstance(item, Found) or item.relative == "sub/good.md"
        assert attacker.poll() is None
    finally:
        attacker.kill()
        attacker.communicate()
    assert seen == {b"good", b"refused"}
