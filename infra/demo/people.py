"""The people of the demo; invented, as the company is."""

from common.people import Person

PEOPLE = (
    Person("alice", "platform engineer", "fernhill", ("editor", "operator"), ("engineering",), "confidential"),
    Person("noor", "lead of the platform team", "fernhill", ("user", "approver"), ("engineering",), "internal"),
    Person("hanna", "head of people", "fernhill", ("user",), ("people",), "restricted"),
    Person("pat", "contractor", "fernhill", ("user",), (), "public"),
    Person("mirek", "quality manager of a customer", "marlow", ("user",), (), "internal"),
    Person("maureen", "support agent", "fernhill", ("agent",), ("support",), "internal"),
    Person("dana", "operator of this installation", "fernhill", ("admin",), (), "internal"),
)
