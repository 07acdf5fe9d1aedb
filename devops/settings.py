"""Settings of the DevOps server."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from common.settings import CommaList, Settings
from devops.changes.gates import Freeze, Window
from devops.cloud.settings import AccountName, AwsAccount


class DevopsSettings(Settings):
    """Settings of the DevOps server."""

    model_config = SettingsConfigDict(env_prefix="DEVOPS_", env_file=".env", extra="ignore", frozen=True)

    cluster: Literal["simulated", "kubeconfig", "in-cluster"] = Field(
        "simulated", description="simulated: a small cluster in data_dir; kubeconfig; in-cluster: the pod's own account"
    )
    mode: Literal["read-only", "read-write"] = Field(
        "read-only", description="read-only: tools that change something do not exist"
    )
    kubeconfig: Path | None = Field(None, description="file; default: ~/.kube/config")
    contexts: CommaList = Field([], description="contexts of that file, each a cluster; default: its current one")
    impersonate: bool = Field(
        False, description="act as the caller (subject and groups), so that the cluster's own RBAC decides, too"
    )
    request_timeout_seconds: float = Field(10.0, gt=0, le=60, description="deadline of one request to a cluster")
    prometheus_url: str | None = Field(
        None, description="Prometheus for get_metrics over time and for alerts; unset: current use only, no alerts"
    )
    prometheus_token: SecretStr | None = Field(None, description="bearer token for Prometheus")
    objective: float = Field(
        0.999, gt=0.5, lt=1, description="share of requests that must succeed; the rest is the error budget"
    )
    objective_days: int = Field(30, ge=1, le=90, description="days over which the error budget counts")
    requests_metric: str = Field(
        "http_requests_total",
        pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]{0,199}$",
        description="counter of requests in Prometheus, with the labels namespace and pod",
    )
    requests_status_label: str = Field(
        "code",
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,99}$",
        description="its label with the HTTP status; 5xx is an error",
    )
    aws: Literal["off", "on"] = Field("off", description="on: the accounts of DEVOPS_AWS_ACCOUNTS can be read, too")
    aws_accounts: dict[AccountName, AwsAccount] = Field(
        {},
        description='JSON: name -> region, and as whom: {"shop-prod": {"region": "eu-west-1", "role_arn": "arn:...", '
        '"external_id": "...", "groups": ["sre"]}}; a profile instead of a role; never keys',
    )
    aws_endpoint_url: str | None = Field(None, description="URL instead of AWS's own, for all its services")
    tenant: str = Field("local", description="whose clusters these are; callers of other tenants see no namespace")
    namespace_groups: dict[str, list[str]] = Field(
        {},
        description='JSON: groups that see a namespace, {"production": ["sre"], "*": ["engineering"]}; {}: everybody',
    )
    namespace_policy: Path | None = Field(None, description="Cedar file instead of devops/policies/namespaces.cedar")
    change_policy: Path | None = Field(None, description="Cedar file instead of devops/policies/changes.cedar")
    environments: dict[str, str] = Field(
        {},
        description='JSON: namespace or cluster/namespace pattern -> environment, {"dev-*": "development"}; of AWS '
        "account/region or account/ecs-cluster; what fits none is production",
    )
    freezes: list[Freeze] = Field(
        [],
        description='JSON: [{"environment": "production", "start": ..., "end": ..., "reason": ...}]',
    )
    windows: dict[str, list[Window]] = Field(
        {}, description='JSON: {"production": [{"days": ["mon"], "start": "08:00", "end": "17:00"}]}, UTC: only then'
    )
    changes_off: bool = Field(False, description="the kill switch as a setting; the console has one, too")
    change_ttl_seconds: float = Field(3600.0, gt=0, le=86_400, description="time that a change waits for its yes")
    changes_per_hour: int = Field(30, gt=0, description="changes that a person may ask for, by environment")
    approve_by_tool: Literal["off", "on"] = Field(
        "off", description="on: approve_change and reject_change exist as tools; a model then could be talked into them"
    )
    break_glass: Literal["off", "on"] = Field(
        "off", description="on: two people with the role break-glass execute what cannot wait, or what a freeze forbids"
    )
    break_glass_minutes: float = Field(15.0, gt=0, le=60, description="after which a break-glass is over")
    image_prefixes: CommaList = Field([], description="registries or paths that set_image may name; none: any")
    rollout_stall_seconds: float = Field(
        120.0, gt=0, description="a rollout in which no replica became ready for so long stands still"
    )
    rollout_halt: Literal["off", "on"] = Field(
        "off", description="on: a rollout that stands still is paused, where change:halt in the policy allows it"
    )
    notify_kinds: CommaList = Field([], description="what is told, such as change.waiting; none: everything")
    notify_webhook_url: str | None = Field(None, description="https address that gets each notice as a signed POST")
    notify_webhook_secret: SecretStr | None = Field(None, description="whsec_ and at least 24 bytes in base64")
    notify_smtp_host: str | None = Field(None, description="mail server that takes notices")
    notify_smtp_port: int = Field(587, gt=0, le=65_535, description="its port")
    notify_smtp_tls: Literal["starttls", "tls", "off"] = Field(
        "starttls", description="tls: from the first byte, as on port 465; off: on this machine only"
    )
    notify_smtp_user: str | None = Field(None, description="user of the mail server, if it wants one")
    notify_smtp_password: SecretStr | None = Field(None, description="password of that user")
    notify_email_from: str | None = Field(None, description="sender of the mails")
    notify_email_to: CommaList = Field([], description="who gets them")
    worker: bool = Field(True, description="execute changes inside the server process; else `triptych worker devops`")
    max_log_bytes: int = Field(128 * 1024, ge=1024, le=1024 * 1024, description="most that get_logs reads at once")

    def folder(self, data_dir: Path) -> Path:
        """Where the embedded profile keeps this vertical's data."""
        return data_dir / "devops"

    def simulated_file(self, data_dir: Path) -> Path:
        """Where the simulated cluster is."""
        return self.folder(data_dir) / "simulated.db"
