"""Requests to a Kubernetes API server, by the official client's connections and credentials.

Answers stay JSON: typed lists cost three times as much. Reading and writing adapters share this module.
"""

import asyncio
import copy
import json
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import AppError, Conflict, Denied, InvalidInput, NotFound, SettingsError, Unavailable
from common.observability.traces import step
from common.resilience.deadline import remaining
from common.resilience.retry import retry_after as seconds_of
from common.security.principal import ANONYMOUS, current_principal

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient

JSON = "application/json"
POOL_SIZE = 20
MAX_STREAMS = 500
CONNECT_SECONDS = 10.0
MAX_REASON = 500
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
AGENT = "triptych-devops"
"""How the cluster's own audit log names this server."""


class KubernetesApi:
    """One cluster. `context` None means the kubeconfig's current one; `in_cluster` uses the pod's own account."""

    def __init__(
        self,
        kubeconfig: Path | None,
        context: str | None,
        in_cluster: bool = False,
        timeout_seconds: float = 10.0,
        impersonate: bool = False,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._in_cluster = in_cluster
        self._timeout = timeout_seconds
        self._impersonate = impersonate
        self._client: ApiClient | None = None
        self._streams: ApiClient | None = None
        """Connections of their own, so that what stays open takes none from what is asked and answered."""

    async def open(self) -> None:
        """Read credentials. Raises SettingsError."""
        from kubernetes.aio import client, config

        configuration = client.Configuration()
        configuration.connection_pool_maxsize = POOL_SIZE
        try:
            if self._in_cluster:
                config.load_incluster_config(configuration)
            else:
                file = str(self._kubeconfig) if self._kubeconfig else None
                await config.load_kube_config(file, self._context, configuration, persist_config=False)
        except (config.ConfigException, OSError, TypeError) as error:
            raise SettingsError(f"DEVOPS_KUBECONFIG or DEVOPS_CONTEXTS cannot be used: {error}") from None
        self._client = client.ApiClient(configuration)
        configuration = copy.copy(configuration)
        configuration.connection_pool_maxsize = MAX_STREAMS
        self._streams = client.ApiClient(configuration)

    async def close(self) -> None:
        for each in (self._client, self._streams):
            if each is not None:
                await each.close()

    async def get(self, path: str, params: Sequence[tuple[str, str]] = (), accept: str = JSON) -> bytes:
        """GET; the body."""
        return await self.request("GET", path, params, accept=accept)

    async def request(
        self,
        method: str,
        path: str,
        params: Sequence[tuple[str, str]] = (),
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> bytes:
        """One request within the caller's deadline; raises AppError."""
        from aiohttp import ClientError

        seconds = remaining(self._timeout)
        try:
            with step("cluster", request_name(method, path, params)):
                async with asyncio.timeout(seconds):
                    return await self._send(method, path, params, body, content_type, accept)
        except TimeoutError:
            raise Unavailable(f"The cluster did not answer within {seconds:.0f} s.", "Try again later.") from None
        except (ClientError, OSError) as error:
            name = type(error).__name__
            raise Unavailable(
                f"The cluster cannot be reached ({name}).", "Ask the operator; try again later."
            ) from None

    async def lines(
        self, path: str, params: Sequence[tuple[str, str]], max_line: int, accept: str = JSON
    ) -> AsyncGenerator[bytes, None]:
        """GET what does not end by itself, line by line; of a longer line the rest is dropped. Raises AppError."""
        from aiohttp import ClientError, ClientTimeout

        if self._streams is None:
            raise RuntimeError("open the API first")
        endless = ClientTimeout(total=None, connect=CONNECT_SECONDS)
        try:
            answer = await self._ask(self._streams, "GET", path, params, None, JSON, accept, endless)
            async with answer.response as response:
                if response.status >= 400:
                    raise _error(response.status, await response.read(), response.headers.get("Retry-After"))
                async for line in split(response.content.iter_any(), max_line):
                    yield line
        except (ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"The connection to the cluster broke ({type(error).__name__}).") from None

    async def _send(
        self, method: str, path: str, params: Sequence[tuple[str, str]], body: Any, content_type: str, accept: str
    ) -> bytes:
        if self._client is None:
            raise RuntimeError("open the API first")
        answer = await self._ask(self._client, method, path, params, body, content_type, accept, self._timeout)
        content: bytes = await answer.read()
        if answer.status >= 400:
            raise _error(answer.status, content, answer.headers.get("Retry-After"))
        return content

    async def _ask(
        self,
        client: "ApiClient",
        method: str,
        path: str,
        params: Sequence[tuple[str, str]],
        body: Any,
        content_type: str,
        accept: str,
        limit: Any,
    ) -> Any:
        from multidict import CIMultiDict
        from yarl import URL

        signed: dict[str, str] = {}
        await client.update_params_for_auth(signed, [], ["BearerToken"], path, method, None)
        headers = CIMultiDict({"Accept": accept, "Content-Type": content_type, "User-Agent": AGENT, **signed})
        for name, value in self._impersonation():
            headers.add(name, value)
        url = URL(client.configuration.host + path).with_query(list(params))
        return await client.rest_client.request(method, str(url), headers=headers, body=body, _request_timeout=limit)

    def _impersonation(self) -> list[tuple[str, str]]:
        """The caller as the cluster's own RBAC knows people: subject and groups."""
        if not self._impersonate:
            return []
        principal = current_principal.get()
        if principal == ANONYMOUS:
            raise Denied("Nobody is signed in, so there is nobody to act as.")
        names = [principal.subject, *sorted(principal.groups)]
        if any(name.startswith("system:") for name in names):
            raise Denied("Names that begin with `system:` belong to the cluster; nobody acts as one.")
        groups = [("Impersonate-Group", group) for group in names[1:]]
        return [("Impersonate-User", principal.subject), *groups]


def request_name(method: str, path: str, params: Sequence[tuple[str, str]] = ()) -> str:
    """What is asked, as RBAC words it: verb and resource, without the names of objects."""
    group, _, rest = path.strip("/").removeprefix("apis/").partition("/")
    parts = rest.split("/")[1:]
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    resource = parts[0] if group == "api" else f"{parts[0]}.{group}"
    below = f"/{parts[2]}" if len(parts) > 2 else ""
    verb = VERBS.get(method, method) if method != "GET" or len(parts) > 1 else "list"
    return f"{verb} {resource}{below}{' (dry run)' if ('dryRun', 'All') in params else ''}"


async def split(chunks: AsyncIterable[bytes], max_line: int) -> AsyncGenerator[bytes, None]:
    """Lines of what comes in pieces; memory is bounded by a piece and a line."""
    rest = b""
    async for chunk in chunks:
        *lines, last = chunk.split(b"\n")
        for line in lines:
            yield (rest + line)[:max_line]
            rest = b""
        rest = (rest + last)[:max_line]
    if rest:
        yield rest


def _error(status: int, content: bytes, retry_after: str | None) -> AppError:
    try:
        reason = str(json.loads(content).get("message", ""))[:MAX_REASON]
    except (ValueError, AttributeError):
        reason = f"HTTP {status}"
    if status == 401:
        return Unavailable("The cluster does not accept this server's credentials.", "Ask the operator to renew them.")
    if status == 403:
        return Denied(f"The cluster refuses that: {reason}", "The rights that are needed are in docs/devops.md.")
    if status == 404:
        return NotFound(f"That is not there: {reason}")
    if status == 409:
        return Conflict(f"The cluster refuses that: {reason}", "Read the object again, then decide.")
    if status == 410:
        return InvalidInput("The list has moved on since that page.", "Call without a cursor to start again.")
    if status == 429 or status >= 500:
        wait = seconds_of(retry_after)
        return Unavailable(f"The cluster is not able to answer: {reason}", retry_after=1.0 if wait is None else wait)
    return InvalidInput(f"The cluster does not understand that: {reason}")
