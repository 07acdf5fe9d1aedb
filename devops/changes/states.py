"""The states of a change, and which may follow which. The store accepts no other step."""

from typing import Literal, TypeAlias

State: TypeAlias = Literal[
    "planned",
    "awaiting_confirmation",
    "awaiting_approval",
    "approved",
    "executing",
    "succeeded",
    "failed",
    "unknown",
    "rejected",
    "expired",
    "drifted",
    "cancelled",
]

_YES: frozenset[State] = frozenset({"approved"})
_START: frozenset[State] = frozenset({"executing"})
_GIVEN_UP: frozenset[State] = frozenset({"rejected", "expired", "drifted", "cancelled"})
NEXT: dict[State, frozenset[State]] = {
    "planned": frozenset({"awaiting_confirmation", "awaiting_approval", "approved"}),
    "awaiting_confirmation": _YES | _GIVEN_UP,
    "awaiting_approval": _YES | _GIVEN_UP,
    "approved": _START | _GIVEN_UP,
    # `drifted` after the claim: the precondition failed, so nothing was changed.
    "executing": frozenset({"succeeded", "failed", "unknown", "drifted"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "unknown": frozenset(),
    "rejected": frozenset(),
    "expired": frozenset(),
    "drifted": frozenset(),
    "cancelled": frozenset(),
}
FINAL: frozenset[State] = frozenset(state for state, following in NEXT.items() if not following)
WAITING: frozenset[State] = frozenset({"awaiting_confirmation", "awaiting_approval", "approved"})
"""Ends by itself when its time is over."""


def before(state: State) -> frozenset[State]:
    """The states from which this one can be reached."""
    return frozenset(earlier for earlier, following in NEXT.items() if state in following)
