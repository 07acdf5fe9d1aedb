"""Files from the visitor's own machine: a form that works as it is, and by drag and drop with a script."""

from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, RedirectResponse, Response

from common.console.forms import read_form, text
from common.console.page import Files, Page, Visit, wants_json
from common.errors import Denied, InvalidInput
from common.security.access import LEVELS, Access
from common.security.principal import Principal
from knowledge_base.console.document import address
from knowledge_base.console.jobs import ADDRESS as JOBS
from knowledge_base.files import SUFFIXES
from knowledge_base.ingest import Outcome
from knowledge_base.library import AccessInput
from knowledge_base.settings import KnowledgeBaseSettings
from knowledge_base.uploads import Upload, Uploads

MAX_FILES = 20
"""Of one form; the script sends each file by itself."""
ROOM = 1024 * 1024
"""Bytes for the other fields of the form."""


def upload_page(uploads: Uploads, settings: KnowledgeBaseSettings) -> Page:
    """The page. The form leads to the page of its job, the script gets what became of its file."""
    files = Files(MAX_FILES, settings.max_file_bytes + ROOM)

    async def upload(visit: Visit) -> Response:
        if visit.request.method != "POST":
            return _form(visit, settings)
        form, who = await read_form(visit.request), visit.principal
        batch, outcomes = await uploads.take(_files(form), who.scope, _access(form, who))
        if wants_json(visit.request):
            return JSONResponse({"job_id": batch, "files": [_answer(outcome) for outcome in outcomes]})
        return RedirectResponse(f"{JOBS}/{batch}", 303)

    methods = frozenset({"GET", "POST"})
    return Page("/upload", "Upload", "console:upload", upload, order=12, methods=methods, recorded=True, files=files)


def _form(visit: Visit, settings: KnowledgeBaseSettings) -> Response:
    who = visit.principal
    levels = [name for name, level in LEVELS.items() if level <= LEVELS[who.clearance]]
    default = settings.default_classification
    return visit.render(
        "upload.html",
        levels=levels,
        default=default if default in levels else levels[-1],
        groups=sorted(who.groups),
        suffixes=SUFFIXES,
        max_files=MAX_FILES,
        max_bytes=settings.max_file_bytes,
        jobs=JOBS,
    )


def _files(form: FormData) -> list[Upload]:
    """Without a choice a browser sends a file without name. Raises InvalidInput."""
    sent = [file for file in form.getlist("files") if isinstance(file, UploadFile) and file.filename]
    if not sent:
        raise InvalidInput("No file came with the form.", "Go back, and choose at least one.")
    return [Upload(str(file.filename), file.size or 0, file.read) for file in sent]


def _access(form: FormData, who: Principal) -> Access:
    """As chosen; the library compares the classification with the person's clearance. Raises InvalidInput, Denied."""
    level = text(form, "classification")
    if level not in LEVELS:
        raise InvalidInput("No classification came with the form.", "Go back, and choose one.")
    groups = {group for group in form.getlist("groups") if isinstance(group, str)}
    if not groups <= who.groups:
        raise Denied("You can share an upload with groups of your own only.", "Share it afterwards by set_access.")
    owners = [who.subject] if form.get("me") else []
    return AccessInput.model_validate({"classification": level, "groups": sorted(groups), "owners": owners}).access


def _answer(outcome: Outcome) -> dict[str, Any]:
    if outcome.accepted is None:
        return {"name": outcome.name, "refused": outcome.refused}
    found = outcome.accepted
    place = {"document_id": found.document_id, "version": found.version, "address": address(found.document_id)}
    return {"name": outcome.name, "unchanged": found.batch is None, **place}
