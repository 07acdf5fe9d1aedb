"""FastMCP's own proxy in front of a server: `python -m tests.benchmarks.gateway_proxy URL --port N`."""

import argparse

import uvicorn
from fastmcp import FastMCP
from fastmcp.server import create_proxy

HOST = "127.0.0.1"


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    front = FastMCP("proxy")
    front.mount(create_proxy(given.url), namespace="kb")
    app = front.http_app(path="/mcp", stateless_http=True)
    uvicorn.run(app, host=HOST, port=given.port, loop="uvloop", http="httptools", log_config=None, access_log=False)


if __name__ == "__main__":
    main()
