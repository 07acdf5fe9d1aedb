"""Tells people and other systems what became of changes: from an outbox, at least once, and never in a change's way."""
