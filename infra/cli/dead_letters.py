"""`triptych dead-letters` over all verticals."""

from common.cli.dead_letters import dead_letters
from infra.cli.verticals import load_vertical, vertical_names

app = dead_letters(lambda: [load_vertical(name) for name in vertical_names()])
