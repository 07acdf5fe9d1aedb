"""Spans of passed-on requests, where a collector is configured; the domain's own spans become their children."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

FIELDS = ("traceparent", "tracestate")


@contextmanager
def span(name: str, given: Mapping[str, str], attributes: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """A span below the one that the client told of; yields what tells the domain of this one."""
    from opentelemetry import propagate, trace

    parent = propagate.extract({field: given[field] for field in FIELDS if field in given})
    tracer = trace.get_tracer("triptych.gateway")
    with tracer.start_as_current_span(
        name, context=parent, kind=trace.SpanKind.SERVER, attributes=dict(attributes), record_exception=False
    ):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        yield carrier
