"""Three levels: memory of the process, Redis for all processes, and whatever loads the value. Redis may be absent."""
