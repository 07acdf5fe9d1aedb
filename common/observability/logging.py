"""Structured logs on stderr (stdout belongs to the stdio transport), with request id and subject, redacted."""

import logging
import sys
from typing import Any, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from common.observability.call import request_id
from common.security.principal import current_principal
from common.security.redaction import redact
from common.settings import CommonSettings

MAX_TEXT = 20_000
"""Characters of one field: room for a traceback."""


def _add_caller(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if request_id.get():
        event.setdefault("request_id", request_id.get())
        event.setdefault("subject", current_principal.get().subject)
    return event


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    # Names with an underscore belong to structlog itself.
    own = {key: event.pop(key) for key in list(event) if key.startswith("_")}
    return cast(dict[str, Any], redact(event, max_text=MAX_TEXT)) | own


def configure_logging(settings: CommonSettings) -> None:
    """Send structlog's and the standard library's records through one formatter."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_caller,
        structlog.processors.format_exc_info,
        _redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    console = settings.log_format == "console"
    renderer: Processor = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "fastmcp", "FastMCP", "mcp"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    for name in ("mcp", "fastmcp", "FastMCP", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
