"""Settings of the gateway."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import SettingsConfigDict

from common.settings import Settings

Prefix = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,19}$")]
"""Of a domain's tools. Without an underscore, so that `kb_list_documents` can be taken apart in one way only."""
DEFAULT_DOMAINS = {
    "kb": ["http://127.0.0.1:8001/mcp"],
    "devops": ["http://127.0.0.1:8002/mcp"],
    "support": ["http://127.0.0.1:8003/mcp"],
}


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("a replica is http(s)://host[:port]/mcp")
    if parts.query or parts.fragment or parts.path in ("", "/"):
        raise ValueError("a replica is http(s)://host[:port]/mcp, with a path and nothing behind it")
    return url


Endpoint = Annotated[str, AfterValidator(_endpoint)]


class DomainLimits(BaseModel):
    """How much one domain may take of the gateway. Times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int = Field(64, gt=0)
    """Calls at the same time."""
    queue: int = Field(64, ge=0)
    """Further calls that may wait for their turn."""
    queue_seconds: float = Field(1.0, ge=0)
    seconds: float = Field(35.0, gt=0, le=300)
    """For a whole call. Longer than the domain's own deadline, so that its own words arrive."""


class Exchange(BaseModel):
    """Where tokens for one domain are had (RFC 8693)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_url: str = Field(pattern=r"^https?://[^/@?#]+/[^?#]+$")
    client_id: str
    client_secret: SecretStr
    audience: str
    scope: str = ""


class GatewaySettings(Settings):
    """Settings of the gateway (`triptych serve gateway`)."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", env_file=".env", extra="ignore", frozen=True)

    domains: dict[Prefix, Annotated[list[Endpoint], Field(min_length=1)]] = Field(
        DEFAULT_DOMAINS, description="JSON: tool prefix -> URLs of the replicas; callers' tokens go nowhere else"
    )
    limits: dict[Prefix, DomainLimits] = Field(
        {}, description='JSON: by prefix {"concurrency": 64, "queue": 64, "queue_seconds": 1, "seconds": 35}'
    )
    exchange: dict[Prefix, Exchange] = Field(
        {},
        description='JSON: prefix -> {"token_url", "client_id", "client_secret", "audience"}; else the own one goes on',
    )
    policy: Path | None = Field(None, description="file of Cedar policies in place of infra/gateway/policies")
    health_path: str = Field("/health/ready", pattern="^/", description="what is asked of every replica")
    health_seconds: float = Field(1.0, gt=0, le=60, description="time between two questions")
    health_timeout_seconds: float = Field(2.0, gt=0, le=60, description="time for an answer; two that fail mean down")
    list_seconds: float = Field(30.0, gt=0, description="how long a caller's list of tools is taken as it is")
    list_wait_seconds: float = Field(5.0, gt=0, le=30, description="how long a list waits for one domain")
    list_keep_seconds: float = Field(3600.0, gt=0, description="how long a list is kept while its domain is down")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not self.domains:
            raise ValueError("name at least one domain in GATEWAY_DOMAINS")
        if unknown := (set(self.limits) | set(self.exchange)) - set(self.domains):
            raise ValueError(f"GATEWAY_DOMAINS has no {', '.join(sorted(unknown))}")
        return self

    def limits_of(self, prefix: str) -> DomainLimits:
        """Its own, or the usual ones."""
        return self.limits.get(prefix, DomainLimits())
