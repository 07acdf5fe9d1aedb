"""Seals what a client carries between two rounds of a confirmation: with the newest key; older ones open."""

from mcp.server.request_state import AESGCMRequestStateCodec

from common.security.signing import Keys, Purpose


class RequestStates:
    """A codec of the SDK whose keys follow the ring; every replica opens what another one sealed."""

    def __init__(self, keys: Keys) -> None:
        self._keys = Purpose(keys, "request-state")
        self._ids: tuple[str, ...] = ()
        self._codec: AESGCMRequestStateCodec | None = None

    def seal(self, payload: bytes) -> str:
        """An opaque token."""
        return self._current().seal(payload)

    def unseal(self, token: str) -> bytes:
        """What was sealed. Raises InvalidRequestState."""
        return self._current().unseal(token)

    def _current(self) -> AESGCMRequestStateCodec:
        keys = self._keys.accepted
        ids = tuple(key.id for key in keys)
        if self._codec is None or ids != self._ids:
            self._ids, self._codec = ids, AESGCMRequestStateCodec([key.secret for key in keys])
        return self._codec
