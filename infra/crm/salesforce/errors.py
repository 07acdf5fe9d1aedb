"""Salesforce's error answers: a list of objects with message and errorCode, as its REST API guide has them."""

from infra.crm.calls import Refused


def error(status: int, code: str, message: str, fields: list[str] | None = None) -> Refused:
    """The usual shape; errors of writing name the fields."""
    body: dict[str, object] = {"message": message, "errorCode": code}
    return Refused([body if fields is None else {**body, "fields": fields}], status)


def not_found() -> Refused:
    """404 of a path or record that does not exist."""
    return error(404, "NOT_FOUND", "The requested resource does not exist")


def no_record(key: str) -> Refused:
    """404 of a record, as sObject rows answer it."""
    return error(404, "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {key}")


def deleted() -> Refused:
    """404 of a record that was deleted."""
    return error(404, "ENTITY_IS_DELETED", "entity is deleted", [])


def bad_json() -> Refused:
    """400 of a body that is not a JSON object."""
    return error(400, "JSON_PARSER_ERROR", "Unexpected character at [line:1, column:1]")


def invalid_session() -> Refused:
    """401."""
    return error(401, "INVALID_SESSION_ID", "Session expired or invalid")


def request_limit() -> Refused:
    """403 once the day's requests are used up."""
    return error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")


def query_error(code: str, query: str, position: int, problem: str) -> Refused:
    """400 that shows the place: the line, a caret below it, row and column, and what is wrong."""
    before = query[:position]
    row, start = before.count("\n") + 1, before.rfind("\n") + 1
    line = query[start:].split("\n", 1)[0]
    column = position - start
    shown = line[max(0, column - 60) : column + 30]
    caret = " " * min(column, 60) + "^"
    return error(400, code, f"\n{shown}\n{caret}\nERROR at Row:{row}:Column:{column + 1}\n{problem}")
