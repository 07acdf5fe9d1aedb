"""AWS: moto's server, which answers like Secrets Manager, EC2, ECS and CloudWatch, and keeps all in memory."""

from collections.abc import Iterator

REMEDY = "pip install 'moto[server]', or TEST_AWS_URL=http://..."


def start() -> Iterator[str]:
    """Yields the endpoint's URL."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
