"""Objects: list, read, batch read, create, update, archive, search."""

from typing import Any
from urllib.parse import urlencode

from infra.crm.calls import Answer, Call, json_object, objects_in, texts_in
from infra.crm.clock import hubspot_time, now
from infra.crm.hubspot.errors import bad_properties, conflict, not_found, validation
from infra.crm.hubspot.schema import ASSOCIATIONS, PIPELINE, PRIORITIES, ObjectType, object_type
from infra.crm.hubspot.search import search
from infra.crm.hubspot.store import HubSpotStore, Record
from infra.crm.platform import Platform

MAX_LIST, MAX_BATCH = 100, 100
UNIQUE = {"contacts": ("email",), "tickets": ("external_reference",)}
"""Properties by which a record can be read; one of tickets is made so by the portal's administrator."""
READ_ONLY = ("hs_object_id", "createdate", "lastmodifieddate", "hs_lastmodifieddate")


class Objects:
    """The endpoints below /crm/v3/objects/{type}."""

    def __init__(self, store: HubSpotStore, platform: Platform) -> None:
        self._store, self._platform = store, platform

    def page(self, call: Call) -> Answer:
        kind = object_type(call.parts["type"])
        limit = _limit(call)
        after = call.query.get("after", "0")
        if not after.isdigit():
            raise validation("Unable to parse value for query parameter: after")
        # Ids only grow, so the records stand in the order of their ids.
        rest = [record for record in self._store.objects[kind.name].values() if int(record["id"]) >= int(after)]
        answer: Record = {"results": [self._shown(kind, record, call.query) for record in rest[:limit]]}
        if len(rest) > limit:
            answer["paging"] = {"next": _next(call, rest[limit]["id"])}
        return Answer(answer)

    def read(self, call: Call) -> Answer:
        kind = object_type(call.parts["type"])
        return Answer(self._shown(kind, self._find(kind, call.parts["id"], call.query.get("idProperty")), call.query))

    def create(self, call: Call) -> Answer:
        kind, body = object_type(call.parts["type"]), _body(call)
        properties = self._checked(kind, body.get("properties"))
        self._required(kind, properties)
        joins = self._joins(kind, body.get("associations"))
        number, moment = self._store.next_id(kind.name), now()
        record = self._store.add(kind.name, number, properties, moment, moment)
        for to, other in joins:
            self._store.join(kind.name, number, to, other)
        self._platform.changed(kind.singular, "created", record)
        return Answer({**record, "properties": dict(record["properties"])}, 201)

    def update(self, call: Call) -> Answer:
        kind = object_type(call.parts["type"])
        record = self._find(kind, call.parts["id"], call.query.get("idProperty"))
        properties = self._checked(kind, _body(call).get("properties"), record["id"])
        old = record["properties"]
        previous = {name: old.get(name) for name, value in properties.items() if old.get(name) != value}
        if "email" in previous:
            self._store.renamed(old.get("email"), properties["email"], record["id"])
        stamp = hubspot_time(now())
        old.update(properties)
        old[kind.modified] = record["updatedAt"] = stamp
        if previous:
            self._platform.changed(kind.singular, "updated", record, previous)
        return Answer({**record, "properties": dict(old)})

    def archive(self, call: Call) -> Answer:
        kind = object_type(call.parts["type"])
        record = self._store.objects[kind.name].pop(call.parts["id"], None)
        if record:
            self._store.renamed(record["properties"].get("email"), None, record["id"])
            self._platform.changed(kind.singular, "deleted", record)
        return Answer(status=204)

    def batch_read(self, call: Call) -> Answer:
        """207 when some of the ids are unknown."""
        kind, body, started = object_type(call.parts["type"]), _body(call), hubspot_time(now())
        ids, by = input_ids(body, MAX_BATCH), body.get("idProperty")
        found = {number: self._lookup(kind, number, by) for number in dict.fromkeys(ids)}
        shown = {"properties": ",".join(texts_in(body.get("properties")))}
        results = [self._shown(kind, record, shown) for record in found.values() if record]
        answer = {"status": "COMPLETE", "results": results, "startedAt": started, "completedAt": hubspot_time(now())}
        missing = [number for number, record in found.items() if record is None]
        if not missing:
            return Answer(answer)
        name = kind.singular.upper()
        text = f"Could not get some {name} objects, they may be deleted or not exist. Check that ids are valid."
        problem = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": text, "context": {"ids": missing}}
        return Answer({**answer, "numErrors": 1, "errors": [problem]}, 207)

    def search(self, call: Call) -> Answer:
        kind = object_type(call.parts["type"])
        page, total, start, limit = search(self._store, kind, call)
        shown = {"properties": ",".join(texts_in((json_object(call) or {}).get("properties")))}
        answer: Record = {"total": total, "results": [self._shown(kind, record, shown) for record in page]}
        if start + limit < total:
            answer["paging"] = {"next": {"after": str(start + limit)}}
        return Answer(answer)

    def _lookup(self, kind: ObjectType, number: str, by: str | None) -> Record | None:
        if by not in (None, "hs_object_id"):
            if by not in UNIQUE.get(kind.name, ()):
                raise validation(f"{by} is not a unique identifier property of {kind.name}")
            number = self._store.by_unique(by, number) or ""
        return self._store.objects[kind.name].get(number)

    def _find(self, kind: ObjectType, number: str, by: str | None) -> Record:
        record = self._lookup(kind, number, by)
        if record is None:
            raise not_found()
        return record

    def _shown(self, kind: ObjectType, record: Record, query: Any) -> Record:
        asked = [name for name in query.get("properties", "").split(",") if name in kind.properties]
        names = dict.fromkeys([*asked, "hs_object_id", "createdate", kind.modified]) if asked else kind.shown
        made = {**record, "properties": {name: record["properties"].get(name) for name in names}}
        for name in filter(None, query.get("associations", "").split(",")):
            other = object_type(name)
            joined = self._store.joined[kind.name, record["id"], other.name]
            if joined:
                label = f"{kind.singular}_to_{other.singular}"
                entries = [{"id": number, "type": label} for number in joined]
                made.setdefault("associations", {})[other.name] = {"results": entries}
        return made

    def _checked(self, kind: ObjectType, given: Any, number: str | None = None) -> Record:
        if not isinstance(given, dict):
            raise validation("properties must be an object")
        for name, value in given.items():
            if name not in kind.properties:
                raise bad_properties(name, f"Property {name} does not exist", "PROPERTY_DOESNT_EXIST")
            if name in READ_ONLY:
                raise bad_properties(name, f"{name} is a read only property", "READ_ONLY_VALUE")
            self._check_value(name, value, number)
        return {name: None if value in (None, "") else str(value) for name, value in given.items()}

    def _check_value(self, name: str, value: Any, number: str | None) -> None:
        if name == "email" and value:
            if "@" not in str(value):
                raise bad_properties(name, f"Email address {value} is invalid", "INVALID_EMAIL")
            taken = self._store.by_email(str(value))
            if taken and taken != number:
                raise conflict(taken)
        if name == "external_reference" and value and self._store.by_unique(name, str(value)) not in (None, number):
            raise bad_properties(name, f"{value} is the value of another ticket", "CONFLICTING_UNIQUE_VALUE")
        if name == "hs_pipeline_stage" and str(value) not in PIPELINE["0"]:
            raise bad_properties(name, f"{value} is not a valid pipeline stage", "INVALID_OPTION")
        if name == "hs_ticket_priority" and value and value not in PRIORITIES:
            raise bad_properties(name, f"{value} was not one of the allowed options", "INVALID_OPTION")

    def _required(self, kind: ObjectType, properties: Record) -> None:
        needed = {"tickets": ("hs_pipeline_stage",), "notes": ("hs_timestamp",)}.get(kind.name, ())
        for name in needed:
            if not properties.get(name):
                raise bad_properties(name, f"{name} is required", "REQUIRED_PROPERTY")
        if kind.name == "tickets":
            properties.setdefault("hs_pipeline", "0")

    def _joins(self, kind: ObjectType, given: Any) -> list[tuple[str, str]]:
        """Associations of a new record, as types from its side."""
        joins = []
        for entry in objects_in(given) or []:
            to, types = entry.get("to"), objects_in(entry.get("types"))
            number = str(to.get("id")) if isinstance(to, dict) else ""
            for code in [wanted.get("associationTypeId") for wanted in types or []]:
                ends = [end for (start, end), known in ASSOCIATIONS.items() if start == kind.name and known == code]
                if not ends or number not in self._store.objects[ends[0]]:
                    raise validation(f"association to {number} of type {code} is not valid")
                joins.append((ends[0], number))
        return joins


def input_ids(body: Record, most: int) -> list[str]:
    """The ids of a batch request. Raises Refused."""
    entries = objects_in(body.get("inputs"))
    if entries is None or not 0 < len(entries) <= most:
        raise validation(f"inputs must be a list of 1 to {most} objects")
    return [str(entry.get("id")) for entry in entries]


def _body(call: Call) -> Record:
    body = json_object(call)
    if body is None:
        raise validation("Invalid input JSON on line 1, column 1: Unexpected character")
    return body


def _limit(call: Call) -> int:
    text = call.query.get("limit", "10")
    if not text.isdigit() or not 0 < int(text) <= MAX_LIST:
        raise validation(f"Invalid limit {text}: must be between 1 and {MAX_LIST}")
    return int(text)


def _next(call: Call, after: str) -> Record:
    query = urlencode({**dict(call.query), "after": after})
    return {"after": after, "link": f"{call.base_url}{call.path}?{query}"}
