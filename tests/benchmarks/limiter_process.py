"""One of the processes of the limiter benchmark: `... URL RATE BURST SECONDS`; begins when it is told to."""

import asyncio
import json
import sys
import time
from typing import Any

from common.redis_client import connect_redis
from common.resilience.rate_limit import LocalRateLimiter, RateLimiter
from common.resilience.redis_rate_limit import RedisRateLimiter

AT_ONCE = 8
KEEP = 20
"""Of so many answers one latency is kept."""


async def ask(limiter: RateLimiter, seconds: float) -> dict[str, Any]:
    """Ask for one caller until the time is up."""
    asked = passed = 0
    latencies: list[float] = []
    began = time.monotonic()

    async def asker() -> None:
        nonlocal asked, passed
        while (started := time.monotonic()) < began + seconds:
            wait = await limiter.acquire("caller")
            passed += wait == 0
            asked += 1
            if asked % KEEP == 0:
                latencies.append(time.monotonic() - started)
            if isinstance(limiter, LocalRateLimiter):
                await asyncio.sleep(0.001)

    await asyncio.gather(*(asker() for _ in range(AT_ONCE)))
    found = {"asked": asked, "passed": passed, "began": began, "ended": time.monotonic(), "latencies": latencies}
    return found


async def main(url: str, rate: float, burst: int, seconds: float) -> None:
    """Print what was found as JSON."""
    if not url:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        sys.stdout.write(json.dumps(await ask(LocalRateLimiter(rate, burst), seconds)))
        return
    async with connect_redis(url) as redis:
        limiter = RedisRateLimiter(redis, rate, burst, "closed", f"bench:{rate}:")
        await limiter.look("warm-up")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        sys.stdout.write(json.dumps(await ask(limiter, seconds)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
