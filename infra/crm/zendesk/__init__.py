"""A simulated Zendesk Support (Ticketing API v2)."""
