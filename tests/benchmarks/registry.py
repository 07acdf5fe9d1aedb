"""Which benchmarks there are."""

from tests.benchmarks import (
    audit,
    cache,
    capacity,
    chaos,
    cranfield,
    devops_reading,
    elasticsearch,
    embedder,
    gateway,
    http_client,
    ingestion,
    limiter,
    replicas,
    scale,
    soak,
    stack,
    start,
    streams,
    support_hub,
)
from tests.benchmarks.benchmark import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (
        stack,
        gateway,
        start,
        cranfield,
        scale,
        capacity,
        elasticsearch,
        ingestion,
        embedder,
        chaos,
        audit,
        http_client,
        cache,
        devops_reading,
        streams,
        support_hub,
        limiter,
        replicas,
        soak,
    )
}
"""All of them by name, in the order of the report."""
