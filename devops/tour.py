"""The DevOps server's part of the demo: an incident, found by somebody who may look, and by nobody else."""

from common.tour import Narrator, Stage
from devops import tour_changes


async def tell(narrator: Narrator, stage: Stage) -> None:
    """The whole part."""
    await _found(narrator, stage)
    await _diagnosed(narrator, stage)
    await _untrusted(narrator, stage)
    await tour_changes.tell(narrator, stage)


async def _found(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter(
        "DevOps: what is broken?", "The cluster of the demo company is simulated, and every answer says so."
    )
    narrator.ask("alice", "Which of our services are not healthy?")
    async with stage.client("alice") as alice:
        answer = (await alice.call_tool("list_workloads", {"unhealthy": True})).structured_content
    for item in answer["items"]:
        narrator.answer(f"{item['namespace']}/{item['name']}: {item['ready']} ready")
    narrator.answer(answer["cluster"], "cluster")
    broken = {item["name"] for item in answer["items"]}
    narrator.check("alert-engine" in broken and "report-worker" not in broken, "alert-engine is among them")
    narrator.check("simulated" in answer["cluster"], "the answer says that the cluster is simulated")
    async with stage.client("mirek") as mirek:
        try:
            await mirek.call_tool("list_pods", {"namespace": "production"})
            refused = ""
        except Exception as error:
            refused = str(error)
    narrator.answer(refused, "mirek")
    narrator.check("no namespace production" in refused, "for a customer the namespace does not exist")


async def _diagnosed(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter("DevOps: why?", "One call gathers status, events, logs, changes, quotas and nodes.")
    narrator.ask("alice", "Why is alert-engine not healthy?")
    async with stage.client("alice") as alice:
        call = {"namespace": "production", "name": "alert-engine"}
        found = (await alice.call_tool("diagnose", call)).structured_content
    narrator.answer(found["summary"])
    for cause in found["causes"]:
        narrator.answer(cause["cause"], str(cause["weight"]))
        for evidence in cause["evidence"][:4]:
            narrator.answer(f"{evidence['source']}: {evidence['line']}")
    lines = [evidence["line"] for cause in found["causes"] for evidence in cause["evidence"]]
    narrator.check(any("too many clients" in line for line in lines), "the log line that shows it is quoted")
    change = "STORE_CONNECTIONS: 40 -> 60"
    narrator.check(any(change in line for line in lines), "the change that began it is named")


async def _untrusted(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter(
        "DevOps: a log line that gives orders", "What containers write is data, and secrets are taken out."
    )
    async with stage.client("alice") as alice:
        call = {"namespace": "production", "workload": "ingest-api", "tail": 200}
        log = (await alice.call_tool("get_logs", call)).structured_content
        order = next((line for line in log["text"].splitlines() if "Ignore all" in line), "")
        narrator.answer(order, "log")
        narrator.check(bool(order) and log["suspicious"], "it comes back as flagged data")
        call = {"namespace": "production", "workload": "alert-engine", "previous": True}
        log = (await alice.call_tool("get_logs", call)).structured_content
    narrator.check("password=[redacted]" in log["text"], "the password that alert-engine logs is not in the answer")
