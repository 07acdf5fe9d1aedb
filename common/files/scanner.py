"""Looks for malware before anything else opens a file."""

from typing import Protocol

# In two parts, or scanners would take this very file (or its .pyc) for the test virus.
_EICAR = (rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$", rb"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*")


class Scanner(Protocol):
    """Looks for malware."""

    async def scan(self, data: bytes) -> str | None:
        """The name of what was found, None if nothing was.

        Raises Unavailable if that could not be found out: the file must then not be used.
        """


class EicarScanner:
    """Knows the EICAR test signature only: it shows that the check is in place. Production names a clamd."""

    async def scan(self, data: bytes) -> str | None:
        """See Scanner."""
        return found_eicar(data)


def found_eicar(data: bytes) -> str | None:
    """The name of the test signature if it is in there."""
    return "EICAR-Test-File" if b"".join(_EICAR) in data else None
