"""The objects of the org: fields, types, what must and may be written, relationships."""

from dataclasses import dataclass
from typing import Literal

FieldType = Literal["id", "reference", "string", "textarea", "email", "phone", "picklist", "boolean", "datetime"]


@dataclass(frozen=True)
class Field:
    """One field. Long text cannot be filtered or sorted by, as there."""

    name: str
    type: FieldType = "string"
    length: int = 255
    writable: bool = True
    required: bool = False
    external_id: bool = False
    to: str = ""

    @property
    def relationship(self) -> str:
        """AccountId is followed as Account."""
        return self.name.removesuffix("Id") if self.to else ""


@dataclass(frozen=True)
class SObject:
    """One object type; `named` are the fields that a search IN NAME FIELDS looks at."""

    name: str
    prefix: str
    fields: dict[str, Field]
    named: tuple[str, ...]

    def field(self, name: str) -> Field | None:
        """Names are not case-sensitive."""
        return self.fields.get(name.lower())

    def relationship(self, name: str) -> Field | None:
        """The reference field behind a relationship name."""
        return next((f for f in self.fields.values() if f.relationship.lower() == name.lower() != ""), None)


def _object(name: str, prefix: str, named: tuple[str, ...], *fields: Field) -> SObject:
    system = (
        Field("Id", "id", writable=False),
        Field("IsDeleted", "boolean", writable=False),
        Field("CreatedDate", "datetime", writable=False),
        Field("LastModifiedDate", "datetime", writable=False),
        Field("SystemModstamp", "datetime", writable=False),
    )
    return SObject(name, prefix, {field.name.lower(): field for field in (*system, *fields)}, named)


_EXTERNAL = Field("External_Id__c", external_id=True)
OBJECTS = (
    _object(
        "Account", "001", ("Name",),
        Field("Name", required=True), Field("Website"), Field("Industry", "picklist"), Field("Phone", "phone", 40),
        Field("BillingStreet", "textarea"), Field("BillingCity", length=40), Field("BillingPostalCode", length=20),
        Field("BillingCountry", length=80), Field("Description", "textarea", 32_000), _EXTERNAL,
    ),
    _object(
        "Contact", "003", ("Name", "FirstName", "LastName"),
        Field("AccountId", "reference", to="Account"), Field("FirstName", length=40),
        Field("LastName", length=80, required=True), Field("Name", writable=False), Field("Email", "email", 80),
        Field("Phone", "phone", 40), Field("MobilePhone", "phone", 40), Field("Title", length=128),
        Field("MailingStreet", "textarea"), Field("MailingCity", length=40), Field("MailingPostalCode", length=20),
        Field("MailingCountry", length=80), Field("Description", "textarea", 32_000), _EXTERNAL,
    ),
    _object(
        "Case", "500", ("CaseNumber", "Subject"),
        Field("CaseNumber", writable=False), Field("AccountId", "reference", to="Account"),
        Field("ContactId", "reference", to="Contact"), Field("Subject"), Field("Description", "textarea", 32_000),
        Field("Status", "picklist"), Field("Priority", "picklist"), Field("Origin", "picklist"),
        Field("Type", "picklist"), Field("Reason", "picklist"), Field("SuppliedEmail", "email", 80),
        Field("IsClosed", "boolean", writable=False), Field("ClosedDate", "datetime", writable=False),
        Field("Product__c"), Field("Serial_Number__c"), _EXTERNAL,
    ),
    _object(
        "CaseComment", "00a", (),
        Field("ParentId", "reference", to="Case", required=True), Field("CommentBody", "textarea", 4000),
        Field("IsPublished", "boolean"), Field("CreatedByName__c", writable=False),
    ),
)  # fmt: skip
BY_NAME = {kind.name.lower(): kind for kind in OBJECTS}
