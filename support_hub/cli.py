"""What the support hub registers with the suite."""

from common.settings import CommonSettings, load_settings
from common.tour import Narrator, Stage
from common.vertical import Check, Served, Vertical
from support_hub.settings import SupportSettings


def build(common: CommonSettings, base_url: str, stdio: bool = False) -> Served:
    """The server; imported here, since commands do not need it."""
    from support_hub.server import build as build_server

    return build_server(common, base_url, stdio)


async def tour(narrator: Narrator, stage: Stage) -> None:
    """This vertical's part of the demo."""
    from support_hub.tour import tell

    await tell(narrator, stage)


async def check_sources(settings: CommonSettings) -> str:
    """Asks every platform for one customer, and the database whether it is there."""
    from support_hub.bootstrap import build_support_hub, opened

    hub = build_support_hub(settings, load_settings(SupportSettings))
    async with opened(hub):
        await hub.store.ping()
        for crm in hub.crms:
            await crm.search_people("a", 1)
    platforms = ", ".join(crm.title for crm in hub.crms) or "no platform (set SUPPORT_*_URL)"
    return f"database and {platforms} answer"


vertical = Vertical(
    name="support-hub",
    prefix="support",
    title="Support hub",
    port=8003,
    settings=SupportSettings,
    build=build,
    tour=tour,
    checks=(Check("sources", check_sources),),
)
