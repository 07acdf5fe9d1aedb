"""Forms that plan changes of a cloud account, as the tools of the same names do."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from common.console.page import Page
from common.security.principal import Principal
from devops.changes.change import Change
from devops.changes.clock import planned_at
from devops.changes.cloud_operations import MAX_TASKS, RebootInstance, StartInstance, StopInstance, service_update
from devops.changes.operations import Operation
from devops.changes.service import Changes
from devops.cloud.names import EcsName, InstanceId, TaskDefinition
from devops.kinds import EC2_INSTANCE, ECS_SERVICE
from devops.plan_forms import Given, Plan, plan_form, valid

INSTANCE_PATH = "/cloud/{account}/instances/{instance}"
SERVICE_PATH = "/cloud/{account}/services/{ecs_cluster}/{service}"
INSTANCE: TypeAdapter[str] = TypeAdapter(InstanceId)
NAME: TypeAdapter[str] = TypeAdapter(EcsName)
DEFINITION: TypeAdapter[str | None] = TypeAdapter(TaskDefinition | None)
TASKS: TypeAdapter[int | None] = TypeAdapter(Annotated[int, Field(ge=0, le=MAX_TASKS)] | None)


def cloud_plan_pages(changes: Changes) -> list[Page]:
    """Start, stop and reboot of an instance, and an update of a service."""

    def turned(operation: Operation | None) -> Plan:
        async def plan(who: Principal, given: Given) -> Change:
            wanted = operation or RebootInstance(at=planned_at())
            instance = valid(INSTANCE, given, "instance")
            return await changes.request_cloud(who, given["account"], EC2_INSTANCE, None, instance, wanted)

        return plan

    async def update(who: Principal, given: Given) -> Change:
        operation = service_update(
            valid(TASKS, given, "desired_count"), valid(DEFINITION, given, "task_definition"), "redeploy" in given
        )
        at = valid(NAME, given, "ecs_cluster"), valid(NAME, given, "service")
        return await changes.request_cloud(who, given["account"], ECS_SERVICE, *at, operation)

    return [
        plan_form(f"{INSTANCE_PATH}/start_instance", "start_instance", turned(StartInstance())),
        plan_form(f"{INSTANCE_PATH}/stop_instance", "stop_instance", turned(StopInstance())),
        plan_form(f"{INSTANCE_PATH}/reboot_instance", "reboot_instance", turned(None)),
        plan_form(f"{SERVICE_PATH}/update_service", "update_service", update),
    ]
