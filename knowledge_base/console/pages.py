"""Which pages there are, and who may see them (policies/console.cedar)."""

from pathlib import Path

from common.console.page import Page
from knowledge_base.bootstrap import KnowledgeBase
from knowledge_base.console.browse import browse_page
from knowledge_base.console.compare import compare_page
from knowledge_base.console.dead_letters import dead_letters_page
from knowledge_base.console.document import document_page
from knowledge_base.console.jobs import job_page, jobs_page, progress_page
from knowledge_base.console.playground import playground_page
from knowledge_base.console.upload import upload_page

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"


def pages(knowledge_base: KnowledgeBase) -> list[Page]:
    """All of them."""
    library, queue = knowledge_base.library, knowledge_base.queue
    return [
        browse_page(library),
        document_page(library),
        compare_page(library),
        playground_page(knowledge_base.search),
        jobs_page(queue),
        job_page(queue),
        progress_page(queue),
        dead_letters_page(queue, library.intake),
        upload_page(knowledge_base.uploads, knowledge_base.settings),
    ]
