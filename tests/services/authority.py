"""A certificate authority that lives as long as a test."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PKCS8 = serialization.PrivateFormat.PKCS8


@dataclass(frozen=True)
class Certificate:
    """PEM files: the certificate, and its key."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates; who believes it has `ca_file`."""

    def __init__(self, folder: Path, name: str = "throwaway") -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name} authority")])
        self.ca_file = folder / f"{name}-ca.pem"
        self.ca_file.write_bytes(self._sign(self._own, self._key.public_key(), [], True))

    def issue(self, *hosts: str, password: bytes | None = None) -> Certificate:
        """For names or addresses, good for a day."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0])])
        number = len(list(self._folder.glob(f"{self._name}-*.key")))
        issued = Certificate(self._folder / f"{self._name}-{number}.pem", self._folder / f"{self._name}-{number}.key")
        issued.cert.write_bytes(self._sign(name, key.public_key(), hosts, False))
        hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        issued.key.touch(0o600)
        issued.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, PKCS8, hidden))
        return issued

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, hosts: tuple[str, ...] | list[str], is_ca: bool
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._own)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        if hosts:
            names = [_general_name(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self._key, SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
