"""Control endpoints of the simulators, below `/__control/`, for this machine only. The real platforms have none."""

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from infra.crm.calls import Answer, Call, Routes
from infra.crm.counters import Counters
from infra.crm.faults import Fault, FaultSwitch
from infra.crm.limits import Window
from infra.crm.platform import Platform
from infra.crm.webhooks import LOOPBACK, WebhookSender


class Subscriber(BaseModel):
    """Who is told of changes."""

    model_config = ConfigDict(extra="forbid")
    url: str | None


class Limit(BaseModel):
    """A limit of requests in a window."""

    model_config = ConfigDict(extra="forbid")
    requests: int = Field(ge=0)
    seconds: float = Field(gt=0)


FAULTS, LIMITS = TypeAdapter(list[Fault]), TypeAdapter(dict[str, Limit])


class Control:
    """Reads and sets faults, limits and the subscriber; reads and resets counters."""

    def __init__(self, platform: Platform, counters: Counters, switch: FaultSwitch, webhooks: WebhookSender) -> None:
        self._platform, self._counters, self._switch, self._webhooks = platform, counters, switch, webhooks
        self._routes = Routes(
            ("GET", "/requests", lambda call: Answer(counters.report())),
            ("DELETE", "/requests", self._reset_counters),
            ("GET", "/faults", lambda call: Answer([fault.model_dump() for fault in switch.faults])),
            ("PUT", "/faults", self._set_faults),
            ("DELETE", "/faults", self._clear_faults),
            ("GET", "/subscriber", lambda call: Answer(webhooks.report())),
            ("PUT", "/subscriber", self._subscribe),
            ("GET", "/limits", lambda call: Answer(self._limits())),
            ("PUT", "/limits", self._set_limits),
            ("POST", "/expire-tokens", self._expire_tokens),
            ("POST", "/reset", self._reset),
        )

    def answer(self, call: Call, remote: str | None) -> Answer:
        """Only for loopback, and only if the caller asked for a loopback name: a web page of elsewhere does not."""
        host = urlsplit(f"//{call.headers.get('Host', '')}").hostname
        if not remote or not ip_address(remote).is_loopback or host not in LOOPBACK:
            return Answer({"error": "control endpoints answer on loopback only"}, 403)
        try:
            answer = self._routes.handle(call, call.path.removeprefix("/__control"))
        except (ValidationError, ValueError) as error:
            return Answer({"error": str(error)}, 400)
        return answer or Answer({"error": "known: requests, faults, subscriber, limits, expire-tokens, reset"}, 404)

    def _reset_counters(self, call: Call) -> Answer:
        self._counters.reset()
        return Answer(status=204)

    def _set_faults(self, call: Call) -> Answer:
        self._switch.set(FAULTS.validate_json(call.body))
        return Answer([fault.model_dump() for fault in self._switch.faults])

    def _clear_faults(self, call: Call) -> Answer:
        self._switch.set([])
        return Answer(status=204)

    def _subscribe(self, call: Call) -> Answer:
        self._webhooks.subscribe(Subscriber.model_validate_json(call.body).url)
        return Answer(self._webhooks.report())

    def _limits(self) -> dict[str, Any]:
        return {name: {"requests": w.limit, "seconds": w.seconds} for name, w in self._platform.limits.items()}

    def _set_limits(self, call: Call) -> Answer:
        for name, limit in LIMITS.validate_json(call.body).items():
            if name not in self._platform.limits:
                raise ValueError(f"no limit {name!r}; known: {', '.join(self._platform.limits)}")
            self._platform.limits[name] = Window(limit.requests, limit.seconds)
        return Answer(self._limits())

    def _expire_tokens(self, call: Call) -> Answer:
        self._platform.tokens.expire()
        return Answer(status=204)

    def _reset(self, call: Call) -> Answer:
        self._platform.reset()
        return Answer(status=204)
