"""`python -m infra.compose.prepare`: secrets and certificates for compose.yaml. What is there stays as it is."""

import datetime
import json
import os
import secrets
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

FOLDER = Path(__file__).parent / "secrets"
DAYS = 825
"""Of the certificates."""
READABLE = 0o644
"""Inside a folder of mode 0700: containers run as users of their own, and Compose mounts files as they are."""


def passwords(folder: Path) -> dict[str, str]:
    """A password for each backend; those that were made before are kept."""
    names = ("elastic", "mongodb", "postgres", "valkey", "keycloak", "grafana", "s3")
    return {name: _kept(folder / f"{name}_password", secrets.token_urlsafe(24)) for name in names}


def texts(password: dict[str, str]) -> dict[str, str]:
    """File -> content, for what holds a password and is no password itself."""
    identity = {"credentials": [{"accessKey": "triptych", "secretKey": password["s3"]}]}
    actions = ["Admin", "Read", "Write", "List"]
    return {
        "triptych_database_url": _database(password["postgres"]),
        "support_postgres_url": _database(password["postgres"]),
        "triptych_redis_url": f"redis://:{password['valkey']}@valkey:6379/0",
        "kb_mongodb_url": _mongodb(password["mongodb"], "knowledge_base"),
        "support_mongodb_url": _mongodb(password["mongodb"], "support_hub"),
        "valkey_configuration": f"requirepass {password['valkey']}\nappendonly yes\ndir /data\n",
        "keycloak_configuration": f"bootstrap-admin-username=admin\nbootstrap-admin-password={password['keycloak']}\n",
        "s3_configuration": json.dumps({"identities": [{"name": "triptych", "actions": actions} | identity]}),
        "s3_credentials": f"[default]\naws_access_key_id = triptych\naws_secret_access_key = {password['s3']}\n",
    }


def _database(password: str) -> str:
    return f"postgresql+asyncpg://triptych:{password}@postgres:5432/triptych"


def _mongodb(password: str, database: str) -> str:
    return f"mongodb://triptych:{password}@mongodb:27017/{database}?authSource=admin"


def certificates(folder: Path) -> None:
    """An authority of this installation, and Elasticsearch's certificate. The authority's key is not kept."""
    if (folder / "ca_certificate").exists():
        return
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("triptych compose", authority_key.public_key(), authority_key, authority=True)
    server = _certificate("elasticsearch", key.public_key(), authority_key)
    (folder / "elasticsearch").mkdir(mode=0o755, exist_ok=True)
    _kept(folder / "elasticsearch" / "elasticsearch.pem", server)
    _kept(folder / "elasticsearch" / "elasticsearch.key", _pem(key))
    _kept(folder / "ca_certificate", authority)


def prepare(folder: Path) -> None:
    """Everything that compose.yaml mounts."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("triptych_signing_key", "triptych_metrics_token"):
        _kept(folder / name, secrets.token_urlsafe(48))
    for name, text in texts(passwords(folder)).items():
        _kept(folder / name, text)
    certificates(folder)


def _kept(path: Path, text: str) -> str:
    """Write a file that is not there; returns what is in it."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, READABLE), "w") as file:
            file.write(text)
    return path.read_text()


def _certificate(
    name: str, public: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePrivateKey, authority: bool = False
) -> str:
    now = datetime.datetime.now(datetime.UTC)
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "triptych compose")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not authority:
        names = [x509.DNSName(name), x509.DNSName("localhost")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, kind, plain).decode()


if __name__ == "__main__":
    prepare(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    sys.stdout.write("Secrets and certificates are in infra/compose/secrets. Keep the folder; it is in no image.\n")
