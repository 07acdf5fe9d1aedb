"""The support hub in the demo: simulated CRM platforms, orders and products, which the support team alone sees."""

from common.settings import CommonSettings
from infra.demo.crm import running_crm
from infra.demo.part import Part, Safety
from infra.seed.support import load_support


async def hand_in(settings: CommonSettings) -> str:
    """Orders, products and profiles."""
    return f"{await load_support(settings)} orders"


part = Part(
    person="maureen",
    safety=Safety(
        writer="maureen",
        reader="noor",
        hidden="create_ticket",
        read=("search_products", {"query": "sensor"}),
        answered=lambda content: [item["sku"] for item in content["items"]],
        wrong=("search_products", {"query": "sensor"}, "limit", "hunter2"),
        audited="get_customer_360",
    ),
    settings={"SUPPORT_TENANT": "fernhill", "SUPPORT_GROUPS": "support"},
    beside=running_crm,
    hand_in=hand_in,
    load=load_support,
)
