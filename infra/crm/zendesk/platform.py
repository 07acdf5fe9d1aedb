"""Zendesk: routes, limits, and the read side."""

from collections.abc import Iterable
from typing import Any

from infra.crm.calls import Answer, Call, Refused, Routes
from infra.crm.clock import now
from infra.crm.limits import Window
from infra.crm.paging import decode_cursor, encode_cursor, page_after
from infra.crm.platform import Change, Delivery, Platform
from infra.crm.seed.records import World
from infra.crm.zendesk import auth, webhooks
from infra.crm.zendesk.errors import bad_request, blank, invalid_token, no_route, not_found, throttled
from infra.crm.zendesk.lists import by_cursor, by_offset, listed, number, url
from infra.crm.zendesk.search import TYPES, Search
from infra.crm.zendesk.store import API_AGENT, Record, ZendeskStore
from infra.crm.zendesk.writes import TicketWriter

SETTLING_SECONDS = 60


class Zendesk(Platform):
    """The Support API v2. Limits: 700 requests a minute (Enterprise), 10 exports, 100 ticket updates."""

    name = "zendesk"

    def __init__(self, world: World, credentials: auth.ZendeskCredentials) -> None:
        self._credentials = credentials
        self.limits = {"account": Window(700, 60), "export": Window(10, 60), "update": Window(100, 60)}
        super().__init__(world)

    def reset(self) -> None:
        self._store = store = ZendeskStore(self.world)
        self._search = Search(store)
        writer = TicketWriter(store, self, self._ticket)
        self._routes = Routes(
            ("GET", "/users/me", lambda call: Answer({"user": self._shown(call, "users", store.users[API_AGENT])})),
            ("GET", "/users/show_many", lambda call: self._many(call, "users")),
            ("GET", "/users/search", self._search_users),
            ("GET", "/users/{id}/tickets/requested", self._requested),
            ("GET", "/users/{id}", lambda call: self._one(call, "users", "user")),
            ("GET", "/users", lambda call: listed(call, "users", self._all(call, "users"))),
            ("GET", "/organizations/{id}/tickets", self._of_organization),
            ("GET", "/organizations/show_many", lambda call: self._many(call, "organizations")),
            ("GET", "/organizations/{id}", lambda call: self._one(call, "organizations", "organization")),
            ("GET", "/organizations", lambda call: listed(call, "organizations", self._all(call, "organizations"))),
            ("GET", "/tickets/show_many", lambda call: self._many(call, "tickets")),
            ("GET", "/tickets/{id}/comments", self._comments),
            ("GET", "/tickets/{id}", lambda call: self._one(call, "tickets", "ticket")),
            ("PUT", "/tickets/{id}", writer.update),
            ("POST", "/tickets", writer.create),
            ("GET", "/tickets", lambda call: listed(call, "tickets", self._all(call, "tickets"))),
            ("GET", "/search/export", self._export),
            ("GET", "/search/count", lambda call: Answer({"count": len(self._found(call))})),
            ("GET", "/search", self._searched),
            ("GET", "/incremental/tickets/cursor", self._incremental),
        )

    def answer(self, call: Call) -> Answer:
        if call.path == "/oauth/tokens" and call.method == "POST":
            return auth.token(call, self.tokens, self._credentials)
        auth.check(call, self.tokens, self._credentials)
        path = call.path.removesuffix(".json")
        self._take(call, path)
        answer = self._routes.handle(call, path.removeprefix("/api/v2")) if path.startswith("/api/v2/") else None
        if answer is None:
            raise no_route()
        return Answer(answer.body, answer.status, {**answer.headers, **self._rate_headers()})

    def _take(self, call: Call, path: str) -> None:
        names = ["account"]
        names += ["export"] if "/incremental/" in path else []
        names += ["update"] if call.method == "PUT" else []
        for name in names:
            if not self.limits[name].take():
                raise self.rate_limited(call, self.limits[name].reset_after)

    def _rate_headers(self) -> dict[str, str]:
        window = self.limits["account"]
        limit, remaining = str(window.limit), str(window.remaining)
        names = {"X-Rate-Limit": limit, "X-Rate-Limit-Remaining": remaining, "ratelimit-limit": limit}
        return {**names, "ratelimit-remaining": remaining, "ratelimit-reset": str(round(window.reset_after))}

    def rate_limited(self, call: Call, retry_after: float) -> Refused:
        refused = throttled(retry_after)
        refused.answer = Answer(refused.answer.body, 429, {**self._rate_headers(), **refused.answer.headers})
        return refused

    def failed(self, status: int) -> Refused:
        if status == 503:
            body = {"error": "DatabaseConflict", "description": "Database collision"}
            return Refused(body, 503, {"Retry-After": "1"})
        return Refused({"error": "InternalError", "description": "Sorry, something went wrong"}, status)

    def unauthorized(self) -> Refused:
        return invalid_token()

    def deliveries(self, change: Change, url: str) -> list[Delivery]:
        return webhooks.deliveries(change, self._credentials.webhook_secret)

    def _shown(self, call: Call, kind: str, record: Record) -> Record:
        return {"url": f"{call.base_url}/api/v2/{kind}/{record['id']}.json", **record}

    def _ticket(self, call: Call, record: Record) -> Record:
        return self._shown(call, "tickets", record)

    def _all(self, call: Call, kind: str, records: Iterable[Record] | None = None) -> list[Record]:
        chosen = getattr(self._store, kind).values() if records is None else records
        return sorted((self._shown(call, kind, record) for record in chosen), key=lambda record: int(record["id"]))

    def _one(self, call: Call, kind: str, name: str) -> Answer:
        text = call.parts["id"]
        record = getattr(self._store, kind).get(int(text)) if text.isdigit() else None
        if record is None:
            raise not_found()
        return Answer({name: self._shown(call, kind, record)})

    def _many(self, call: Call, kind: str) -> Answer:
        ids = [text.strip() for text in call.query.get("ids", "").split(",") if text.strip()]
        outside = [text.strip() for text in call.query.get("external_ids", "").split(",") if text.strip()]
        if not ids and not outside:
            raise bad_request("Missing parameter", "Required parameter is missing: ids or external_ids")
        if len(ids) + len(outside) > 100:
            raise Refused({"error": "TooManyValues", "description": "You may specify up to 100 ids"}, 400)
        wanted = {int(text) for text in ids if text.isdigit()}
        records = [r for r in getattr(self._store, kind).values() if r["id"] in wanted or r["external_id"] in outside]
        return by_offset(call, kind, self._all(call, kind, records))

    def _requested(self, call: Call) -> Answer:
        tickets = [t for t in self._store.tickets.values() if str(t["requester_id"]) == call.parts["id"]]
        if not tickets and not call.parts["id"].isdigit():
            raise not_found()
        found = self._all(call, "tickets", tickets)
        if call.query.get("sort_by") in ("updated_at", "created_at"):
            found.sort(
                key=lambda ticket: str(ticket[call.query["sort_by"]]), reverse=call.query.get("sort_order") == "desc"
            )
        return listed(call, "tickets", found)

    def _of_organization(self, call: Call) -> Answer:
        tickets = [t for t in self._store.tickets.values() if str(t["organization_id"]) == call.parts["id"]]
        return listed(call, "tickets", self._all(call, "tickets", tickets))

    def _comments(self, call: Call) -> Answer:
        text = call.parts["id"]
        if not text.isdigit() or int(text) not in self._store.tickets:
            raise not_found()
        found = self._store.comments[int(text)]
        newest_first = call.query.get("sort_order") == "desc" and "page[size]" not in call.query
        return listed(call, "comments", found[::-1] if newest_first else found)

    def _search_users(self, call: Call) -> Answer:
        if "external_id" in call.query:
            users = [u for u in self._store.users.values() if u["external_id"] == call.query["external_id"]]
        else:
            users = self._search.find(call.query.get("query", ""), ("user",))
        shown = [self._shown(call, "users", {k: v for k, v in user.items() if k != "result_type"}) for user in users]
        return by_offset(call, "users", shown)

    def _found(self, call: Call, kinds: tuple[str, ...] = ("ticket", "user", "organization")) -> list[Record]:
        if not call.query.get("query"):
            raise blank("query")
        found = self._search.find(call.query["query"], kinds)
        by = call.query.get("sort_by", "")
        if by in ("created_at", "updated_at", "status", "priority"):
            found.sort(key=lambda r: str(r.get(by) or ""), reverse=call.query.get("sort_order", "desc") == "desc")
        return [self._shown(call, TYPES[record["result_type"]], record) for record in found]

    def _searched(self, call: Call) -> Answer:
        answer = by_offset(call, "results", self._found(call), search=True)
        return Answer({**answer.body, "facets": None})

    def _export(self, call: Call) -> Answer:
        kind = call.query.get("filter[type]", "")
        if kind not in TYPES:
            raise bad_request("Invalid attribute", "filter[type] must be one of ticket, organization, user, group")
        found = sorted(self._found(call, (kind,)), key=lambda record: (record["created_at"], record["id"]))
        answer = by_cursor(call, "results", found, lambda record: record["created_at"], most=1000)
        return Answer({**answer.body, "facets": None})

    def _incremental(self, call: Call) -> Answer:
        """Tickets by the time of their last change; the last minute is left out, as it is there."""
        size = number(call, "per_page", 1000, 1000)
        settled = int(now().timestamp()) - SETTLING_SECONDS
        after: Any = self._start(call, settled)
        tickets = [t for t in self._store.tickets.values() if t["generated_timestamp"] <= settled]
        tickets.sort(key=lambda t: (t["generated_timestamp"], t["id"]))
        page, more = page_after(tickets, lambda t: [t["generated_timestamp"], t["id"]], after, size)
        last = [page[-1]["generated_timestamp"], page[-1]["id"]] if page else after
        cursor = encode_cursor(*last)
        answer = {"tickets": [self._ticket(call, ticket) for ticket in page], "end_of_stream": not more}
        following = url(call, {"cursor": cursor}).replace(f"start_time={call.query.get('start_time')}&", "")
        return Answer(
            {**answer, "after_cursor": cursor, "after_url": following, "before_cursor": None, "before_url": None}
        )

    def _start(self, call: Call, settled: int) -> list[int]:
        if "cursor" in call.query:
            try:
                moment, ticket = decode_cursor(call.query["cursor"])
                return [int(moment), int(ticket)]
            except (ValueError, TypeError):
                raise bad_request("Invalid attribute", "cursor is not valid") from None
        text = call.query.get("start_time", "")
        if not text.isdigit():
            raise bad_request("Missing parameter", "Required parameter is missing: start_time")
        if int(text) > settled:
            body = {
                "error": "InvalidValue",
                "description": "Too recent start_time. Use a start_time older than 1 minute",
            }
            raise Refused(body, 422)
        return [int(text) - 1, 2**62]
