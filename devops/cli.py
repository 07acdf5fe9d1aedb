"""What the DevOps server registers with the suite."""

from typing import TYPE_CHECKING

from common.errors import SettingsError
from common.security.signing import load_signing_key
from common.settings import CommonSettings, load_settings
from common.tour import Narrator, Stage
from common.vertical import Check, Served, Vertical
from devops.settings import DevopsSettings

if TYPE_CHECKING:
    from common.evals import Evals


def build(common: CommonSettings, base_url: str, stdio: bool = False) -> Served:
    """The server; imported here, since commands do not need it."""
    from devops.server import build as build_server

    return build_server(common, base_url, stdio)


async def work(common: CommonSettings) -> None:
    """Execute changes until cancelled."""
    import asyncio

    import typer

    from common.runtime import build_runtime
    from devops.bootstrap import build_devops, opened
    from devops.bootstrap_changes import build_changes, opened_changes
    from devops.server import NAME, policies

    settings = load_settings(DevopsSettings)
    if settings.mode != "read-write":
        raise SettingsError("DEVOPS_MODE=read-only changes nothing, so there is no work: set it to read-write")
    runtime = build_runtime(NAME, common, policies(settings))
    devops = build_devops(common, settings, runtime.key)
    async with runtime.opened(), opened(devops), opened_changes(build_changes(runtime, devops), work=True):
        typer.echo("devops worker: ready", err=True)
        await asyncio.Event().wait()


async def tour(narrator: Narrator, stage: Stage) -> None:
    """This vertical's part of the demo."""
    from devops.tour import tell

    await tell(narrator, stage)


def evals() -> "Evals":
    """The questions that `triptych evals` asks."""
    from devops.evals import questions

    return questions().evals()


async def check_clusters(settings: CommonSettings) -> str:
    """Asks every cluster for its namespaces."""
    from devops.bootstrap import build_devops, opened
    from devops.kinds import NAMESPACE
    from devops.ports import Query

    devops = build_devops(settings, load_settings(DevopsSettings), load_signing_key(settings))
    async with opened(devops):
        names = []
        for cluster in devops.backends:
            await cluster.table(NAMESPACE, Query(limit=1))
            names.append(f"{cluster.name}{' (simulated)' if cluster.simulated else ''}")
    return f"{', '.join(names)} can be read; mode {devops.settings.mode}"


async def check_notifications(settings: CommonSettings) -> str:
    """Reaches every channel without telling anybody anything."""
    from devops.bootstrap_notify import build_notifiers, notify_kinds

    own = load_settings(DevopsSettings)
    notify_kinds(own)
    notifiers = build_notifiers(settings, own)
    if not notifiers:
        return "off: neither DEVOPS_NOTIFY_WEBHOOK_URL nor DEVOPS_NOTIFY_SMTP_HOST is set"
    try:
        return "; ".join([await notifier.check() for notifier in notifiers])
    finally:
        for notifier in notifiers:
            await notifier.close()


async def check_accounts(settings: CommonSettings) -> str:
    """Asks every AWS account for its instances."""
    from devops.bootstrap import build_devops, opened

    devops = build_devops(settings, load_settings(DevopsSettings), load_signing_key(settings))
    if devops.cloud is None:
        return "off (DEVOPS_AWS)"
    async with opened(devops):
        for session in devops.cloud.sessions:
            await session.read("ec2", "describe_instances", MaxResults=5)
    return f"{', '.join(session.name for session in devops.cloud.sessions)} can be read"


vertical = Vertical(
    name="devops",
    prefix="devops",
    title="DevOps",
    port=8002,
    settings=DevopsSettings,
    build=build,
    tour=tour,
    work=work,
    checks=(
        Check("clusters", check_clusters),
        Check("aws", check_accounts),
        Check("notifications", check_notifications),
    ),
    evals=evals,
)
