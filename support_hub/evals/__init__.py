"""Questions about the demo company's customers, tickets, orders and products, and what a good answer shows."""

from functools import cache
from pathlib import Path

from common.tool_evals import Questions


@cache
def questions() -> Questions:
    """What the two files here say."""
    return Questions.read(Path(__file__).parent)
