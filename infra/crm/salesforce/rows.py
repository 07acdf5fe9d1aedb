"""sObject rows: create, read, update, upsert by external id, delete."""

import re
from typing import Any

from infra.crm.calls import Answer, Call, json_object
from infra.crm.clock import now, salesforce_time
from infra.crm.ids import is_salesforce_id
from infra.crm.platform import Platform
from infra.crm.salesforce.errors import bad_json, deleted, error, no_record, not_found
from infra.crm.salesforce.schema import BY_NAME, Field, SObject
from infra.crm.salesforce.store import Record, SalesforceStore

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Rows:
    """The endpoints below /sobjects/."""

    def __init__(self, store: SalesforceStore, platform: Platform) -> None:
        self._store, self._platform = store, platform

    def create(self, call: Call) -> Answer:
        kind = _kind(call)
        return Answer(self._insert(kind, _body(call)), 201)

    def read(self, call: Call) -> Answer:
        kind = _kind(call)
        return self._shown(call, kind, self._find(kind, call.parts["id"]))

    def update(self, call: Call) -> Answer:
        kind = _kind(call)
        self._write(kind, self._find(kind, call.parts["id"]), _body(call))
        return Answer(status=204)

    def delete(self, call: Call) -> Answer:
        kind = _kind(call)
        record = self._find(kind, call.parts["id"])
        self._store.put(kind, record["Id"], None)
        self._platform.changed(kind.name, "deleted", record)
        return Answer(status=204)

    def read_external(self, call: Call) -> Answer:
        kind, field, value = self._external(call)
        found = self._by(kind, field, value)
        if not found:
            raise not_found()
        return self._choices(call, kind, found) if len(found) > 1 else self._shown(call, kind, found[0])

    def upsert(self, call: Call) -> Answer:
        """PATCH /sobjects/{object}/{field}/{value}: 201 created, 200 updated, 300 when several have the value."""
        kind, field, value = self._external(call)
        found, body = self._by(kind, field, value), _body(call)
        if field.name in body:
            raise error(
                400, "INVALID_FIELD", f"The {field.name} field should not be specified in the sobject data.", []
            )
        if len(found) > 1:
            return self._choices(call, kind, found)
        if not found:
            made = self._insert(kind, {**body, field.name: value})
            return Answer({**made, "created": True}, 201)
        self._write(kind, found[0], body)
        return Answer({"id": found[0]["Id"], "success": True, "errors": [], "created": False})

    def describe(self, call: Call) -> Answer:
        kind = _kind(call)
        fields = [
            {"name": f.name, "type": f.type, "length": f.length, "createable": f.writable, "updateable": f.writable,
             "nillable": not f.required, "externalId": f.external_id, "referenceTo": [f.to] if f.to else [],
             "relationshipName": f.relationship or None, "filterable": f.type != "textarea" or f.length <= 255}
            for f in kind.fields.values()
        ]  # fmt: skip
        return Answer(
            {"name": kind.name, "keyPrefix": kind.prefix, "queryable": True, "searchable": True, "fields": fields}
        )

    def _find(self, kind: SObject, key: str) -> Record:
        record = self._store.find(kind, key) if is_salesforce_id(key) else None
        if record is None:
            raise deleted() if key in self._store.deleted else no_record(key)
        return record

    def _external(self, call: Call) -> tuple[SObject, Field, str]:
        kind, field = _kind(call), _kind(call).field(call.parts["field"])
        if field is None or not (field.external_id or field.name == "Id"):
            raise no_record(call.parts["field"])
        return kind, field, call.parts["value"]

    def _by(self, kind: SObject, field: Field, value: str) -> list[Record]:
        return [
            r
            for r in self._store.records[kind.name].values()
            if str(r[field.name] or "").casefold() == value.casefold()
        ]

    def _choices(self, call: Call, kind: SObject, found: list[Record]) -> Answer:
        return Answer([f"/services/data/v{call.parts['version']}/sobjects/{kind.name}/{r['Id']}" for r in found], 300)

    def _shown(self, call: Call, kind: SObject, record: Record) -> Answer:
        names = [name.strip() for name in call.query.get("fields", "").split(",") if name.strip()]
        fields = [_known(kind, name) for name in names] if names else list(kind.fields.values())
        url = f"/services/data/v{call.parts['version']}/sobjects/{kind.name}/{record['Id']}"
        shown = {"attributes": {"type": kind.name, "url": url}, "Id": record["Id"]}
        return Answer({**shown, **{field.name: record[field.name] for field in fields}})

    def _insert(self, kind: SObject, given: Record) -> Record:
        values = self._checked(kind, given)
        missing = [field.name for field in kind.fields.values() if field.required and not values.get(field.name)]
        if missing:
            text = f"Required fields are missing: [{', '.join(missing)}]"
            raise error(400, "REQUIRED_FIELD_MISSING", text, missing)
        key, stamp = self._store.new_id(kind), salesforce_time(now())
        empty: Record = {field.name: None for field in kind.fields.values()}
        stamps = {"CreatedDate": stamp, "LastModifiedDate": stamp, "SystemModstamp": stamp}
        record = {**empty, "Id": key, "IsDeleted": False, **stamps, **self._defaults(kind), **values}
        _derive(kind, record)
        self._store.put(kind, key, record)
        self._platform.changed(kind.name, "created", record)
        return {"id": key, "success": True, "errors": []}

    def _write(self, kind: SObject, record: Record, given: Record) -> None:
        values = self._checked(kind, given)
        emptied = [f.name for f in kind.fields.values() if f.required and f.name in values and not values[f.name]]
        if emptied:
            raise error(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(emptied)}]", emptied)
        previous = {name: record[name] for name, value in values.items() if record[name] != value}
        stamp = salesforce_time(now())
        made = {**record, **values, "LastModifiedDate": stamp, "SystemModstamp": stamp}
        _derive(kind, made)
        self._store.put(kind, record["Id"], made)
        if previous:
            self._platform.changed(kind.name, "updated", made, previous)

    def _defaults(self, kind: SObject) -> Record:
        if kind.name == "Case":
            number = self._store.next_case_number()
            return {"CaseNumber": number, "Status": "New", "Priority": "Medium", "Origin": "Web", "IsClosed": False}
        return {"IsPublished": False, "CreatedByName__c": "Integration"} if kind.name == "CaseComment" else {}

    def _checked(self, kind: SObject, given: Record) -> Record:
        values: Record = {}
        for name, value in given.items():
            if name == "attributes":
                continue
            field = kind.field(name)
            if field is None:
                raise _no_column(kind, name)
            if not field.writable:
                text = f"Unable to create/update fields: {field.name}. Please check the security settings of this field"
                text += " and verify that it is read/write for your profile or permission set."
                raise error(400, "INVALID_FIELD_FOR_INSERT_UPDATE", text, [field.name])
            values[field.name] = self._value(field, value)
        return values

    def _value(self, field: Field, value: Any) -> Any:
        if value is None or value == "":
            return None
        if field.type == "boolean":
            return value in (True, "true", 1)
        if isinstance(value, dict | list):
            text = f"Cannot deserialize instance of {field.type} from START_OBJECT value"
            raise error(400, "JSON_PARSER_ERROR", text)
        text = str(value)
        if field.type == "reference":
            self._refer(field, text)
        if field.type == "email" and not _EMAIL.fullmatch(text):
            raise error(400, "INVALID_EMAIL_ADDRESS", f"{field.name}: invalid email address: {text}", [field.name])
        if len(text) > field.length:
            problem = f"{field.name}: data value too large: {text[:40]} (max length={field.length})"
            raise error(400, "STRING_TOO_LONG", problem, [field.name])
        return text

    def _refer(self, field: Field, key: str) -> None:
        target = BY_NAME[field.to.lower()]
        if not is_salesforce_id(key):
            raise error(400, "MALFORMED_ID", f"{field.name}: id value of incorrect type: {key}", [field.name])
        if self._store.find(target, key) is None:
            raise error(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [field.name])


def _derive(kind: SObject, record: Record) -> None:
    """Fields that follow from others."""
    if kind.name == "Contact":
        record["Name"] = " ".join(filter(None, (record["FirstName"], record["LastName"])))
    if kind.name == "Case":
        record["IsClosed"] = record["Status"] == "Closed"
        record["ClosedDate"] = (record["ClosedDate"] or salesforce_time(now())) if record["IsClosed"] else None


def _kind(call: Call) -> SObject:
    kind = BY_NAME.get(call.parts["object"].lower())
    if kind is None:
        raise not_found()
    return kind


def _body(call: Call) -> Record:
    body = json_object(call)
    if body is None:
        raise bad_json()
    return body


def _known(kind: SObject, name: str) -> Field:
    field = kind.field(name)
    if field is None:
        raise _no_column(kind, name)
    return field


def _no_column(kind: SObject, name: str) -> Exception:
    return error(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}")
