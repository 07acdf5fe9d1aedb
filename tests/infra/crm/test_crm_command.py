"""`triptych crm` as somebody types it."""

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import requests

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "infra.cli", "crm"]


def test_it_prints_one_line_serves_and_ends(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--data-dir", str(tmp_path / "crm"), "--latency", "0.2"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        assert process.stdout
        line = json.loads(process.stdout.readline())
        assert line["simulated"] is True and set(line["credentials"]) == {"salesforce", "hubspot", "zendesk"}
        assert all(line[name].startswith("http://127.0.0.1:") for name in line["credentials"])
        headers = {"Authorization": f"Bearer {line['credentials']['hubspot']['access_token']}"}
        answer = requests.get(f"{line['hubspot']}/account-info/v3/details", headers=headers, timeout=30)
        assert answer.status_code == 200 and answer.elapsed.total_seconds() >= 0.2
        key = Path(line["credentials"]["salesforce"]["private_key_file"])
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        truth = (tmp_path / "crm" / "ground-truth.jsonl").read_text().splitlines()
        assert {json.loads(text)["kind"] for text in truth} == {"person", "mirror", "injection"}
    finally:
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=20)[0]
    assert process.returncode == 0 and rest == ""


def test_help_teaches() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert "--port-base" in done.stdout and "__control/faults" in done.stdout and "Example:" in done.stdout
