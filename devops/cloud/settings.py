"""One account as the settings name it: where it is, and as whom it is looked at. No key can be written here."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

AccountName = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]


class AwsAccount(BaseModel):
    """An account and region. Without role and profile: whom AWS's own chain finds (a pod's or machine's role)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}$")]
    role_arn: (
        Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}$")] | None
    ) = None
    external_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=,.@:/-]{2,1224}$")] | None = Field(None, repr=False)
    profile: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    groups: tuple[str, ...] = ()
    """Who sees it; none: everybody of the tenant."""
