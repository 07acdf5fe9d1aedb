"""Jobs as tasks of the protocol (`io.modelcontextprotocol/tasks`), for clients that have them.

The table of jobs stays the truth. Who declares the extension gets a task instead of the answer of the tool that
starts a job; its id is the job's. What is asked of the task is asked of the server's own tools for jobs, through all
steps of a call: who may, how often and what is recorded is decided there. Only clients of 2026-07-28 can: for older
ones the SDK has no such answer.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastmcp import Context
from fastmcp.exceptions import FastMCPError, NotFoundError
from fastmcp.server.extensions import MethodBinding, ServerExtension, ToolCallContinuation, ToolCallOutcome
from fastmcp.tools.base import ToolResult
from fastmcp.utilities.tasks import TASKS_EXTENSION_ID
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.types import INVALID_PARAMS, CallToolRequestParams, CallToolResult
from mcp_types import RequestParams
from mcp_types.jsonrpc import HEADER_MISMATCH, MISSING_REQUIRED_CLIENT_CAPABILITY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field, RootModel

from common.middleware import REQUEST_FAILED, outcome_of

VERSIONS = frozenset(MODERN_PROTOCOL_VERSIONS)
POLL_MS = 1000
STATUS = {"queued": "working", "running": "working", "cancelled": "cancelled"}
"""Of a task, by the state of its job. A job that ended in any other way has an answer: it says what was refused."""
Request = ServerRequestContext[Any, Any]


class TaskParams(RequestParams):
    """Of tasks/get and tasks/cancel."""

    task_id: str = Field(max_length=100)


class TaskInput(TaskParams):
    """Of tasks/update."""

    input_responses: dict[str, Any]


class Created(RootModel[dict[str, Any]]):
    """What a call gets instead of its answer."""


class JobTasks(ServerExtension):
    """Makes a task of each call of `starts`. Like `get` and `cancel`, which take a `job_id`, it answers with a status:

    `job_id`, `state`, `percent`, `created_at`.
    """

    identifier = TASKS_EXTENSION_ID

    def __init__(self, starts: str, get: str = "get_job", cancel: str = "cancel_job") -> None:
        self._starts, self._get, self._cancel = starts, get, cancel

    def methods(self) -> Sequence[MethodBinding]:
        """See ServerExtension."""
        return [
            MethodBinding("tasks/get", TaskParams, self.get, VERSIONS),
            MethodBinding("tasks/update", TaskInput, self.update, VERSIONS),
            MethodBinding("tasks/cancel", TaskParams, self.cancel, VERSIONS),
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, context: Context, call_next: ToolCallContinuation
    ) -> ToolCallOutcome:
        """See ServerExtension. The job is started as ever; only how that is told differs."""
        answer = await call_next()
        if params.name != self._starts or not _declared(context):
            return answer
        status = answer.structured_content if isinstance(answer, ToolResult) and not answer.is_error else None
        return Created({"resultType": "task", **_task(status)}) if status else answer

    async def get(self, request: Request, params: TaskParams) -> dict[str, Any]:
        """Where the job is, and the answer of `get` once it has ended."""
        answer = await self._ask(request, self._get, params.task_id)
        task = _task(answer.structured_content or {})
        if task["status"] == "completed":
            result = CallToolResult(content=answer.content, structured_content=answer.structured_content)
            task["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        return task

    async def update(self, request: Request, params: TaskInput) -> dict[str, Any]:
        """No job ever asks for anything: an answer is taken and left alone."""
        await self._ask(request, self._get, params.task_id)
        return {}

    async def cancel(self, request: Request, params: TaskParams) -> dict[str, Any]:
        """Withdraw what nobody has begun."""
        await self._ask(request, self._cancel, params.task_id)
        return {}

    async def _ask(self, request: Request, tool: str, task_id: str) -> ToolResult:
        """Raises MCPError."""
        if self.client_settings(request) is None:
            raise MCPError(
                MISSING_REQUIRED_CLIENT_CAPABILITY,
                f"Declare the extension {self.identifier} among the capabilities of each request, or call {tool}.",
                {"requiredCapabilities": {"extensions": {self.identifier: {}}}},
            )
        _check_route(request, task_id)
        try:
            return await self.server.call_tool(tool, {"job_id": task_id})
        except (FastMCPError, NotFoundError) as error:
            if outcome_of(error.__cause__ or error) in ("not_found", "unknown"):
                # The same for what is not there, is somebody else's, or policy hides.
                raise MCPError(INVALID_PARAMS, f"You have no task {task_id}.") from error
            raise MCPError(REQUEST_FAILED, str(error)) from error


def _declared(context: Context) -> bool:
    request = context.request_context
    return (
        request is not None
        and request.protocol_version in VERSIONS
        and context.client_extension_settings(TASKS_EXTENSION_ID) is not None
    )


def _check_route(request: Request, task_id: str) -> None:
    """What a balancer may have routed by is what the body says."""
    headers: Mapping[str, str] = getattr(request.request, "headers", {})
    named = headers.get(MCP_NAME_HEADER)
    if named is not None and decode_header_value(named) != task_id:
        raise MCPError(HEADER_MISMATCH, f"{MCP_NAME_HEADER} and the body's taskId name different tasks")


def _task(status: Mapping[str, Any]) -> dict[str, Any]:
    """The job's status in the protocol's words. Jobs are kept, so a task has no end of its own."""
    return {
        "taskId": status["job_id"],
        "status": STATUS.get(status["state"], "completed"),
        "statusMessage": f"{status['state']}, {status['percent']:g}% done",
        "createdAt": status["created_at"],
        "lastUpdatedAt": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }
