"""The people of the demo; invented, as the company is."""

from common.people import Person

PEOPLE = (
    Person("alice", "platform engineer", "fernhill", ("editor",), ("engineering",), "confidential"),
    Person("hanna", "head of people", "fernhill", ("user",), ("people",), "restricted"),
    Person("pat", "contractor", "fernhill", ("user",), (), "public"),
    Person("mirek", "quality manager of a customer", "marlow", ("user",), (), "internal"),
    Person("dana", "operator of this installation", "fernhill", ("admin",), (), "internal"),
)
