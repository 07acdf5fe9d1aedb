"""Encryption in transit: what our servers offer, and whom our clients believe."""

import ssl
from pathlib import Path

from common.errors import SettingsError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption only. Those of 1.3 are all like that."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """For a server with this certificate (with its chain) and key, both PEM. Raises SettingsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Use this certificate for connections from now on. Raises SettingsError."""
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"TRIPTYCH_TLS_CERT {certificate} and TRIPTYCH_TLS_KEY {key} cannot be used: {reason}"
        ) from None


def _no_password() -> str:
    # Without this, OpenSSL would ask on the terminal.
    raise ValueError("the key is encrypted: give one without a password, readable by the server only")


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """For connections to others: their name and chain are always checked. `ca_file` is believed besides the system's.

    Raises SettingsError.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ValueError) as error:
            raise SettingsError(f"TRIPTYCH_CA_FILE {ca_file} cannot be used: {error}") from None
    return context
