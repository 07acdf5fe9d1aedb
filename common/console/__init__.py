"""The web console that every server has."""
