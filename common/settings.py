"""Settings that fail fast: a wrong or unknown one stops the start and is named."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from common.errors import SettingsError
from common.security.secret_settings import SecretSettings
from common.security.secrets import SCHEME, Rotating, SecretUnavailable, Template, is_reference

Classification = Literal["public", "internal", "confidential", "restricted"]
S = TypeVar("S", bound="Settings")


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaList = Annotated[list[str], NoDecode, BeforeValidator(_split)]
"""A list that is written as `a,b,c` in the environment."""
SecretList = Annotated[list[SecretStr], NoDecode, BeforeValidator(_split)]
RootKey = Annotated[SecretStr, Field(min_length=32)]
RootKeys = Annotated[list[RootKey], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """Any value may be `secret://path#field`, or hold `${secret://path#field}`: it is looked up before validation."""

    _rotating: dict[str, Rotating] = PrivateAttr(default_factory=dict)

    def follow(self, field: str) -> Rotating | None:
        """The setting as it is from now on, if it is a reference to a secret."""
        return self._rotating.get(field)

    def current(self, field: str) -> str | None:
        """The value at this moment of a setting that is a text or a secret."""
        rotating = self.follow(field)
        value = rotating.value() if rotating else getattr(self, field)
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: Any,
        env_settings: Any,
        dotenv_settings: Any,
        file_secret_settings: Any,
    ) -> tuple[Any, ...]:
        """See BaseSettings. References are replaced in what the environment and the file say."""
        problems: list[str] = []
        for source in (env_settings, dotenv_settings):
            source.env_vars = _resolved(cls, source.env_vars, problems)
        if problems:
            raise SettingsError("\n  - ".join(problems))
        return (init_settings, env_settings, dotenv_settings)


class CommonSettings(SecretSettings, Settings):
    """Settings that every server of the suite shares."""

    model_config = SettingsConfigDict(env_prefix="TRIPTYCH_", env_file=".env", extra="ignore", frozen=True)

    profile: Literal["embedded", "production"] = Field(
        "embedded", description="embedded: everything in one folder; production: real backends, secrets required"
    )
    data_dir: Path = Field(Path(".triptych"), description="folder of the embedded profile's data")
    signing_key: SecretStr | None = Field(
        None, min_length=32, description="root of all derived keys, the same on all replicas; embedded makes its own"
    )
    encryption_key: RootKey | None = Field(
        None, description="root of the keys that seal data at rest; default: the signing key"
    )
    encryption_old_keys: RootKeys = Field(
        [], description="earlier encryption or signing keys: what they sealed can still be read"
    )
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the audit log; embedded: a file in data_dir"
    )
    redis_url: SecretStr | None = Field(None, description="Redis or Valkey for state that replicas share")
    public_url: str | None = Field(None, description="URL under which clients reach this server, without /mcp")
    allowed_hosts: CommaList = Field([], description="further Host headers that are accepted")
    allowed_origins: CommaList = Field([], description="browser origins that are accepted")
    trusted_proxies: CommaList = Field(
        ["127.0.0.1", "::1"], description="proxies whose X-Forwarded-For and -Proto are believed: addresses or networks"
    )
    tls_cert: Path | None = Field(None, description="the server's certificate with its chain, PEM; unset: plain HTTP")
    tls_key: Path | None = Field(None, description="key of that certificate, PEM; both are read again on SIGHUP")
    ca_file: Path | None = Field(
        None,
        description="PEM of authorities that databases, Redis and domain servers are believed by, too",
    )
    max_request_bytes: int = Field(4 * 1024 * 1024, gt=0, description="largest request body")

    api_keys_file: Path | None = Field(None, description="file of hashed API keys; default: api-keys.json in data_dir")
    oauth_issuer: str | None = Field(None, description="issuer of accepted JWTs")
    oauth_audience: str | None = Field(None, description="audience that a JWT must name")
    oauth_jwks_uri: str | None = Field(None, description="where the issuer publishes its keys")
    oauth_algorithms: CommaList = Field(["RS256", "ES256"], description="signature algorithms that are accepted")
    stdio_identity: str = Field("local", description="subject of calls over stdio (role user, clearance internal)")
    sign_in_failures_per_minute: int = Field(10, gt=0, description="failed sign-ins per client address")

    rate_limit_per_second: float = Field(20.0, gt=0, description="tool calls per person and second")
    rate_limit_burst: int = Field(40, gt=0, description="calls a person may make at once")
    rate_limit_outage: Literal["open", "closed", "local"] = Field(
        "local", description="when Redis is down: let through, refuse, or limit in each process"
    )
    tool_timeout_seconds: float = Field(30.0, gt=0, le=60, description="deadline of a tool call")
    drain_delay_seconds: float = Field(0.0, ge=0, description="time between SIGTERM and closing the port")
    drain_seconds: float = Field(10.0, gt=0, description="time that running calls get after SIGTERM")

    audit_checkpoint_file: Path | None = Field(
        None, description="checkpoints outside the database; default: audit-checkpoints.jsonl in data_dir"
    )
    audit_checkpoint_seconds: float = Field(5.0, gt=0, description="time between two checkpoints")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_format: Literal["json", "console"] = Field("json", description="json lines, or lines for a terminal")
    otlp_endpoint: str | None = Field(None, description="OpenTelemetry collector (HTTP); unset: no spans are sent")
    metrics_token: SecretStr | None = Field(
        None, description="bearer token of /metrics; without it only this machine may read them"
    )

    @property
    def accepted_hosts(self) -> list[str]:
        """Host headers that are accepted: those that were named, and the server's own in public."""
        own = urlsplit(self.public_url or "").hostname
        return [*self.allowed_hosts, *([own] if own else [])]

    @property
    def accepted_origins(self) -> list[str]:
        """Origins of browsers, likewise: behind a proxy that ends TLS a request does not say `https` by itself."""
        own = urlsplit(self.public_url or "")
        return [*self.allowed_origins, *([f"{own.scheme}://{own.netloc}"] if own.hostname else [])]


def _given(prefix: str, env_file: Path) -> dict[str, str]:
    """Name -> where it came from, for every setting with this prefix."""
    from_file = {key.upper(): str(env_file) for key in (dotenv_values(env_file) if env_file.exists() else {})}
    from_environment = {key.upper(): "the environment" for key in os.environ}
    return {k: v for k, v in (from_file | from_environment).items() if k.startswith(prefix)}


def _unknown(cls: type[BaseSettings], prefix: str, given: dict[str, str]) -> list[str]:
    known = {f"{prefix}{name}".upper() for name in cls.model_fields}
    problems = []
    for name in sorted(set(given) - known):
        near = difflib.get_close_matches(name, known, n=1)
        advice = f"; did you mean {near[0]}?" if near else ""
        problems.append(f"{name} (from {given[name]}) is not a setting{advice}")
    return problems


def _own_references(cls: type[Settings], given: Mapping[str, str | None]) -> dict[str, Template]:
    """Field -> reference. Where secrets live cannot be a secret itself."""
    prefix = str(cls.model_config.get("env_prefix", "")).lower()
    texts = {name.lower().removeprefix(prefix): text for name, text in given.items() if name.lower().startswith(prefix)}
    fields = set(cls.model_fields) - set(SecretSettings.model_fields)
    return {name: Template(text) for name, text in texts.items() if name in fields and text and is_reference(text)}


def _resolved(cls: type[Settings], given: Mapping[str, str | None], problems: list[str]) -> Mapping[str, str | None]:
    references = _own_references(cls, given)
    if not references:
        return given
    from common.security.secret_cache import open_cache

    prefix, found = str(cls.model_config.get("env_prefix", "")), dict(given)
    for field, template in references.items():
        name = f"{prefix}{field}"
        try:
            if len(template.references) < max(1, template.text.count(f"${{{SCHEME}")):
                # Its text is not named: beside a mistyped reference, or in it, there may be a plain password.
                raise SecretUnavailable("it is or holds a reference that is not secret://path#field")
            found[name.lower()] = template.render(open_cache(_where_secrets_live()).get)
        except SecretUnavailable as error:
            problems.append(f"{name.upper()}: {error}")
            found.pop(name.lower(), None)
    return found


def _where_secrets_live() -> SecretSettings:
    try:
        return SecretSettings()
    except ValidationError as error:
        names = [f"TRIPTYCH_{item['loc'][0]}".upper() for item in error.errors(include_input=False) if item["loc"]]
        raise SecretUnavailable(f"{', '.join(names)} cannot be used") from None


def _followed(cls: type[Settings], env_file: Path, overrides: Mapping[str, Any]) -> dict[str, Rotating]:
    given = {**(dotenv_values(env_file) if env_file.exists() else {}), **os.environ}
    references = {name: text for name, text in _own_references(cls, given).items() if name not in overrides}
    if not references:
        return {}
    from common.security.secret_cache import open_cache

    cache = open_cache(_where_secrets_live())
    return {name: Rotating(template, cache) for name, template in references.items()}


def load_settings(cls: type[S], **overrides: Any) -> S:
    """Read settings from the environment and `.env`; raises SettingsError that names every wrong one."""
    prefix = str(cls.model_config.get("env_prefix", "")).upper()
    env_file = Path(str(cls.model_config.get("env_file") or ".env"))
    given = _given(prefix, env_file)
    problems = _unknown(cls, prefix, given)
    try:
        settings = cls(**overrides)
        settings._rotating = _followed(cls, env_file, overrides)
    except ValidationError as error:
        # The value itself is left out: it may be a secret.
        for item in error.errors(include_url=False, include_input=False):
            name = f"{prefix}{'.'.join(str(part) for part in item['loc'])}".upper()
            problems.append(f"{name} (from {given.get(name, 'the caller')}): {item['msg']}")
    except SettingsError as error:
        problems.append(str(error))
    if problems:
        raise SettingsError("Settings cannot be used:\n  - " + "\n  - ".join(problems))
    return settings
