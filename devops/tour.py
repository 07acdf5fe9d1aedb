"""The DevOps server's part of the demo: an incident, found by somebody who may look, and by nobody else."""

from common.tour import Narrator, Stage


async def tell(narrator: Narrator, stage: Stage) -> None:
    """The whole part."""
    await _found(narrator, stage)


async def _found(narrator: Narrator, stage: Stage) -> None:
    narrator.chapter(
        "DevOps: what is broken?", "The cluster of the demo company is simulated, and every answer says so."
    )
    narrator.ask("alice", "Which of our services are not healthy?")
    async with stage.client("alice") as alice:
        answer = (await alice.call_tool("list_workloads", {"unhealthy": True})).structured_content
    for item in answer["items"]:
        narrator.answer(f"{item['namespace']}/{item['name']} {item['ready']} ready", answer["cluster"])
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
