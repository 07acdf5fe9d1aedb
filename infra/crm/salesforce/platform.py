"""Salesforce: routes, the day's limit, query locators."""

import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from infra.crm.calls import Answer, Call, Refused, Routes, json_object
from infra.crm.ids import salesforce_id
from infra.crm.limits import Window
from infra.crm.platform import Change, Delivery, Platform
from infra.crm.salesforce import auth, outbound
from infra.crm.salesforce.composite import composite
from infra.crm.salesforce.errors import bad_json, error, invalid_session, not_found, request_limit
from infra.crm.salesforce.query import QueryRunner
from infra.crm.salesforce.rows import Rows
from infra.crm.salesforce.schema import OBJECTS
from infra.crm.salesforce.search import parameterized, sosl
from infra.crm.salesforce.store import Record, SalesforceStore
from infra.crm.seed.records import World

VERSIONS = {f"{58 + n}.0": f"{('Summer', 'Winter', 'Spring')[n % 3]} '{23 + (n + 2) // 3}" for n in range(10)}
BATCH, MIN_BATCH, MAX_BATCH, MAX_CURSORS, MAX_URL = 2000, 200, 2000, 10, 16_384


class Salesforce(Platform):
    """The REST API. Limit: 100,000 requests in 24 hours (Enterprise); a session ends after two hours."""

    name = "salesforce"

    def __init__(self, world: World, credentials: auth.SalesforceCredentials) -> None:
        self._credentials = credentials
        self.limits = {"daily": Window(100_000, 86_400)}
        self._base_url = ""
        super().__init__(world)

    def reset(self) -> None:
        self._store = SalesforceStore(self.world)
        self._cursors: OrderedDict[str, list[Record]] = OrderedDict()
        rows, row = Rows(self._store, self), "/sobjects/{object}/{id}"
        self._routes = Routes(
            ("GET", "/", self._resources),
            ("GET", "/limits", self._limits),
            ("GET", "/query", self._query),
            ("GET", "/queryAll", self._query),
            ("GET", "/query/{locator}", self._more),
            ("GET", "/search", self._search),
            ("GET", "/parameterizedSearch", self._search_by_parameters),
            ("POST", "/parameterizedSearch", self._search_by_parameters),
            ("POST", "/composite", lambda call: composite(call, self._transaction, self._dispatch)),
            ("GET", "/sobjects", self._objects),
            ("GET", "/sobjects/{object}/describe", rows.describe),
            ("POST", "/sobjects/{object}", rows.create),
            ("GET", row, rows.read),
            ("PATCH", row, rows.update),
            ("DELETE", row, rows.delete),
            ("GET", "/sobjects/{object}/{field}/{value}", rows.read_external),
            ("PATCH", "/sobjects/{object}/{field}/{value}", rows.upsert),
        )

    def answer(self, call: Call) -> Answer:
        self._base_url = call.base_url
        if call.path == "/services/oauth2/token" and call.method == "POST":
            return auth.token(call, self.tokens, self._credentials)
        if call.path.rstrip("/") == "/services/data":
            listed = [{"label": label, "url": f"/services/data/v{v}", "version": v} for v, label in VERSIONS.items()]
            return Answer(listed)
        scheme, _, token = call.headers.get("Authorization", "").partition(" ")
        if scheme not in ("Bearer", "OAuth") or not self.tokens.good(token):
            raise invalid_session()
        if len(call.target) > MAX_URL:
            raise error(414, "URI_TOO_LONG", "The URI is longer than 16,384 bytes")
        if not self.limits["daily"].take():
            raise request_limit()
        answer = self._dispatch(call)
        window = self.limits["daily"]
        usage = f"api-usage={window.limit - window.remaining}/{window.limit}"
        return replace(answer, headers={**answer.headers, "Sforce-Limit-Info": usage})

    def _dispatch(self, call: Call) -> Answer:
        match = re.match(r"/services/data/v(\d+\.\d)(/.*|)\Z", call.path)
        if match is None or match[1] not in VERSIONS:
            raise not_found()
        path = match[2].rstrip("/") or "/"
        answer = self._routes.handle(replace(call, parts={"version": match[1]}), path)
        if answer is None:
            raise not_found()
        if answer.status == 405:
            raise error(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed.")
        return answer

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self.holding(), self._store.transaction():
            yield

    def rate_limited(self, call: Call, retry_after: float) -> Refused:
        return request_limit()

    def failed(self, status: int) -> Refused:
        code = "SERVER_UNAVAILABLE" if status == 503 else "UNKNOWN_EXCEPTION"
        return error(status, code, "An unexpected error occurred. Please include this ErrorId if you contact support")

    def unauthorized(self) -> Refused:
        return invalid_session()

    def deliveries(self, change: Change, url: str) -> list[Delivery]:
        return outbound.deliveries(change, self._base_url)

    def acknowledged(self, body: bytes) -> bool:
        return outbound.acknowledged(body)

    def _resources(self, call: Call) -> Answer:
        base = f"/services/data/v{call.parts['version']}"
        names = ("composite", "limits", "parameterizedSearch", "query", "queryAll", "search", "sobjects")
        return Answer({name: f"{base}/{name}" for name in names})

    def _limits(self, call: Call) -> Answer:
        window = self.limits["daily"]
        return Answer({"DailyApiRequests": {"Max": window.limit, "Remaining": window.remaining}})

    def _objects(self, call: Call) -> Answer:
        listed = [{"name": kind.name, "keyPrefix": kind.prefix, "queryable": True} for kind in OBJECTS]
        return Answer({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed})

    def _query(self, call: Call) -> Answer:
        text = call.query.get("q", "")
        records, total = QueryRunner(self._store, text, call.parts["version"]).run()
        size = _batch_size(call)
        if len(records) <= size:
            return Answer({"totalSize": total, "done": True, "records": records})
        cursor = salesforce_id("01g", secrets.randbelow(62**8))
        self._cursors[cursor] = records
        while len(self._cursors) > MAX_CURSORS:
            self._cursors.popitem(last=False)
        return self._batch(call, cursor, 0, size)

    def _more(self, call: Call) -> Answer:
        cursor, _, start = call.parts["locator"].rpartition("-")
        if cursor not in self._cursors or not start.isdigit():
            raise error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._batch(call, cursor, int(start), _batch_size(call))

    def _batch(self, call: Call, cursor: str, start: int, size: int) -> Answer:
        """A piece of a result that is kept as it was when the query ran."""
        records = self._cursors[cursor]
        page: dict[str, Any] = {"totalSize": len(records), "done": start + size >= len(records)}
        if not page["done"]:
            page["nextRecordsUrl"] = f"/services/data/v{call.parts['version']}/query/{cursor}-{start + size}"
        return Answer({**page, "records": records[start : start + size]})

    def _search(self, call: Call) -> Answer:
        return Answer({"searchRecords": sosl(self._store, call.query.get("q", ""), call.parts["version"])})

    def _search_by_parameters(self, call: Call) -> Answer:
        given = json_object(call) if call.method == "POST" else _from_query(call)
        if given is None:
            raise bad_json()
        return Answer({"searchRecords": parameterized(self._store, given, call.parts["version"])})


def _batch_size(call: Call) -> int:
    """`Sforce-Query-Options: batchSize=500`, between 200 and 2,000."""
    match = re.search(r"batchSize\s*=\s*(\d+)", call.headers.get("Sforce-Query-Options", ""))
    return min(max(int(match[1]), MIN_BATCH), MAX_BATCH) if match else BATCH


def _from_query(call: Call) -> dict[str, Any]:
    """The GET form: q, sobject (one), sobject.fields, sobject.limit, in, overallLimit."""
    query = call.query
    given: dict[str, Any] = {name: query[name] for name in ("q", "in", "overallLimit", "defaultLimit") if name in query}
    if "fields" in query:
        given["fields"] = query["fields"].split(",")
    if name := query.get("sobject"):
        entry: dict[str, Any] = {"name": name}
        entry |= {key: query[f"{name}.{key}"] for key in ("limit", "where", "orderBy") if f"{name}.{key}" in query}
        entry["fields"] = query[f"{name}.fields"].split(",") if f"{name}.fields" in query else []
        given["sobjects"] = [entry]
    return given
