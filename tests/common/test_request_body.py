from starlette.requests import Request

from common.request_body import body_up_to


def request_of(*parts: bytes) -> tuple[Request, list[bytes]]:
    """A request whose body comes in parts, and what of it was not read."""
    left = list(parts)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return Request({"type": "http", "method": "POST", "headers": []}, receive), left


async def test_a_body_is_read_whole_or_no_further_than_its_limit() -> None:
    request, _ = request_of(b"abc", b"", b"de")
    assert await body_up_to(request, 5) == b"abcde"
    request, left = request_of(b"abc", b"def", b"ghi")
    assert await body_up_to(request, 5) is None and left == [b"ghi"]
