"""Jobs that were given up: why, and a button that lets them be tried again."""

from starlette.responses import RedirectResponse, Response

from common.console.forms import read_form, text
from common.console.page import HOME, Page, Visit
from common.errors import NotFound
from common.jobs import JobQueue
from common.jobs.intake import Intake
from common.security.untrusted import untrusted
from knowledge_base.answers import iso

ADDRESS = f"{HOME}/dead-letters"
SHOWN = 100
MAX_ID = 36


def dead_letters_page(queue: JobQueue, intake: Intake) -> Page:
    """The page; replaying leads back to it."""

    async def letters(visit: Visit) -> Response:
        if visit.request.method == "POST":
            return await _replay(visit, queue, intake)
        found = await queue.dead_letters(visit.principal.tenant, SHOWN)
        rows = [(letter.job, untrusted(letter.error, 500).text, iso(letter.at)) for letter in found]
        replayed = visit.request.query_params.get("replayed", "")
        return visit.render(
            "dead_letters.html",
            address=ADDRESS,
            letters=rows,
            shown=SHOWN,
            replayed=int(replayed) if replayed.isascii() and replayed.isdigit() and len(replayed) < 4 else None,
        )

    methods = frozenset({"GET", "POST"})
    return Page("/dead-letters", "Dead letters", "console:dead-letters", letters, 14, methods=methods, recorded=True)


async def _replay(visit: Visit, queue: JobQueue, intake: Intake) -> Response:
    """One, or all that the page shows. Those of other tenants are not found."""
    tenant, wanted = visit.principal.tenant, text(await read_form(visit.request), "job")
    if wanted:
        letter = await queue.dead_letter(wanted) if len(wanted) <= MAX_ID else None
        ids = [wanted] if letter and letter.job.tenant == tenant else []
    else:
        ids = [letter.job.id for letter in await queue.dead_letters(tenant, SHOWN)]
    count = await queue.replay(ids) if ids else 0
    if not count:
        raise NotFound("There is no such dead letter.", "Somebody may have replayed it: see the list.")
    await intake.announce(count)
    return RedirectResponse(f"{ADDRESS}?replayed={count}", 303)
