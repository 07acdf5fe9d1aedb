"""`triptych token`: a development token."""

from typing import Annotated

import typer

from common.errors import SettingsError
from common.security.signing import load_signing_key
from common.security.tokens import DEVELOPMENT, OwnTokens
from common.settings import Classification, CommonSettings, load_settings

app = typer.Typer()


@app.command()
def token(
    sub: Annotated[str, typer.Option(help="subject: who the token is for")],
    role: Annotated[list[str], typer.Option(help="may be repeated")] = ["user"],  # noqa: B006
    group: Annotated[list[str], typer.Option(help="may be repeated")] = [],  # noqa: B006
    tenant: Annotated[str, typer.Option(help="whose documents it reaches")] = "local",
    clearance: Annotated[Classification, typer.Option(help="highest classification it reads")] = "internal",
    hours: Annotated[float, typer.Option(help="hours until it expires", min=0.001, max=24)] = 8,
) -> None:
    """Print a signed token for development (embedded profile only).

    Example: triptych token --sub alice --role approver --group eng --clearance confidential
    """
    settings = load_settings(CommonSettings)
    if settings.profile != "embedded":
        raise SettingsError("Development tokens are for the embedded profile: use `triptych keys` or your issuer.")
    claims = {"sub": sub, "tenant": tenant, "roles": role, "groups": group, "clearance": clearance}
    typer.echo(OwnTokens(load_signing_key(settings), DEVELOPMENT).issue(claims, hours * 3600))
