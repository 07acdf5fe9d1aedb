"""Tools that change cloud accounts, in read-write mode; each returns a change that waits for its yes."""

from typing import Annotated, Any

from fastmcp import Context, FastMCP
from mcp.types import InputRequiredResult
from pydantic import Field

from common.security.principal import current_principal
from devops.change_answers import ChangeShown
from devops.change_tools import CHANGES, ChangeTools
from devops.changes.clock import planned_at
from devops.changes.cloud_operations import MAX_TASKS, RebootInstance, StartInstance, StopInstance, service_update
from devops.changes.operations import Operation
from devops.cloud.names import EcsName, InstanceId, TaskDefinition
from devops.cloud.tools import Account
from devops.kinds import EC2_INSTANCE, ECS_SERVICE


def add_cloud_change_tools(server: FastMCP[Any], tools: ChangeTools) -> None:
    """start_instance, stop_instance, reboot_instance, update_service."""
    _add_instance_tools(server, tools)
    _add_service_tools(server, tools)


def _add_instance_tools(server: FastMCP[Any], tools: ChangeTools) -> None:
    async def turned(
        context: Context, account: str | None, instance: str, operation: Operation
    ) -> ChangeShown | InputRequiredResult:
        who = current_principal.get()
        return await tools.asked(
            context, lambda: tools.changes.request_cloud(who, account, EC2_INSTANCE, None, instance, operation)
        )

    @server.tool(title="Start an AWS instance", annotations=CHANGES)
    async def start_instance(
        instance: InstanceId, context: Context, account: Account = None
    ) -> ChangeShown | InputRequiredResult:
        """Plan to start a stopped EC2 instance."""
        return await turned(context, account, instance, StartInstance())

    @server.tool(title="Stop an AWS instance", annotations=CHANGES)
    async def stop_instance(
        instance: InstanceId, context: Context, account: Account = None
    ) -> ChangeShown | InputRequiredResult:
        """Plan to stop a running EC2 instance."""
        return await turned(context, account, instance, StopInstance())

    @server.tool(title="Reboot an AWS instance", annotations=CHANGES)
    async def reboot_instance(
        instance: InstanceId, context: Context, account: Account = None
    ) -> ChangeShown | InputRequiredResult:
        """Plan to reboot a running EC2 instance."""
        return await turned(context, account, instance, RebootInstance(at=planned_at()))


def _add_service_tools(server: FastMCP[Any], tools: ChangeTools) -> None:
    @server.tool(title="Update an AWS service", annotations=CHANGES)
    async def update_service(
        ecs_cluster: Annotated[EcsName, Field(description="name")],
        service: Annotated[EcsName, Field(description="name")],
        context: Context,
        desired_count: Annotated[int | None, Field(description="tasks from then on", ge=0, le=MAX_TASKS)] = None,
        task_definition: Annotated[TaskDefinition | None, Field(description="family:revision")] = None,
        redeploy: Annotated[bool, Field(description="replace all tasks")] = False,
        account: Account = None,
    ) -> ChangeShown | InputRequiredResult:
        """Plan a change of an ECS service: tasks, task definition, or new tasks of the same one."""
        operation = service_update(desired_count, task_definition, redeploy)
        who = current_principal.get()
        return await tools.asked(
            context, lambda: tools.changes.request_cloud(who, account, ECS_SERVICE, ecs_cluster, service, operation)
        )
