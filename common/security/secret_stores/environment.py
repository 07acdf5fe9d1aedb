"""Secrets of the process's own surroundings: files of a folder such as /run/secrets, or variables."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from common.security.secrets import Secret, SecretUnavailable


class EnvironmentSecrets:
    """`secret://db/main#password` is the file db/main (JSON) or db/main/password, or SECRET_DB_MAIN_PASSWORD."""

    name = "env"

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, path: str) -> Secret:
        """See SecretStore."""
        file = self._file(path)
        if file is not None and (secret := _read(file)):
            return secret
        start = re.sub(r"[^A-Z0-9]", "_", f"SECRET_{path}".upper())
        found = {
            name.removeprefix(start).removeprefix("_").lower(): value
            for name, value in os.environ.items()
            if name == start or name.startswith(f"{start}_")
        }
        if not found:
            where = f" and no file {file}" if file else " (TRIPTYCH_SECRETS_DIR would name a folder of files)"
            raise SecretUnavailable(f"there is no variable {start}{where}")
        return Secret(found, "environment")

    def previous(self, path: str) -> Secret | None:
        """See SecretStore."""
        return None

    def write(self, path: str, values: Mapping[str, str], expected: str) -> None:
        """See SecretStore."""
        file = self._file(path)
        before = _read(file) if file else None
        if file is None or before is None or not file.is_file():
            raise SecretUnavailable("variables and mounted folders cannot be changed from here")
        if before.version != expected:
            raise SecretUnavailable("it was changed meanwhile: try again")
        draft = file.with_name(f".{file.name}.draft")
        draft.unlink(missing_ok=True)
        draft.touch(0o600)
        draft.write_text(values[""] if set(values) == {""} else json.dumps(dict(values)))
        draft.replace(file)

    def _file(self, path: str) -> Path | None:
        if ".." in path.split("/"):
            raise SecretUnavailable("a path does not go upwards")
        return self._folder / path if self._folder else None


def _read(file: Path) -> Secret | None:
    """None if there is no such file."""
    try:
        if not file.exists():
            return None
        if file.is_dir():
            parts = [part for part in file.iterdir() if part.is_file() and not part.name.startswith(".")]
            version = max((part.stat().st_mtime_ns for part in parts), default=0)
            return Secret({part.name: part.read_text().strip() for part in parts}, str(version))
        version = file.stat().st_mtime_ns
        return Secret(fields_of(file.read_text().strip()), str(version))
    except (OSError, UnicodeDecodeError) as error:
        raise SecretUnavailable(f"the file cannot be read ({type(error).__name__})") from None


def fields_of(text: str) -> dict[str, str]:
    """Fields of a JSON object, and under the empty name the text itself."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    fields = {"": text}
    if isinstance(found, dict):
        fields |= {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}
    return fields
