"""Ingest jobs: those of the visitor, or for an administrator all of the tenant."""

from starlette.responses import JSONResponse, Response

from common.console.page import HOME, Page, Visit
from common.errors import NotFound
from common.jobs import JobQueue, Progress
from knowledge_base.answers import iso, job_status

ADDRESS = f"{HOME}/jobs"
EVERYBODYS = "console:everybodys-jobs"
SHOWN = 50
MAX_ID = 36


def jobs_page(queue: JobQueue) -> Page:
    """The newest batches."""

    async def jobs(visit: Visit) -> Response:
        who = visit.principal
        everybody = visit.runtime.policy.allows(who, EVERYBODYS)
        found = await queue.newest(who.tenant, None if everybody else who.subject, SHOWN)
        return visit.render(
            "jobs.html",
            address=ADDRESS,
            batches=[(job_status(batch), batch.subject, iso(batch.created)) for batch in found],
            everybody=everybody,
            shown=SHOWN,
            is_running=any(not batch.complete for batch in found),
        )

    return Page("/jobs", "Jobs", "console:jobs", jobs, order=13)


def job_page(queue: JobQueue) -> Page:
    """One batch. That of somebody else is not found, as if it did not exist."""

    async def job(visit: Visit) -> Response:
        found = await _found(visit, queue)
        return visit.render(
            "job.html", address=ADDRESS, job=job_status(found), subject=found.subject, created=iso(found.created)
        )

    return Page("/jobs/{id}", "Job", "console:jobs", job, in_nav=False)


def progress_page(queue: JobQueue) -> Page:
    """The same for scripts, as JSON: what get_job answers."""

    async def progress(visit: Visit) -> Response:
        return JSONResponse(job_status(await _found(visit, queue)).model_dump())

    return Page("/jobs/{id}/progress", "Progress", "console:jobs", progress, in_nav=False)


async def _found(visit: Visit, queue: JobQueue) -> Progress:
    batch = visit.request.path_params["id"]
    found = await queue.progress(batch) if len(batch) <= MAX_ID else None
    if found is None or not _may_see(visit, found):
        raise NotFound("There is no such job that you may see.", "It may be somebody else's: see your own jobs.")
    return found


def _may_see(visit: Visit, batch: Progress) -> bool:
    who = visit.principal
    is_own = batch.subject == who.subject or visit.runtime.policy.allows(who, EVERYBODYS)
    return batch.tenant == who.tenant and is_own
