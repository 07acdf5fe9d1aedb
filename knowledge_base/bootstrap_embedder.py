"""Embedders other than the one that comes with the project."""

from importlib.util import find_spec

from common.errors import SettingsError
from common.http.credentials import Credentials, secret_headers
from common.http.upstream import Upstream, UpstreamMetrics
from common.resilience.breaker import BreakerLimits
from common.settings import CommonSettings
from knowledge_base.adapters.sentence_embedder import SentenceEmbedder
from knowledge_base.ports import Embedder
from knowledge_base.settings import KnowledgeBaseSettings


def build_embedder(
    common: CommonSettings, settings: KnowledgeBaseSettings, metrics: UpstreamMetrics | None = None
) -> Embedder:
    """The embedder of the settings, which is not the one of this machine. Raises SettingsError."""
    if settings.embedder == "sentence-transformers":
        if find_spec("sentence_transformers") is None:
            install = "pip install 'triptych[sentence-transformers]'"
            raise SettingsError(f"KB_EMBEDDER=sentence-transformers needs it: {install}")
        return SentenceEmbedder(settings.embedder_model, settings.embedder_dimension)
    # With it comes aiohttp: a sixth of the time in which a worker is ready.
    from knowledge_base.adapters.http_embedder import HttpEmbedder

    upstream = Upstream(
        "embedder",
        settings.embedder_url or "",
        deadline=4 * settings.embedder_timeout_seconds,
        attempt=settings.embedder_timeout_seconds,
        max_bytes=32 * 1024 * 1024,
        # A full batch on a slow machine is no sign of illness before its time is over.
        breaker=BreakerLimits(slow_after=settings.embedder_timeout_seconds),
        ca_file=common.ca_file,
    )
    model, dimension = settings.embedder_model, settings.embedder_dimension
    return HttpEmbedder(upstream, model, dimension, _credentials(settings), metrics)


def _credentials(settings: KnowledgeBaseSettings) -> Credentials | None:
    if settings.embedder_api_key is None:
        return None
    key, follow = settings.embedder_api_key.get_secret_value(), settings.follow("embedder_api_key")
    return secret_headers(key, follow, lambda value: {"Authorization": f"Bearer {value}"})
