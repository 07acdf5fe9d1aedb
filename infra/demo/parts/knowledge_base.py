"""The knowledge base in the demo: the company's documents."""

from common.settings import CommonSettings
from infra.demo.part import Part, Safety
from infra.seed.documents import hand_in, load_documents, wait_indexed


async def hand_in_documents(settings: CommonSettings) -> str:
    """Documents are accepted, and indexed by the server."""
    return f"{await hand_in(settings)} new documents"


async def wait_for_index(settings: CommonSettings, within: float) -> None:
    """Until all are searchable."""
    await wait_indexed(settings, within)


part = Part(
    person="alice",
    safety=Safety(
        writer="alice",
        reader="pat",
        hidden="add_document",
        read=("search", {"query": "warranty"}),
        answered=lambda content: [item["citation"] for item in content["items"]],
        wrong=("search", {"query": "warranty"}, "limit", "hunter2"),
        audited="add_document",
    ),
    hand_in=hand_in_documents,
    wait=wait_for_index,
    load=load_documents,
)
