"""`triptych` as somebody types it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.env_example import render

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TRIPTYCH_", "KB_", "DEVOPS_", "SUPPORT_"))
    }
    return {**kept, "TRIPTYCH_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "200", "PYTHONPATH": str(ROOT)}


def triptych(environment: dict[str, str], *arguments: str, code: int = 0) -> str:
    """Standard output of a command; on another exit code than expected, the test fails with all output."""
    command = [sys.executable, "-m", "infra.cli", *arguments]
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=environment["TRIPTYCH_DATA_DIR"].rsplit("/", 1)[0],
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + (done.stderr if code else "")


def test_help_teaches(environment: dict[str, str]) -> None:
    text = triptych(environment, "--help")
    for command in ("serve", "ingest", "token", "keys", "audit", "doctor", "connect", "demo", "seed", "evals", "ask"):
        assert command in text
    assert "triptych serve knowledge-base" in triptych(environment, "serve", "--help")


def test_keys_live_and_die(environment: dict[str, str]) -> None:
    made = json.loads(triptych(environment, "keys", "create", "--owner", "alice", "--role", "editor", "--json"))
    assert made["key"].startswith("tk_") and made["roles"] == ["editor"] and "hash" not in made
    successor = json.loads(triptych(environment, "keys", "rotate", made["id"], "--json"))
    triptych(environment, "keys", "revoke", successor["id"])
    states = {key["id"]: key["state"] for key in json.loads(triptych(environment, "keys", "list", "--json"))}
    assert states == {made["id"]: "active", successor["id"]: "revoked"}
    secret = made["key"].split("_", 2)[2]
    stored = (Path(environment["TRIPTYCH_DATA_DIR"]) / "api-keys.json").read_text()
    assert secret not in stored and secret not in triptych(environment, "keys", "list")
    assert "There is no key" in triptych(environment, "keys", "revoke", "nothing", code=2)


def test_a_wrong_setting_stops_the_start_and_is_named(environment: dict[str, str]) -> None:
    unknown = {**environment, "KB_EMBEDER": "onnx"}
    assert "did you mean KB_EMBEDDER" in triptych(unknown, "serve", "knowledge-base", code=2)
    wrong = {**environment, "TRIPTYCH_PROFILE": "productive"}
    assert "TRIPTYCH_PROFILE" in triptych(wrong, "serve", "knowledge-base", code=2)
    production = {**environment, "TRIPTYCH_PROFILE": "production"}
    assert "TRIPTYCH_SIGNING_KEY is required" in triptych(production, "serve", "knowledge-base", code=2)


def test_development_tokens_are_for_the_embedded_profile(environment: dict[str, str]) -> None:
    token = triptych(
        environment, "token", "--sub", "alice", "--role", "approver", "--group", "eng", "--clearance", "confidential"
    )
    assert token.count(".") == 2
    production = {**environment, "TRIPTYCH_PROFILE": "production", "TRIPTYCH_SIGNING_KEY": "k" * 40}
    assert "embedded profile" in triptych(production, "token", "--sub", "alice", code=2)


def test_ingest_says_what_was_refused_and_exits_accordingly(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "tea.md").write_text("# Tea\n\nOolong at 90 degrees.")
    lines = [
        {
            "id": "mug",
            "title": "Mug",
            "text": "A mug holds tea.",
            "metadata": {"year": 2026},
            "access": {"classification": "public"},
        }
    ]
    (folder / "more.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "ingest", str(folder), "--classification", "confidential"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0 and "2 searchable, 0 unchanged, 0 refused" in done.stderr
    (folder / "bad.docx").write_bytes(b"\x7fELF")
    (folder / "more.jsonl").write_text("not json\n" + json.dumps(lines[0]))
    again = triptych(environment, "ingest", str(folder), code=1)  # without saying who may read
    assert "0 searchable, 2 unchanged, 2 refused" in again
    assert "bad.docx" in again and "more.jsonl line 1" in again
    records = triptych(environment, "audit", "tail", "--action", "cli:ingest", "--json")
    assert '"unchanged": 2' in records and "bad.docx" in records


def test_a_folder_is_synced_after_a_dry_run(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    for number in range(3):
        (folder / f"tea-{number}.md").write_text(f"# Tea {number}\n\nOolong.")
    sync = ("ingest", str(folder), "--sync")
    # A wrong exit code prints what was said.
    assert "would add tea-0.md" in said(environment, *sync, "--dry-run")
    assert "3 added, 0 changed, 0 unchanged, 0 gone, 0 refused" in said(environment, *sync)
    (folder / "tea-0.md").unlink()
    assert "0 added, 0 changed, 2 unchanged, 1 gone, 0 refused" in said(environment, *sync)
    (folder / "tea-1.md").unlink()
    (folder / "tea-2.md").unlink()
    assert "Is it mounted?" in triptych(environment, *sync, code=2)


def said(environment: dict[str, str], *arguments: str) -> str:
    """What a successful command says to the person."""
    command = [sys.executable, "-m", "infra.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return done.stderr


@pytest.mark.slow
def test_a_watched_folder_is_followed_until_ctrl_c(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "tea.md").write_text("# Tea")
    command = [sys.executable, "-m", "infra.cli", "ingest", str(folder), "--watch"]
    watching = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert watching.stderr is not None
    try:
        for expected, name in (("1 added", "more.md"), ("add more.md", "last.md"), ("add last.md", "")):
            while expected not in (line := watching.stderr.readline()):
                assert line, "it ended"
            if name:
                (folder / ".new").write_text(f"# {name}")
                (folder / ".new").rename(folder / name)
        watching.send_signal(signal.SIGINT)
        rest = watching.communicate(timeout=30)[1]
        assert watching.returncode == 0 and "Traceback" not in rest
    finally:
        watching.kill()
        watching.communicate()


def test_connect_writes_a_project_file_and_keeps_what_is_there(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / ".mcp.json"
    file.write_text(json.dumps({"mcpServers": {"other": {"command": "x"}}}))
    triptych(environment, "connect", "claude-code", "--write", "--key", "tk_1_2")
    servers = json.loads(file.read_text())["mcpServers"]
    assert set(servers) == {"other", "triptych"} and servers["triptych"]["headers"]["Authorization"] == "Bearer tk_1_2"
    file.write_text("{")
    assert "not JSON" in triptych(environment, "connect", "claude-code", "--write", code=2)
    assert file.read_text() == "{"


@pytest.mark.parametrize("client", ["claude-code", "claude-desktop", "cursor", "vscode", "json"])
def test_connect_prints_valid_json(environment: dict[str, str], client: str) -> None:
    assert "tk_1_2" in json.dumps(json.loads(triptych(environment, "connect", client, "--key", "tk_1_2")))


def test_doctor_says_what_to_do(environment: dict[str, str]) -> None:
    assert "triptych keys create" in triptych(environment, "doctor", code=1)
    triptych(environment, "keys", "create", "--owner", "alice")
    assert "catalogue, index and embedder answer" in triptych(environment, "doctor")


def test_env_example_is_what_the_settings_say() -> None:
    assert (ROOT / ".env.example").read_text() == render()


@pytest.mark.parametrize("server", ["knowledge_base.server", "devops.server"])
def test_importing_a_server_loads_no_driver(server: str) -> None:
    heavy = (
        "lancedb",
        "elasticsearch",
        "markitdown",
        "onnxruntime",
        "tokenizers",
        "pyarrow",
        "pandas",
        "obstore",
        "boto3",
        "kubernetes",
        *(["aiohttp"] if server == "knowledge_base.server" else []),
    )
    program = f"import sys, {server}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
