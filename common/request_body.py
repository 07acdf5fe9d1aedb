"""Bodies of requests that come without sign-in, so that less is read of them than of others."""

from starlette.requests import Request


async def body_up_to(request: Request, most: int) -> bytes | None:
    """All of it, or None if it has more than `most` bytes; the rest is not read."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            return None
        parts.append(part)
    return b"".join(parts)
