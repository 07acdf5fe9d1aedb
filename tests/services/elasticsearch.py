"""A real Elasticsearch node: its own jars in a Java process of the tests, on a free loopback port."""

import contextlib
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.services import elasticsearch_build

REMEDY = "install Maven (Debian: apt install maven), or TEST_ELASTICSEARCH_URL=http://..."
START_SECONDS = 180.0
FLAGS = [
    "-Xms256m",
    "-Xmx512m",
    "-XX:MaxDirectMemorySize=256m",
    "-XX:+UseSerialGC",
    # The tests are over before the better compiler would pay.
    "-XX:TieredStopAtLevel=1",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false",
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dlog4j2.disable.jmx=true",
    "-Dlog4j2.level=WARN",
    "-Djava.awt.headless=true",
    "-Dio.netty.noUnsafe=true",
    "-Dio.netty.noKeySetOptimization=true",
]


class ElasticsearchNode:
    """A process; its data is in a folder of its own."""

    def __init__(self, folder: Path, *settings: str, flags: list[str] = FLAGS) -> None:
        home = elasticsearch_build.home()
        command = [str(elasticsearch_build.java()), *flags, f"-Des.nativelibs.path={home / 'native'}"]
        command += ["-cp", elasticsearch_build.class_path(home / "lib"), "LocalNode", str(home), str(folder), *settings]
        self._ports = folder / "logs" / "http.ports"
        self._output = folder / "output.log"
        folder.mkdir(parents=True, exist_ok=True)
        self._ports.unlink(missing_ok=True)
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)

    def ready(self) -> str:
        """The URL, once it answers. Raises RuntimeError with the end of its log."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError, IndexError):
                url = f"http://{self._ports.read_text().split()[0]}"
                urllib.request.urlopen(f"{url}/_cluster/health?wait_for_status=green&timeout=10s", timeout=20).close()  # noqa: S310
                return url
            time.sleep(0.05)
        raise RuntimeError(f"Elasticsearch did not start: {self._output.read_text(errors='replace')[-500:]}")

    def stop(self) -> None:
        """It ends with its standard input."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start() -> Iterator[str]:
    """Yields its URL."""
    with tempfile.TemporaryDirectory(prefix="elasticsearch-") as folder:
        node = ElasticsearchNode(Path(folder))
        try:
            yield node.ready()
        finally:
            node.stop()
