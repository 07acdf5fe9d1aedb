"""The address that object stores call: not behind sign-in, so its own token is the first thing that is looked at."""

import hmac
import json
from collections.abc import Callable

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from common.request_body import body_up_to
from knowledge_base.bucket_events import BucketEvents, read_events, validation_code

MAX_BYTES = 1024 * 1024
log = structlog.get_logger(__name__)


def bucket_routes(events: BucketEvents, token: Callable[[], str | None]) -> list[BaseRoute]:
    """POST /webhooks/buckets, with the token of KB_BUCKET_EVENTS_TOKEN as bearer; without one it is not there."""

    async def take(request: Request) -> Response:
        expected = token()
        if expected is None:
            return JSONResponse({"error": "unknown"}, 404)
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), expected.encode()):
            log.warning("bucket.notice_refused")
            return JSONResponse({"error": "refused"}, 401)
        body = await body_up_to(request, MAX_BYTES)
        if body is None:
            return JSONResponse({"error": "too large"}, 413)
        try:
            notice = json.loads(body)
            if code := validation_code(notice):
                return JSONResponse({"validationResponse": code})
            read = read_events(notice)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return JSONResponse({"error": "not as documented"}, 400)
        return JSONResponse({"new": await events.take(read)})

    return [Route("/webhooks/buckets", take, methods=["POST"])]
