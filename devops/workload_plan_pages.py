"""Forms that plan changes of a workload, as the tools of the same names do."""

from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from common.console.page import Page
from common.security.principal import Principal
from devops.answers import WorkloadKind
from devops.changes.change import Change
from devops.changes.clock import planned_at
from devops.changes.operations import Operation, Restart, Scale, SetImage
from devops.changes.service import Changes
from devops.kinds import KINDS
from devops.plan_forms import Given, plan_form, refused, valid
from devops.workload_pages import NAME, NAMESPACE, PATH

KIND: TypeAdapter[WorkloadKind] = TypeAdapter(WorkloadKind)
REPLICAS: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=0, le=500)])
REVISION: TypeAdapter[int | None] = TypeAdapter(Annotated[int, Field(ge=1)] | None)


def workload_plan_pages(changes: Changes) -> list[Page]:
    """Restart, scale, another image, and the way back to an earlier revision."""

    async def request(who: Principal, given: Given, operation: Operation) -> Change:
        kind = KINDS[valid(KIND, given, "kind")]
        at = valid(NAMESPACE, given, "namespace"), valid(NAME, given, "name")
        return await changes.request(who, given.get("cluster"), kind, *at, operation)

    async def restart(who: Principal, given: Given) -> Change:
        return await request(who, given, Restart(at=planned_at()))

    async def scale(who: Principal, given: Given) -> Change:
        return await request(who, given, Scale(replicas=valid(REPLICAS, given, "replicas")))

    async def image(who: Principal, given: Given) -> Change:
        try:
            operation = SetImage(container=valid(NAME, given, "container"), image=given.get("image", ""))
        except ValidationError as error:
            raise refused("image", error) from None
        return await request(who, given, operation)

    async def back(who: Principal, given: Given) -> Change:
        at = valid(NAMESPACE, given, "namespace"), valid(NAME, given, "name")
        return await changes.rollback(who, given.get("cluster"), *at, valid(REVISION, given, "revision"))

    return [
        plan_form(f"{PATH}/restart_workload", "restart_workload", restart),
        plan_form(f"{PATH}/scale_workload", "scale_workload", scale),
        plan_form(f"{PATH}/set_image", "set_image", image),
        plan_form(f"{PATH}/rollback_workload", "rollback_workload", back),
    ]
