"""What the gateway registers with the suite."""

from common.settings import CommonSettings
from common.tour import Narrator, Stage
from common.vertical import Served, Vertical
from infra.gateway.settings import GatewaySettings


def build(common: CommonSettings, base_url: str, stdio: bool = False) -> Served:
    """The server; imported here, since commands do not need it."""
    from infra.gateway.server import build as build_server

    return build_server(common, base_url, stdio)


async def tour(narrator: Narrator, stage: Stage) -> None:
    """Its part of the demo."""


vertical = Vertical(
    name="gateway", prefix="", title="Gateway", port=8000, settings=GatewaySettings, build=build, tour=tour
)
