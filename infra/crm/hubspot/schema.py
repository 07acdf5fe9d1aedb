"""The object types, their properties and the association types between them (HubSpot's own ids)."""

from dataclasses import dataclass

from infra.crm.hubspot.errors import error

DATES = ("createdate", "lastmodifieddate", "hs_lastmodifieddate", "hs_timestamp", "closed_date")
NUMBERS = ("hs_object_id", "hs_pipeline_stage")


@dataclass(frozen=True)
class ObjectType:
    """One type: its names, what it has, what it shows unasked, where its free-text query looks."""

    name: str
    singular: str
    code: str
    properties: tuple[str, ...]
    shown: tuple[str, ...]
    searched: tuple[str, ...]
    modified: str = "hs_lastmodifieddate"
    first_id: int = 0


_SYSTEM = ("hs_object_id", "createdate")
TYPES = (
    ObjectType(
        "contacts", "contact", "0-1",
        ("email", "firstname", "lastname", "phone", "mobilephone", "company", "jobtitle", "address", "city", "zip",
         "country", "hs_additional_emails", "lifecyclestage", "lastmodifieddate", *_SYSTEM),
        ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
        ("firstname", "lastname", "email", "phone", "company", "hs_additional_emails"), "lastmodifieddate",
    ),
    ObjectType(
        "companies", "company", "0-2",
        ("name", "domain", "phone", "industry", "city", "country", "customer_number", "hs_lastmodifieddate", *_SYSTEM),
        ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
        ("name", "domain", "phone"),
    ),
    ObjectType(
        "tickets", "ticket", "0-5",
        ("subject", "content", "hs_pipeline", "hs_pipeline_stage", "hs_ticket_priority", "hs_ticket_category",
         "source_type", "hubspot_owner_id", "closed_date", "product_sku", "serial_number", "external_reference",
         "hs_lastmodifieddate", *_SYSTEM),
        ("content", "createdate", "hs_lastmodifieddate", "hs_object_id", "hs_pipeline", "hs_pipeline_stage",
         "hs_ticket_category", "hs_ticket_priority", "subject"),
        ("subject", "content", "hs_object_id"),
    ),
    ObjectType(
        "notes", "note", "0-46",
        ("hs_note_body", "hs_timestamp", "hubspot_owner_id", "hs_body_preview", "hs_lastmodifieddate", *_SYSTEM),
        ("createdate", "hs_lastmodifieddate", "hs_object_id"),
        ("hs_note_body",),
    ),
)  # fmt: skip
BY_NAME = {name: kind for kind in TYPES for name in (kind.name, kind.singular, kind.code)}
# developers.hubspot.com, "Association type IDs": the unlabelled types.
ASSOCIATIONS = {
    ("contacts", "companies"): 279, ("companies", "contacts"): 280,
    ("contacts", "tickets"): 15, ("tickets", "contacts"): 16,
    ("companies", "tickets"): 340, ("tickets", "companies"): 339,
    ("contacts", "notes"): 201, ("notes", "contacts"): 202,
    ("companies", "notes"): 189, ("notes", "companies"): 190,
    ("tickets", "notes"): 227, ("notes", "tickets"): 228,
}  # fmt: skip
PIPELINE = {"0": {"1": "New", "2": "Waiting on contact", "3": "Waiting on us", "4": "Closed"}}
PRIORITIES = ("LOW", "MEDIUM", "HIGH", "URGENT")


def object_type(name: str) -> ObjectType:
    """The type of a path segment. Raises Refused."""
    kind = BY_NAME.get(name.lower())
    if kind is None:
        text = f"Unable to infer object type from: {name}"
        raise error(400, "VALIDATION_ERROR", text)
    return kind
