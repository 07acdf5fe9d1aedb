"""One MCP endpoint in front of any number of domain servers."""
