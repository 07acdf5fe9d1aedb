"""Images without a container engine: what the Dockerfile says, carried out in a folder.

Nothing is downloaded: a folder has links to what this environment has of the image's lock file, and to nothing else.
"""

import functools
import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path, PurePath

from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "infra" / "docker" / "Dockerfile"
BASE_PATH = "/usr/local/bin:/usr/bin:/bin"
"""Of the base image, as far as it is anywhere."""
HOME = "/opt/triptych"
"""Where the environment of an image is."""


@dataclass
class Image:
    """What the last stage of the Dockerfile says."""

    entrypoint: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    health: list[str] = field(default_factory=list)
    folder: str = "/"


def instructions() -> list[tuple[str, str]]:
    """Word and rest of each line."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    lines = (line.strip() for line in text.splitlines())
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line and not line.startswith("#")]


def stage(last: bool) -> list[tuple[str, str]]:
    """Of the last stage, or of the one before it."""
    found = instructions()
    begin = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    return found[begin:] if last else found[:begin]


def filled(text: str, values: Mapping[str, str]) -> str:
    """With ${NAME} and $NAME replaced."""
    return re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda found: values[found[1] or found[2]], text)


def read_image(arguments: Mapping[str, str]) -> Image:
    """With these build arguments."""
    image, known = Image(), {"PATH": BASE_PATH, **arguments}
    for word, rest in stage(last=True):
        if word == "ENV":
            given = dict(part.split("=", 1) for part in shlex.split(rest))
            image.environment |= {name: filled(value, known) for name, value in given.items()}
        elif word == "ENTRYPOINT":
            image.entrypoint = json.loads(rest)
        elif word == "HEALTHCHECK":
            image.health = json.loads(rest.partition("CMD ")[2])
        elif word == "WORKDIR":
            image.folder = rest
    return image


def copied(server: str) -> Iterator[tuple[str, str]]:
    """Source and target of what goes into the build."""
    for word, rest in stage(last=False):
        if word == "COPY":
            *sources, target = filled(rest, {"SERVER": server}).split()
            yield from ((source, f"{target}{source}" if target.endswith("/") else target) for source in sources)


def build_context(folder: Path, server: str) -> None:
    """What the build sees."""
    for source, target in copied(server):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / target, ignore=shutil.ignore_patterns("__pycache__", "secrets"))
        else:
            shutil.copy(ROOT / source, folder / target)


def build_wheel(image: Path, server: str) -> Path:
    """Our own packages, compiled, as the Dockerfile builds them: of what it copies, with this image's own tools."""
    context = image.with_name(f"{image.name}-build")
    context.mkdir()
    build_context(context, server)
    python, folder = image / "bin" / "python", image.with_name("own")
    _run("-m", "hatchling", "build", "-t", "wheel", "-d", str(context / "wheel"), python=python, cwd=context)
    [wheel] = (context / "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    _run("-m", "compileall", "-q", str(folder), python=python)
    return folder


def build_environment(image: Path, server: str) -> None:
    """What the lock file installs, and nothing else."""
    _run("-m", "venv", "--without-pip", str(image), python=Path(sys.executable))
    site = site_packages(image)
    link_locked(ROOT / "infra" / "docker" / f"{server}.lock", site)
    # What was linked file by file has nothing compiled beside it.
    _run("-m", "compileall", "-q", str(site), python=image / "bin" / "python")


def add_own(image: Path, own: Path) -> None:
    """Our packages, and the commands that they bring."""
    site = site_packages(image)
    for each in own.iterdir():
        (site / each.name).symlink_to(each)
    _scripts(site, image / "bin")


def list_parts(image: Path, server: str) -> None:
    """The last step of the build: the bill of materials."""
    lock = str(ROOT / "infra" / "docker" / f"{server}.lock")
    arguments = [str(image / "sbom.cdx.json"), "--lock", lock, "--name", image.name]
    _run("-m", "infra.sbom", *arguments, python=image / "bin" / "python", cwd=image)


def site_packages(image: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(image), "platbase": str(image)}))


def link_locked(lock: Path, site: Path) -> None:
    """Links to the files of the distributions that a lock file names, as far as this platform has them."""
    owners = _owners()
    for name in sorted(set(re.findall(r"(?m)^([A-Za-z0-9._-]+)==", lock.read_text()))):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        for path in _parts(found):
            # A folder that several distributions share is taken apart.
            part = path if owners[path.parts[0]] > 1 else PurePath(path.parts[0])
            target = site / part
            if not target.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(Path(str(found.locate_file(part))))


@functools.cache
def _owners() -> Counter[str]:
    found = {canonicalize_name(each.name): each for each in distributions()}
    return Counter(top for each in found.values() for top in {path.parts[0] for path in _parts(each)})


def _parts(found: Distribution) -> Iterator[PurePath]:
    for path in found.files or ():
        if path.parts[0] != ".." and "__pycache__" not in path.parts:
            yield path


def _scripts(site: Path, folder: Path) -> None:
    [own] = (each for each in distributions(path=[str(site)]) if each.name == "triptych")
    for entry in own.entry_points.select(group="console_scripts"):
        script = folder / entry.name
        script.write_text(
            f"#!{folder / 'python'}\nimport sys\nfrom {entry.module} import {entry.attr}\nsys.exit({entry.attr}())\n"
        )
        script.chmod(0o755)


def _run(*arguments: str, python: Path, cwd: Path | None = None) -> None:
    environment = {"PATH": BASE_PATH, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(cwd or Path.cwd())}
    command = [str(python), *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}"[-3000:])
