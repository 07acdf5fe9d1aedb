"""compose.yaml, read: its services, and its texts with other places in them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "infra" / "compose"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("triptych-")}
"""In images that we build."""
JOBS = [name for name, service in OURS.items() if service.get("restart") == "no"]
"""They run to their end."""
SERVERS = [name for name, service in OURS.items() if service["command"][0] == "serve"]
SECRETS = "/run/secrets"


def port_of(name: str) -> str:
    """In the container."""
    return str(OURS[name]["build"]["args"]["PORT"])


def mapped(text: str, places: Mapping[str, str]) -> str:
    """With each host:port, and each folder, where it is here."""
    for old in sorted(places, key=len, reverse=True):
        before = r"[\w/.-]" if old.startswith("/") else r"[\w.-]"
        text = re.sub(rf"(?<!{before}){re.escape(old)}(?![\w-])", lambda _: places[old], text)  # noqa: B023
    return text


def mounted(name: str) -> dict[str, Path]:
    """Path in the container -> file or folder of the repository."""
    volumes = (entry.split(":") for entry in SERVICES[name].get("volumes", []))
    return {target: FOLDER / source for source, target, *_ in volumes if source.startswith(".")}
