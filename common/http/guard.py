"""Where requests may go: to one origin, and never to an address that it must not resolve to."""

import ipaddress
import socket
from urllib.parse import quote

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from common.errors import InvalidInput, SettingsError, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def base_url(value: str) -> URL:
    """The URL of the settings, ending in a slash. Raises SettingsError if it is not an http(s) address by itself."""
    try:
        url = URL(value)
    except ValueError:
        raise SettingsError("An upstream's URL cannot be read") from None
    if url.scheme not in ("http", "https") or not url.host or url.user or url.query_string or url.fragment:
        raise SettingsError(f"{url.host or 'An upstream'}: the URL must be http(s)://host[:port][/path] and no more")
    if (address := _literal(url)) and _is_never_meant(address):
        raise SettingsError(f"{url.host}: requests may not go to this address")
    return url if url.path.endswith("/") else url.with_path(url.path + "/")


def within(base: URL, target: str) -> URL:
    """A path below the base, or a whole URL of the same origin, as paging links are. Raises InvalidInput.

    Credentials go with each request, so no answer of an upstream may lead them elsewhere.
    """
    url = base.join(URL(target, encoded=True))
    if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port) or url.user:
        raise InvalidInput(f"A link leads from {base.host} to another host, and was not followed.")
    return url


def path(*segments: str) -> str:
    """A path of segments that may hold anything. Raises InvalidInput for one that would lead up."""
    if any(segment in ("", ".", "..") for segment in segments):
        raise InvalidInput("An id cannot be empty, or consist of dots.")
    return "/".join(quote(segment, safe="") for segment in segments)


def is_private_by_name(url: URL) -> bool:
    """Whether the settings themselves name an address of this machine or network."""
    if address := _literal(url):
        return not _is_public(address)
    host = url.host or ""
    return "." not in host or host.endswith((".localhost", ".local", ".internal", ".svc"))


def _literal(url: URL) -> Address | None:
    try:
        return ipaddress.ip_address(url.host or "")
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_global


def _is_never_meant(address: Address) -> bool:
    # Link-local is where clouds hand out the machine's own credentials.
    plain = getattr(address, "ipv4_mapped", None) or address
    return plain.is_link_local or plain.is_multicast or plain.is_unspecified


class GuardedResolver(AbstractResolver):
    """Refuses addresses that a public name must not have. What is checked is what is connected to."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        allowed = [each for each in found if self._allows(ipaddress.ip_address(each["host"].split("%")[0]))]
        if not allowed:
            raise Unavailable(f"{host} resolves to an address that requests may not go to.")
        return allowed

    def _allows(self, address: Address) -> bool:
        return not _is_never_meant(address) and (self._allow_private or _is_public(address))

    async def close(self) -> None:
        await self._resolver.close()
