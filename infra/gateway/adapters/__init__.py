"""What the gateway speaks HTTP with."""
