"""What the support hub registers with the suite."""

from math import inf
from typing import TYPE_CHECKING

from common.settings import CommonSettings, load_settings
from common.tour import Narrator, Stage
from common.vertical import Check, Served, Vertical
from support_hub.settings import SupportSettings

if TYPE_CHECKING:
    from common.evals import Evals


def build(common: CommonSettings, base_url: str, stdio: bool = False) -> Served:
    """The server; imported here, since commands do not need it."""
    from support_hub.server import build as build_server

    return build_server(common, base_url, stdio)


async def tour(narrator: Narrator, stage: Stage) -> None:
    """This vertical's part of the demo."""
    from support_hub.tour import tell

    await tell(narrator, stage)


def evals() -> "Evals":
    """The questions that `triptych evals` asks."""
    from support_hub.evals import questions

    return questions().evals()


NOBODY = "nobody@doctor.invalid"


async def check_databases(settings: CommonSettings) -> str:
    """Asks the hub's own databases, each for a customer that it cannot have, and replicas how far behind they are."""
    from support_hub.bootstrap import build_support_hub, opened

    hub = build_support_hub(settings, load_settings(SupportSettings))
    async with opened(hub):
        if hub.redis is not None:
            await hub.redis.ping()
        parts = await hub.unified_query("customer", NOBODY)
        lags = await hub.database.lags()
    if bad := [f"{store}: {part.state}" for store, part in parts.items() if part.state in ("timeout", "error")]:
        raise RuntimeError(f"{', '.join(bad)}: see SUPPORT_POSTGRES_URL, SUPPORT_MONGODB_URL, SUPPORT_REDIS_URL")
    if late := [replica for replica, lag in lags.items() if lag == inf]:
        raise RuntimeError(f"replica {', '.join(late)} is away, behind, or none: see SUPPORT_POSTGRES_REPLICA_URLS")
    found = [f"{store} {part.seconds * 1000:.0f} ms" for store, part in parts.items()]
    return ", ".join([*found, *(f"replica {replica} {lag:.2f} s behind" for replica, lag in lags.items())])


async def check_sources(settings: CommonSettings) -> str:
    """Asks every platform for one customer."""
    from support_hub.bootstrap import build_support_hub, opened

    hub = build_support_hub(settings, load_settings(SupportSettings))
    async with opened(hub):
        for crm in hub.crms:
            await crm.search_people("a", 1)
    platforms = ", ".join(crm.title for crm in hub.crms) or "no platform (set SUPPORT_*_URL)"
    return f"{platforms} answer"


vertical = Vertical(
    name="support-hub",
    prefix="support",
    title="Support hub",
    port=8003,
    settings=SupportSettings,
    build=build,
    tour=tour,
    checks=(Check("databases", check_databases), Check("sources", check_sources)),
    evals=evals,
)
