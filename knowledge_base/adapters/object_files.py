"""Objects in a folder: who replaces one never brings back what somebody erases meanwhile. No lock is needed for it."""

import secrets
import shutil
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Give an object other bytes. Raises FileNotFoundError if it is gone."""
    # A name that the store does not list.
    draft = path.with_name(f"{path.name}#{secrets.randbelow(10**9)}")
    draft.write_bytes(data)
    try:
        # The draft is there before this look: who erases the object after it, removes the draft, too.
        path.stat()
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Whatever is in it, once its objects are deleted: drafts, and parts that a killed writer left."""
    # Twice: a draft may become an object while the first pass is under way, and none can after it.
    for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
