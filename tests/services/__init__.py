"""Real servers for tests, each started once for a test run on a free loopback port.

A URL in the environment (TEST_REDIS_URL, ...) takes precedence. To add a server, write a module with a generator
`start()` that yields its URL, and give it a fixture in tests/conftest.py by `service(...)`.
"""
