"""An allowed folder, held open. Nothing outside of it is read, whatever somebody who may write in it does meanwhile.

Each part of a path is opened relative to the one before, and never through a link, so there is no moment between a
check and its use: what was checked is what is open. That needs `openat`, so a POSIX system.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from common.errors import InvalidInput
from common.files.names import HIDDEN, shown, shown_path, unusable
from common.files.refusal import NotThere, Refused

_BLOCK = 1024 * 1024
_PSEUDO = tuple(Path(path) for path in ("/proc", "/sys", "/dev", "/run/secrets"))
_SEARCH = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC if sys.platform != "win32" else 0
# Not to wait for the other end of a pipe that takes the file's place at the last moment.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC if sys.platform != "win32" else 0


@dataclass(frozen=True)
class FileRules:
    """What is taken from a folder. Sizes in bytes."""

    max_bytes: int
    hard_links: bool = False
    """Take files with several names, one of which may be outside."""
    world_writable: bool = False
    """Take what everybody on this machine may write."""
    max_depth: int = 32
    max_files: int = 100_000


class FileState(NamedTuple):
    """What changes when a file changes. Nobody can set `ctime_ns`."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True)
class Found:
    """A file below a folder, as it was when the folder was listed."""

    relative: str
    state: FileState


@dataclass(frozen=True)
class NotTaken:
    """Something below a folder that is not taken, and why. `is_folder`: nothing is known about what is below.

    `relative` is the name as it is on the disk: show it by `shown_path`.
    """

    relative: str
    reason: str
    is_folder: bool = False


class Folder:
    """Files below one folder. Open it by `Folder.opened`."""

    def __init__(self, descriptor: int, rules: FileRules) -> None:
        self._root = descriptor
        self._device = os.fstat(descriptor).st_dev
        self.rules = rules

    @classmethod
    @contextmanager
    def opened(cls, root: Path, rules: FileRules) -> Iterator[Self]:
        """Open a folder that the operator named; links in its own path are followed once. Raises InvalidInput."""
        if sys.platform == "win32":
            raise InvalidInput("Folders can only be read on Linux and macOS.", "Use add_document or the upload page.")
        real = Path(os.path.realpath(root))
        if real == Path("/") or any(real.is_relative_to(pseudo) for pseudo in _PSEUDO):
            raise InvalidInput(f"{root} cannot be a source of documents.", "Name the folder that holds them.")
        try:
            descriptor = os.open(real, _SEARCH)
        except OSError as error:
            raise InvalidInput(f"The folder {root} cannot be opened: {error.strerror}.", "Is it mounted?") from None
        try:
            yield cls(descriptor, rules)
        finally:
            os.close(descriptor)

    def walk(self, below: str = "") -> Iterator[Found | NotTaken]:
        """Every file below a part of the folder, by name; names that begin with `.` or `~` are left out.

        Raises Refused if that part cannot be entered, InvalidInput if there are too many files.
        """
        with ExitStack() as stack:
            descriptor = self._descend(below, stack)
            self._check_folder(os.fstat(descriptor), shown_path(below) or "the folder")
            depth = below.count("/") + 1 if below else 0
            for number, item in enumerate(self._walk(descriptor, below, depth)):
                if number >= self.rules.max_files:
                    hint = "Name smaller folders."
                    raise InvalidInput(f"There are more than {self.rules.max_files:,} files.", hint)
                yield item

    def look(self, relative: str) -> Found | None:
        """The file of this path, or None if there is a folder. Raises Refused for everything else."""
        with ExitStack() as stack:
            parent, name = self._parent(relative, stack)
            status = self._status(parent, name, relative)
            if stat.S_ISDIR(status.st_mode):
                return None
            self._check_file(status, relative)
            return Found(relative, _state(status))

    @contextmanager
    def open(self, relative: str) -> Iterator[tuple[BinaryIO, FileState]]:
        """The open file, checked. Raises Refused with the reason."""
        with ExitStack() as stack:
            parent, name = self._parent(relative, stack)
            expected = self._status(parent, name, relative)
            self._check_file(expected, relative)
            try:
                descriptor = os.open(name, _READ, dir_fd=parent)
            except OSError as error:
                raise _cannot(relative, error) from None
            file = stack.enter_context(os.fdopen(descriptor, "rb"))
            status = os.fstat(descriptor)
            # Had a link taken its place, it could lose its other name before its names are counted.
            if (status.st_dev, status.st_ino) != (expected.st_dev, expected.st_ino):
                raise _changed(relative)
            self._check_file(status, relative)
            yield file, _state(status)

    def read(self, relative: str) -> tuple[bytes, FileState]:
        """The whole file, never more than the limit. Raises Refused with the reason."""
        with self.open(relative) as (file, state):
            self.check_size(relative, state.size)
            data = bytearray()
            while block := file.read(_BLOCK):
                data += block
                self.check_size(relative, len(data))
            self.check_unchanged(relative, file, state)
            if len(data) != state.size:
                raise _changed(relative)
        return bytes(data), state

    def check_unchanged(self, relative: str, file: BinaryIO, state: FileState) -> None:
        """Raises Refused if it changed since it was opened: half of the old and half of the new content is neither."""
        if _state(os.fstat(file.fileno())) != state:
            raise _changed(relative)

    def check_size(self, relative: str, size: int) -> None:
        """Raises Refused for what is too large."""
        limit = self.rules.max_bytes
        if size > limit:
            raise Refused(f"{shown(relative)} is larger than {limit / 1_048_576:.3g} MB: split it, or raise the limit")

    def _walk(self, descriptor: int, prefix: str, depth: int) -> Iterator[Found | NotTaken]:
        try:
            names = sorted(os.listdir(descriptor))
        except OSError as error:
            yield NotTaken(prefix, f"cannot be listed: {error.strerror}", is_folder=True)
            return
        for name in names:
            if HIDDEN.match(name):
                continue
            relative = f"{prefix}/{name}" if prefix else name
            try:
                status = self._status(descriptor, name, relative)
                if not stat.S_ISDIR(status.st_mode):
                    self._check_file(status, relative)
                    yield Found(relative, _state(status))
                    continue
            except Refused as refused:
                yield NotTaken(relative, refused.message)
                continue
            yield from self._walk_below(descriptor, name, relative, depth + 1)

    def _walk_below(self, parent: int, name: str, relative: str, depth: int) -> Iterator[Found | NotTaken]:
        with ExitStack() as stack:
            try:
                if depth > self.rules.max_depth:
                    raise Refused(f"{shown(relative)} is more than {self.rules.max_depth} folders deep")
                descriptor = self._enter(parent, name, relative, stack)
            except Refused as refused:
                yield NotTaken(relative, refused.message, is_folder=True)
                return
            yield from self._walk(descriptor, relative, depth)

    def _parent(self, relative: str, stack: ExitStack) -> tuple[int, str]:
        if reason := unusable(relative):
            raise Refused(f"{shown(relative)} {reason}")
        folder, _, name = relative.rpartition("/")
        return self._descend(folder, stack), name

    def _descend(self, folder: str, stack: ExitStack) -> int:
        descriptor = self._root
        parts = folder.split("/") if folder else []
        if len(parts) > self.rules.max_depth:
            raise Refused(f"{shown(folder)} is more than {self.rules.max_depth} folders deep")
        for part in parts:
            descriptor = self._enter(descriptor, part, folder, stack)
        return descriptor

    def _enter(self, parent: int, name: str, relative: str, stack: ExitStack) -> int:
        if reason := unusable(name):
            raise Refused(f"{shown(name)} {reason}")
        try:
            descriptor = os.open(name, _SEARCH, dir_fd=parent)
        except OSError as error:
            raise _cannot(relative, error) from None
        stack.callback(os.close, descriptor)
        self._check_folder(os.fstat(descriptor), relative)
        return descriptor

    def _status(self, parent: int, name: str, relative: str) -> os.stat_result:
        if reason := unusable(relative):
            raise Refused(f"{shown(relative)} {reason}")
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            raise _cannot(relative, error) from None

    def _check_folder(self, status: os.stat_result, relative: str) -> None:
        if status.st_dev != self._device:
            raise Refused(f"{shown(relative)} is on another file system: name it as a folder of its own")
        self._check_mode(status, relative)

    def _check_file(self, status: os.stat_result, relative: str) -> None:
        if stat.S_ISLNK(status.st_mode):
            raise _link(relative)
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{shown(relative)} is no regular file")
        if status.st_nlink > 1 and not self.rules.hard_links:
            raise Refused(f"{shown(relative)} has {status.st_nlink} names (hard links), maybe outside: copy it instead")
        self._check_mode(status, relative)

    def _check_mode(self, status: os.stat_result, relative: str) -> None:
        if status.st_mode & stat.S_IWOTH and not self.rules.world_writable:
            raise Refused(f"{shown(relative)} may be changed by everybody on this machine: `chmod o-w` it")


def _state(status: os.stat_result) -> FileState:
    return FileState(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _changed(relative: str) -> Refused:
    return Refused(f"{shown(relative)} was changed while it was read: try again")


def _link(relative: str) -> NotThere:
    return NotThere(f"{shown(relative)} is a link: links are not followed, put the file itself there")


def _cannot(relative: str, error: OSError) -> Refused:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):  # ENOTDIR: a link or a file where a folder was expected
        return _link(relative)
    kind = NotThere if error.errno in (errno.ENOENT, errno.ENAMETOOLONG) else Refused
    return kind(f"{shown(relative)} cannot be read: {error.strerror or 'unknown reason'}")
