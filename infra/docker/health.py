"""`python -m infra.docker.health`: exit 0 if the container's server answers. It runs often, so it imports little."""

import os
import sys
import urllib.request


def main() -> int:
    """Ask /health/live; a server that is alive and not ready must not be restarted."""
    try:
        with urllib.request.urlopen(os.environ["HEALTH_URL"], timeout=4) as answer:  # noqa: S310 - set by the image
            return 0 if answer.status == 200 else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
