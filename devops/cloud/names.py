"""Names as AWS has them. No ARN is one: it could name another account or region."""

from typing import Annotated

from pydantic import Field

from devops.names import checked

InstanceId = Annotated[
    str, checked(r"i-[0-9a-f]{8}(?:[0-9a-f]{9})?", "instance id"), Field(description="instance id, i-...")
]
EcsName = Annotated[str, checked(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,254}", "name of ECS; an ARN is none")]
TaskDefinition = Annotated[
    str,
    checked(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,254}:[1-9][0-9]{0,9}", "family:revision; an ARN is none"),
]
LogGroup = Annotated[str, checked(r"[A-Za-z0-9_./][A-Za-z0-9_./#-]{0,511}", "log group")]
NameTag = Annotated[str, Field(max_length=256)]
