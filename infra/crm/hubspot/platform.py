"""HubSpot: routes, limits and the private-app token."""

import hmac
from dataclasses import dataclass

from infra.crm.calls import Answer, Call, Refused, Routes
from infra.crm.hubspot import webhooks
from infra.crm.hubspot.associations import Associations
from infra.crm.hubspot.errors import error, expired, throttled, unauthenticated
from infra.crm.hubspot.objects import Objects
from infra.crm.hubspot.schema import PIPELINE, object_type
from infra.crm.hubspot.store import HubSpotStore
from infra.crm.limits import Window
from infra.crm.platform import Change, Delivery, Platform
from infra.crm.seed.records import World


@dataclass(frozen=True)
class HubSpotCredentials:
    """What a client needs; made anew for each run."""

    access_token: str
    client_secret: str


class HubSpot(Platform):
    """CRM v3. Limits: 190 requests in 10 s for a private app (Professional), 5 searches a second, 650,000 a day."""

    name = "hubspot"

    def __init__(self, world: World, credentials: HubSpotCredentials) -> None:
        self._credentials = credentials
        self.limits = {"rolling": Window(190, 10), "search": Window(5, 1), "daily": Window(650_000, 86_400)}
        super().__init__(world)

    def reset(self) -> None:
        store = HubSpotStore(self.world)
        objects, associations = Objects(store, self), Associations(store)
        base, joined = "/crm/v3/objects/{type}", "/objects/{type}/{id}/associations"
        self._routes = Routes(
            ("POST", f"{base}/search", objects.search),
            ("POST", f"{base}/batch/read", objects.batch_read),
            ("GET", f"/crm/v3{joined}/{{to}}", associations.list_v3),
            ("GET", f"/crm/v4{joined}/{{to}}", associations.list_v4),
            ("PUT", f"/crm/v3{joined}/{{to}}/{{other}}/{{label}}", associations.put),
            ("PUT", f"/crm/v4{joined}/default/{{to}}/{{other}}", associations.put),
            ("PUT", f"/crm/v4{joined}/{{to}}/{{other}}", associations.put),
            ("POST", "/crm/v3/associations/{type}/{to}/batch/read", associations.batch_read),
            ("POST", "/crm/v4/associations/{type}/{to}/batch/read", associations.batch_read),
            ("GET", f"{base}/{{id}}", objects.read),
            ("PATCH", f"{base}/{{id}}", objects.update),
            ("DELETE", f"{base}/{{id}}", objects.archive),
            ("GET", base, objects.page),
            ("POST", base, objects.create),
            ("GET", "/crm/v3/properties/{type}", _properties),
            ("GET", "/crm/v3/pipelines/tickets", _pipelines),
            ("GET", "/account-info/v3/details", _account),
        )

    def answer(self, call: Call) -> Answer:
        self._authenticate(call)
        search = call.path.endswith("/search")
        for name in ("search", "daily") if search else ("rolling", "daily"):
            if not self.limits[name].take():
                raise self.rate_limited(call, self.limits[name].reset_after)
        answer = self._routes.handle(call, call.path.rstrip("/"))
        if answer is None:
            raise Refused(None, 404)
        return Answer(answer.body, answer.status, {} if search else self._rate_headers())

    def _authenticate(self, call: Call) -> None:
        scheme, _, token = call.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not hmac.compare_digest(token.encode(), self._credentials.access_token.encode()):
            raise unauthenticated()

    def _rate_headers(self) -> dict[str, str]:
        """Not on search answers, as documented."""
        rolling, daily = self.limits["rolling"], self.limits["daily"]
        return {
            "X-HubSpot-RateLimit-Daily": str(daily.limit),
            "X-HubSpot-RateLimit-Daily-Remaining": str(daily.remaining),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(rolling.seconds * 1000)),
            "X-HubSpot-RateLimit-Max": str(rolling.limit),
            "X-HubSpot-RateLimit-Remaining": str(rolling.remaining),
        }

    def rate_limited(self, call: Call, retry_after: float) -> Refused:
        """No Retry-After: the policy names the window."""
        search = call.path.endswith("/search")
        refused = throttled(
            "SECONDLY" if search else "TEN_SECONDLY_ROLLING" if self.limits["daily"].remaining else "DAILY"
        )
        if not search:
            refused.answer = Answer(
                refused.answer.body, 429, {**self._rate_headers(), "X-HubSpot-RateLimit-Remaining": "0"}
            )
        return refused

    def failed(self, status: int) -> Refused:
        return error(status, "INTERNAL_ERROR", "internal error")

    def unauthorized(self) -> Refused:
        return expired()

    def deliveries(self, change: Change, url: str) -> list[Delivery]:
        return webhooks.deliveries(change, url, self._credentials.client_secret)


def _properties(call: Call) -> Answer:
    kind = object_type(call.parts["type"])
    return Answer(
        {"results": [{"name": n, "label": n, "type": "string", "fieldType": "text"} for n in kind.properties]}
    )


def _pipelines(call: Call) -> Answer:
    stages = [
        {"id": number, "label": label, "displayOrder": int(number), "archived": False}
        for number, label in PIPELINE["0"].items()
    ]
    pipeline = {"id": "0", "label": "Support Pipeline", "displayOrder": 0, "archived": False, "stages": stages}
    return Answer({"results": [pipeline]})


def _account(call: Call) -> Answer:
    return Answer({"portalId": webhooks.PORTAL, "accountType": "STANDARD", "timeZone": "Europe/London"})
