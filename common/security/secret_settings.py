"""Where secrets live, and how we sign in there. These settings alone cannot be references themselves."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SecretSettings(BaseSettings):
    """Shared by every server, and read before all other settings."""

    model_config = SettingsConfigDict(env_prefix="TRIPTYCH_", env_file=".env", extra="ignore", frozen=True)

    secrets: Literal["env", "aws", "vault"] = Field(
        "env", description="where secret://path#field in other settings is looked up"
    )
    secrets_dir: Path | None = Field(None, description="env: folder of files such as /run/secrets, before variables")
    secrets_ttl_seconds: float = Field(60.0, gt=0, description="a secret that changed is noticed within this time")
    secrets_overlap_seconds: float = Field(600.0, ge=0, description="after a change the old value is tried as well")
    secrets_timeout_seconds: float = Field(5.0, gt=0, le=60, description="deadline of one question to the store")
    secrets_aws_region: str | None = Field(None, description="aws: region; default: AWS_REGION, or the profile's")
    secrets_aws_endpoint_url: str | None = Field(None, description="aws: another endpoint, such as a VPC's")
    vault_addr: str = Field("http://127.0.0.1:8200", description="vault: its URL")
    vault_namespace: str | None = Field(None, description="vault: namespace (Enterprise)")
    vault_ca_file: Path | None = Field(None, description="vault: certificate authority of its TLS")
    vault_mount: str = Field("secret", description="vault: where KV version 2 is mounted")
    vault_auth: Literal["token", "approle", "kubernetes"] = Field("token", description="vault: how to sign in")
    vault_token: SecretStr | None = Field(None, description="vault, token: for development")
    vault_role_id: str | None = Field(None, description="vault, approle: role id")
    vault_secret_id: SecretStr | None = Field(None, description="vault, approle: secret id")
    vault_role: str | None = Field(None, description="vault, kubernetes: role")
    vault_jwt_file: Path = Field(
        Path("/var/run/secrets/kubernetes.io/serviceaccount/token"),
        description="vault, kubernetes: the pod's own token",
    )
