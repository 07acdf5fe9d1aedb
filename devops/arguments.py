"""The tools' arguments: what cannot be a Kubernetes name is refused before anything else happens."""

from typing import Annotated

from pydantic import Field

from devops.names import NamespaceName, ObjectName

ClusterName = Annotated[str | None, Field(description="default: the first", max_length=100)]
Namespace = Annotated[NamespaceName, Field(description="namespace", max_length=63)]
AnyNamespace = Annotated[NamespaceName | None, Field(description="default: all that you may see", max_length=63)]
Name = Annotated[ObjectName, Field(description="name, as the lists give it", max_length=253)]
OptionalName = Annotated[ObjectName | None, Field(description="name, as the lists give it", max_length=253)]
NodeName = Annotated[ObjectName | None, Field(description="only this node", max_length=253)]
Labels = Annotated[dict[str, str], Field(description='only with these labels, as {"app": "web-portal"}', max_length=10)]
Unhealthy = Annotated[bool, Field(description="only what is not as it should be")]
Limit = Annotated[int, Field(description="entries a page", ge=1, le=500)]
Cursor = Annotated[str | None, Field(description="next_cursor of the page before", max_length=4000)]
