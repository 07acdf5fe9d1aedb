"""OpenTelemetry spans, sent when a collector is configured. FastMCP makes spans of calls, `traces.step` those of their
parts; here they get a destination."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from common.errors import SettingsError
from common.observability.call import request_id
from common.observability.traces import export_to

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span


def configure_tracing(server: str, endpoint: str | None) -> Callable[[], None]:
    """Send spans to the collector at `endpoint`; returns what flushes and stops it."""
    import fastmcp

    # Spans that nobody receives would still cost each call a tenth of a millisecond.
    fastmcp.settings.telemetry_mode = "native" if endpoint else "off"
    if endpoint is None:
        return lambda: None
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError("TRIPTYCH_OTLP_ENDPOINT needs the extra `triptych[tracing]`") from None

    class RequestIdProcessor(SpanProcessor):
        def on_start(self, span: "Span", parent_context: "Context | None" = None) -> None:
            span.set_attribute("request.id", request_id.get())

    provider = TracerProvider(resource=Resource.create({"service.name": f"triptych-{server}"}))
    provider.add_span_processor(RequestIdProcessor())
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    export_to(provider.get_tracer("triptych"))

    def stop() -> None:
        export_to(None)
        provider.shutdown()

    return stop
