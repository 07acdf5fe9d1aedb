"""Pages: by offset (`page`, `per_page`) and by cursor (`page[size]`, `page[after]`)."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from infra.crm.calls import Answer, Call
from infra.crm.paging import decode_cursor, encode_cursor, page_after
from infra.crm.zendesk.errors import bad_request, search_limit

Record = dict[str, Any]
MAX_PAGE, MAX_OFFSET_PAGES, MAX_SEARCH = 100, 100, 1000


def number(call: Call, name: str, default: int, most: int) -> int:
    """A positive number of the query, capped as Zendesk does. Raises Refused."""
    text = call.query.get(name, str(default))
    if not text.isdigit() or int(text) < 1:
        raise bad_request(
            "Invalid attribute", f"You passed an invalid value for the {name} attribute. must be an integer"
        )
    return min(int(text), most)


def listed(
    call: Call, name: str, records: Sequence[Record], key: Callable[[Record], Any] = lambda record: record["id"]
) -> Answer:
    """A list resource, paged as the caller asks for; `records` are sorted by `key`."""
    if "page[size]" in call.query or "page[after]" in call.query:
        return by_cursor(call, name, records, key)
    return by_offset(call, name, records)


def by_cursor(
    call: Call, name: str, records: Sequence[Record], key: Callable[[Record], Any], most: int = MAX_PAGE
) -> Answer:
    """Cursor paging: meta and links."""
    size = number(call, "page[size]", 100, most)
    try:
        after = decode_cursor(call.query["page[after]"]) if "page[after]" in call.query else None
    except ValueError:
        raise bad_request("Invalid attribute", "page[after] is not valid") from None
    page, more = page_after(records, lambda record: [key(record), record["id"]], after, size)
    cursor = encode_cursor(key(page[-1]), page[-1]["id"]) if page else None
    first = encode_cursor(key(page[0]), page[0]["id"]) if page else None
    following = url(call, {"page[after]": cursor}) if more else None
    meta = {"has_more": more, "after_cursor": cursor, "before_cursor": first}
    return Answer({name: page, "meta": meta, "links": {"prev": None, "next": following}})


def by_offset(call: Call, name: str, records: Sequence[Record], search: bool = False) -> Answer:
    """Offset paging: count, next_page and previous_page. A search ends at 1,000, other lists at 100 pages."""
    page, size = number(call, "page", 1, 1_000_000), number(call, "per_page", 100, MAX_PAGE)
    if search and page * size > MAX_SEARCH and (page - 1) * size >= MAX_SEARCH:
        raise search_limit()
    if not search and page > MAX_OFFSET_PAGES:
        raise bad_request("Invalid attribute", "Page: pagination beyond 100 pages is not supported, use cursors")
    start = (page - 1) * size
    following = url(call, {"page": page + 1, "per_page": size}) if start + size < len(records) else None
    previous = url(call, {"page": page - 1, "per_page": size}) if page > 1 else None
    answer = {name: list(records[start : start + size]), "next_page": following, "previous_page": previous}
    return Answer({**answer, "count": len(records)})


def url(call: Call, changed: dict[str, Any]) -> str:
    """The address of this call with other parameters."""
    return f"{call.base_url}{call.path}?{urlencode({**dict(call.query), **changed})}"
