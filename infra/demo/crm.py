"""The simulated CRM platforms of the demo, as a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

WEBHOOK_TOKEN = "demo-outbound-messages"  # noqa: S105 - of simulated servers on loopback


def support_settings(announced: Mapping[str, Any]) -> dict[str, str]:
    """SUPPORT_* for the platforms that `triptych crm` announced."""
    given = announced["credentials"]
    return {
        "SUPPORT_SALESFORCE_URL": announced["salesforce"],
        "SUPPORT_SALESFORCE_CLIENT_ID": given["salesforce"]["client_id"],
        "SUPPORT_SALESFORCE_CLIENT_SECRET": given["salesforce"]["client_secret"],
        "SUPPORT_SALESFORCE_ORGANIZATION_ID": given["salesforce"]["organization_id"],
        "SUPPORT_SALESFORCE_WEBHOOK_TOKEN": WEBHOOK_TOKEN,
        "SUPPORT_HUBSPOT_URL": announced["hubspot"],
        "SUPPORT_HUBSPOT_TOKEN": given["hubspot"]["access_token"],
        "SUPPORT_HUBSPOT_CLIENT_SECRET": given["hubspot"]["client_secret"],
        "SUPPORT_ZENDESK_URL": announced["zendesk"],
        "SUPPORT_ZENDESK_CLIENT_ID": given["zendesk"]["client_id"],
        "SUPPORT_ZENDESK_CLIENT_SECRET": given["zendesk"]["client_secret"],
        "SUPPORT_ZENDESK_WEBHOOK_SECRET": given["zendesk"]["webhook_secret"],
    }


@contextlib.contextmanager
def running_crm(data_dir: Path) -> Iterator[dict[str, str]]:
    """SUPPORT_* of simulated platforms that run while the context lasts. Raises RuntimeError if they do not start."""
    log = data_dir / "logs" / "crm.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own program, no shell
            [sys.executable, "-m", "infra.cli", "crm"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            env=os.environ,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulated CRM servers did not start; see {log}")
        yield support_settings(json.loads(line))
    finally:
        process.terminate()
        process.wait(15)
