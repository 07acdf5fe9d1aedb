"""Tokens of a conversation, and what they cost by the list prices of the API."""

from dataclasses import dataclass
from typing import Any

MILLION = 1_000_000
WRITE = 1.25
"""Writing to the cache (five minutes) costs so many times the input price."""
PRICES: dict[str, tuple[float, float, float]] = {
    "claude-fable-5-1": (10.0, 50.0, 0.025),
    "claude-fable-5": (10.0, 50.0, 0.1),
    "claude-opus-5-5": (4.0, 20.0, 0.05),
    "claude-opus-5": (5.0, 25.0, 0.1),
    "claude-opus-4": (5.0, 25.0, 0.1),
    "claude-sonnet-5-5": (2.0, 10.0, 0.05),
    "claude-sonnet-5": (2.0, 10.0, 0.1),
    "claude-sonnet-4": (3.0, 15.0, 0.1),
    "claude-haiku-4-5": (1.0, 5.0, 0.1),
}
"""By the beginning of the name, as listed in November 2026: dollars for a million tokens in and out, and what reading
from the cache costs as a part of the input price. Models with several prices are left out."""


@dataclass
class Usage:
    """Tokens. `input` were neither written to the cache nor read from it."""

    input: int = 0
    output: int = 0
    written: int = 0
    read: int = 0

    def add(self, usage: Any) -> None:
        """Those of one more message."""
        self.input += usage.input_tokens
        self.output += usage.output_tokens
        self.written += usage.cache_creation_input_tokens or 0
        self.read += usage.cache_read_input_tokens or 0

    def dollars(self, model: str) -> float | None:
        """The price, if it is known."""
        known = sorted((name for name in PRICES if model == name or model.startswith(f"{name}-")), key=len)
        if not known:
            return None
        each_in, each_out, read = PRICES[known[-1]]
        weighted = self.input + WRITE * self.written + read * self.read
        return (weighted * each_in + self.output * each_out) / MILLION
