"""Associations, v3 and v4."""

from typing import Any

from infra.crm.calls import Answer, Call, json_object
from infra.crm.clock import hubspot_time, now
from infra.crm.hubspot.errors import not_found, validation
from infra.crm.hubspot.objects import input_ids
from infra.crm.hubspot.schema import ASSOCIATIONS, ObjectType, object_type
from infra.crm.hubspot.store import HubSpotStore

MAX_PAGE, MAX_BATCH = 500, 1000


class Associations:
    """Who is joined to whom."""

    def __init__(self, store: HubSpotStore) -> None:
        self._store = store

    def list_v3(self, call: Call) -> Answer:
        """GET /crm/v3/objects/{type}/{id}/associations/{to}."""
        kind, to = self._types(call)
        label = f"{kind.singular}_to_{to.singular}"
        return self._page(call, kind, to, lambda number: {"id": number, "type": label})

    def list_v4(self, call: Call) -> Answer:
        """GET /crm/v4/objects/{type}/{id}/associations/{to}."""
        kind, to = self._types(call)
        return self._page(call, kind, to, lambda number: self._entry(kind, to, number))

    def put(self, call: Call) -> Answer:
        """PUT of one association, v3, v4 by its types, or v4 default."""
        kind, to = self._types(call)
        number, other = call.parts["id"], call.parts["other"]
        if number not in self._store.objects[kind.name] or other not in self._store.objects[to.name]:
            raise not_found()
        self._store.join(kind.name, number, to.name, other)
        code = ASSOCIATIONS[kind.name, to.name]
        if "/v4/" in call.path and "/default/" not in call.path:
            made = {"fromObjectTypeId": kind.code, "fromObjectId": int(number), "toObjectTypeId": to.code}
            return Answer({**made, "toObjectId": int(other), "labels": []}, 201)
        stamp = hubspot_time(now())
        spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": code}
        results = [{"from": {"id": number}, "to": {"id": other}, "associationSpec": spec}]
        return Answer({"status": "COMPLETE", "results": results, "startedAt": stamp, "completedAt": stamp})

    def batch_read(self, call: Call) -> Answer:
        """POST /crm/v3|v4/associations/{type}/{to}/batch/read."""
        kind, to = self._types(call)
        ids = input_ids(json_object(call) or {}, MAX_BATCH)
        label, newer = f"{kind.singular}_to_{to.singular}", "/v4/" in call.path
        results, missing = [], []
        for number in dict.fromkeys(ids):
            joined = self._store.joined[kind.name, number, to.name]
            entries = [self._entry(kind, to, o) if newer else {"id": o, "type": label} for o in joined]
            if entries:
                results.append({"from": {"id": number}, "to": entries})
            else:
                missing.append(number)
        stamp = hubspot_time(now())
        answer: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": stamp, "completedAt": stamp}
        if not missing:
            return Answer(answer)
        text = f"No {to.singular} is associated with {kind.singular} {', '.join(missing)}."
        problem = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": text}
        problem |= {"subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND", "context": {"fromObjectId": missing}}  # type: ignore[dict-item]
        return Answer({**answer, "numErrors": 1, "errors": [problem]}, 207)

    def _types(self, call: Call) -> tuple[ObjectType, ObjectType]:
        kind, to = object_type(call.parts["type"]), object_type(call.parts["to"])
        if (kind.name, to.name) not in ASSOCIATIONS:
            raise validation(f"No association type exists from {kind.name} to {to.name}")
        return kind, to

    def _entry(self, kind: ObjectType, to: ObjectType, number: str) -> dict[str, Any]:
        spec = {"category": "HUBSPOT_DEFINED", "typeId": ASSOCIATIONS[kind.name, to.name], "label": None}
        return {"toObjectId": int(number), "associationTypes": [spec]}

    def _page(self, call: Call, kind: ObjectType, to: ObjectType, shape: Any) -> Answer:
        if call.parts["id"] not in self._store.objects[kind.name]:
            raise not_found()
        limit, after = call.query.get("limit", str(MAX_PAGE)), call.query.get("after", "0")
        if not (limit.isdigit() and after.isdigit() and 0 < int(limit) <= MAX_PAGE):
            raise validation(f"limit must be between 1 and {MAX_PAGE}")
        numbers = sorted(map(int, self._store.joined[kind.name, call.parts["id"], to.name]))
        rest = [number for number in numbers if number >= int(after)]
        answer: dict[str, Any] = {"results": [shape(str(number)) for number in rest[: int(limit)]]}
        if len(rest) > int(limit):
            answer["paging"] = {"next": {"after": str(rest[int(limit)])}}
        return Answer(answer)
