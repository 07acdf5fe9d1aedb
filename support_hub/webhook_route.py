"""The addresses that platforms call: not behind sign-in, so the signature is the first thing that is looked at."""

import time
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from common.errors import Denied
from common.request_body import body_up_to
from support_hub.webhooks import Delivery, Webhooks

MAX_BYTES = 256 * 1024
log = structlog.get_logger(__name__)


def webhook_routes(webhooks: Webhooks, public_url: str) -> list[BaseRoute]:
    """POST /webhooks/{source}."""

    async def take(request: Request) -> Response:
        source = request.path_params["source"]
        if not webhooks.knows(source):
            return JSONResponse({"error": "unknown"}, 404)
        body = await body_up_to(request, MAX_BYTES)
        if body is None:
            return JSONResponse({"error": "too large"}, 413)
        query = f"?{request.url.query}" if request.url.query else ""
        address = f"{public_url.rstrip('/')}{urlsplit(str(request.url)).path}{query}"
        delivery = Delivery(address, dict(request.headers), dict(request.query_params), body)
        try:
            notice = await webhooks.take(source, delivery, time.time())
        except Denied as error:
            log.warning("webhook.refused", source=source, reason=str(error))
            return JSONResponse({"error": "refused"}, 401)
        except (ValueError, KeyError, TypeError, AttributeError, SyntaxError):
            return JSONResponse({"error": "not as documented"}, 400)
        return Response(notice.reply, 200, media_type=notice.reply_type)

    return [Route("/webhooks/{source}", take, methods=["POST"])]
