"""Calls of one account and region. boto3 blocks, so they run in threads, within the time that the caller has.

With a role, AWS sees who asked: the role's session bears the caller's name, and its credentials are the caller's alone.
"""

import asyncio
import hashlib
import math
import random
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from common.errors import RateLimited, Unavailable
from common.observability.traces import step
from common.resilience.deadline import ends_at
from common.security.principal import current_principal
from devops.adapters.aws_errors import CREDENTIALS, DRY_RUN, no_answer, refusal
from devops.cloud.settings import AwsAccount

MAX_AT_ONCE = 8
MAX_PEOPLE = 64
"""For how many callers credentials and connections are kept."""
CONNECT_SECONDS = 3.0
READ_TRIES = 3
PAUSE_SECONDS = 0.05
SESSION_SECONDS = 900
"""How long credentials of a role last: the least that AWS allows."""
MARGIN_SECONDS = 60.0
AGENT = "triptych"


@dataclass
class Acting:
    """Credentials until a moment, and the clients made with them."""

    keys: Mapping[str, str] = field(repr=False)
    until: float = math.inf
    clients: dict[str, Any] = field(default_factory=dict)


class AwsSession:
    """Makes the calls of an account. Keys come from AWS's own chain or from a role, never from our settings."""

    def __init__(self, name: str, account: AwsAccount, endpoint_url: str | None, timeout_seconds: float) -> None:
        self.name = name
        self.region = account.region
        self._account = account
        self._endpoint_url = endpoint_url
        self._timeout = timeout_seconds
        self._people: OrderedDict[str, Acting] = OrderedDict()
        self._lock = threading.Lock()
        self._session: Any = None
        self._threads = ThreadPoolExecutor(MAX_AT_ONCE, thread_name_prefix=f"aws-{name}")

    async def read(self, service: str, action: str, /, **arguments: Any) -> dict[str, Any]:
        """A call that changes nothing; tried again a few times. Raises NotFound, Denied, InvalidInput, Unavailable."""
        return await self._call(service, action, False, arguments)

    async def write(self, service: str, action: str, /, **arguments: Any) -> dict[str, Any]:
        """A call that changes something; sent once. Any error but Unavailable says that nothing was changed."""
        return await self._call(service, action, True, arguments)

    async def close(self) -> None:
        """What runs comes to its own end; nothing new begins."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, service: str, action: str, write: bool, arguments: dict[str, Any]) -> dict[str, Any]:
        until = ends_at(self._timeout)
        who = session_name(current_principal.get().subject) if self._account.role_arn else ""
        running = asyncio.get_running_loop().run_in_executor(
            self._threads, self._blocking, who, service, action, write, arguments, until
        )
        try:
            with step("cloud", f"{service} {action}"):
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    return await running
        except TimeoutError:
            raise Unavailable(f"{self.name} does not answer in time.", "Ask for less, or try again later.") from None

    def _blocking(
        self, who: str, service: str, action: str, write: bool, arguments: dict[str, Any], until: float
    ) -> dict[str, Any]:
        # What may have been done is never sent again.
        tries = 1 if write else READ_TRIES
        for attempt in range(1, tries + 1):
            try:
                return self._once(who, service, action, arguments, until)
            except (RateLimited, Unavailable):
                pause = PAUSE_SECONDS * 2**attempt * (0.5 + random.random())  # noqa: S311 - not a secret
                if attempt == tries or time.monotonic() + pause >= until:
                    raise
                time.sleep(pause)
        raise AssertionError("unreachable")

    def _once(self, who: str, service: str, action: str, arguments: dict[str, Any], until: float) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            client = self._client(who, service, until)
            # What waited for a thread for too long is not sent at all: its caller is gone.
            self._in_time(until)
            answer: dict[str, Any] = getattr(client, action)(**arguments)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code == DRY_RUN:
                return {}
            if code in CREDENTIALS:
                self._forget(who)
            raise refusal(self.name, f"{service}:{error.operation_name}", error.response) from None
        except (BotoCoreError, OSError) as error:
            raise no_answer(self.name, f"{service}:{action}", error) from None
        return answer

    def _in_time(self, until: float) -> None:
        if time.monotonic() >= until:
            raise Unavailable(f"{self.name} does not answer in time.", "Ask for less, or try again later.")

    def _client(self, who: str, service: str, until: float) -> Any:
        acting = self._acting(who, until)
        with self._lock:
            if service not in acting.clients:
                acting.clients[service] = self._made(acting.keys, service)
            return acting.clients[service]

    def _acting(self, who: str, until: float) -> Acting:
        with self._lock:
            known = self._people.get(who)
            if known is not None and known.until > time.time():
                self._people.move_to_end(who)
                return known
        self._in_time(until)
        # Not under the lock: while AWS hands out one caller's credentials, the others go on with theirs.
        acting = self._assumed(who)
        with self._lock:
            self._people[who] = acting
            self._people.move_to_end(who)
            while len(self._people) > MAX_PEOPLE:
                self._people.popitem(last=False)
        return acting

    def _forget(self, who: str) -> None:
        with self._lock:
            self._people.pop(who, None)

    def _made(self, keys: Mapping[str, str], service: str) -> Any:
        from botocore.config import Config

        config = Config(
            connect_timeout=min(CONNECT_SECONDS, self._timeout),
            read_timeout=self._timeout,
            # Tries are counted here, so that none is made when its caller is gone.
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=MAX_AT_ONCE,
            user_agent_extra=AGENT,
        )
        place = {"region_name": self.region, "endpoint_url": self._endpoint_url}
        return self._own().client(service, config=config, **place, **keys)

    def _own(self) -> Any:
        """As whom AWS's own chain, or the profile, lets us act."""
        if self._session is None:
            import boto3
            import botocore.session

            core = botocore.session.Session(profile=self._account.profile)
            core.register_component("data_loader", _descriptions())
            self._session = boto3.Session(botocore_session=core, region_name=self.region)
        return self._session

    def _assumed(self, who: str) -> Acting:
        account = self._account
        if account.role_arn is None:
            return Acting({})
        asked = {"RoleArn": account.role_arn, "RoleSessionName": who, "DurationSeconds": SESSION_SECONDS}
        if account.external_id is not None:
            asked["ExternalId"] = account.external_id
        with self._lock:
            issuer = self._made({}, "sts")
        given = issuer.assume_role(**asked)["Credentials"]
        keys = {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }
        return Acting(keys, given["Expiration"].timestamp() - MARGIN_SECONDS)


@cache
def _descriptions() -> Any:
    """Of AWS's services, megabytes of JSON: read once."""
    from botocore.loaders import create_loader

    return create_loader()


def session_name(subject: str) -> str:
    """A caller's name as AWS takes it (64 of few letters); two callers never share one."""
    mark = hashlib.sha256(subject.encode()).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9_=,.@-]', '-', subject)[:48]}.{mark}"
