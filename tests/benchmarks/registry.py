"""Which benchmarks there are."""

from tests.benchmarks import audit, cache, cranfield, http_client, ingestion, stack, start
from tests.benchmarks.benchmark import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (stack, start, cranfield, ingestion, audit, http_client, cache)
}
"""All of them by name, in the order of the report."""
