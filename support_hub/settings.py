"""Settings of the support hub."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from common.settings import CommaList, SecretList, Settings


class SupportSettings(Settings):
    """Settings of the support hub. A platform without URL is left out."""

    model_config = SettingsConfigDict(env_prefix="SUPPORT_", env_file=".env", extra="ignore", frozen=True)

    salesforce_url: str | None = Field(None, description="My Domain URL, https://company.my.salesforce.com")
    salesforce_per_second: float = Field(20.0, gt=0, le=1000, description="requests that one process sends at most")
    salesforce_client_id: str = Field("", description="consumer key of the connected app")
    salesforce_client_secret: SecretStr | None = Field(None, description="its secret, for client credentials")
    salesforce_username: str = Field("", description="user of the JWT bearer flow, which needs no secret")
    salesforce_private_key_file: Path | None = Field(None, description="PEM file with the key that signs its JWTs")
    salesforce_audience: str = Field("https://login.salesforce.com", description="audience of the JWTs")
    salesforce_external_id: str = Field(
        "External_Id__c",
        pattern=r"^[A-Za-z]\w{0,60}$",
        description="custom field of Case, marked as external id: written at creation, read for mirrored tickets",
    )
    salesforce_organization_id: str = Field("", description="organisation whose outbound messages are accepted")
    salesforce_webhook_token: SecretStr | None = Field(
        None, description="secret part of the outbound messages' URL, /webhooks/salesforce?token=...; unset: refused"
    )
    hubspot_url: str | None = Field(None, description="https://api.hubapi.com")
    hubspot_per_second: float = Field(15.0, gt=0, le=1000, description="requests that one process sends at most")
    hubspot_token: SecretStr | None = Field(None, description="access token of the private app")
    hubspot_client_secret: SecretStr | None = Field(None, description="signs its webhooks; unset: they are refused")
    zendesk_url: str | None = Field(None, description="https://company.zendesk.com")
    zendesk_per_second: float = Field(
        11.0,
        gt=0,
        le=1000,
        description="requests that one process sends at most; 11: Enterprise, less a little for others",
    )
    zendesk_client_id: str = Field("", description="OAuth client for client credentials")
    zendesk_client_secret: SecretStr | None = Field(None, description="its secret")
    zendesk_email: str = Field("", description="instead of OAuth: the agent whose API token it is")
    zendesk_api_token: SecretStr | None = Field(None, description="that API token")
    zendesk_webhook_secret: SecretStr | None = Field(None, description="signs its webhooks; unset: they are refused")
    postgres_url: SecretStr | None = Field(
        None, description="orders and products: postgresql+asyncpg://...; unset: SQLite in data_dir"
    )
    postgres_replica_urls: SecretList = Field([], description="streaming replicas of it, for reads")
    replica_lag_seconds: float = Field(1.0, gt=0, le=30, description="how old the data of a replica may be")
    mongodb_url: SecretStr | None = Field(
        None, description="customer profiles: mongodb://host:port/database; unset: beside the orders"
    )
    redis_url: SecretStr | None = Field(None, description="cache that replicas share; default: TRIPTYCH_REDIS_URL")
    tenant: str = Field("local", description="whose customers these are; callers of other tenants see none")
    groups: CommaList = Field([], description="groups that see customers; none: everybody of the tenant")
    source_seconds: float = Field(3.0, gt=0, le=30, description="time that one source has to answer")
    fresh_seconds: float = Field(60.0, gt=0, description="how long an answer of a source is taken as it is")
    stale_seconds: float = Field(600.0, ge=0, description="how much longer while a new one is fetched, or cannot be")
    phone_region: str = Field("GB", min_length=2, max_length=2, description="country of numbers without country code")
    prefer: dict[str, list[str]] = Field(
        {}, description='JSON: sources that are believed first, {"phone": ["salesforce"]}; else the newest change'
    )

    def folder(self, data_dir: Path) -> Path:
        """Where the embedded profile keeps this vertical's data."""
        return data_dir / "support-hub"
