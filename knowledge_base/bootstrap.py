"""The one place that reads settings and wires adapters into use cases."""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from common.databases import create_engine, sqlite_url
from common.errors import SettingsError
from common.files import EicarScanner, Scanner
from common.files.clamd import ClamdScanner
from common.garbage import settle_again
from common.http.upstream import UpstreamMetrics
from common.jobs import JobQueue, Retry
from common.jobs.bell import Bell, NoBell
from common.jobs.docket_bell import DocketBell
from common.jobs.intake import Intake
from common.jobs.sql import SqlJobQueue
from common.redis_client import connect_redis
from common.security.encryption import load_keyring
from common.security.nonces import LocalNonces, Nonces, RedisNonces
from common.settings import CommonSettings
from knowledge_base.adapters.bucket import ObstoreBucket
from knowledge_base.adapters.elastic_client import ElasticsearchAccess
from knowledge_base.adapters.elastic_index import ElasticIndex
from knowledge_base.adapters.lance_index import LanceIndex
from knowledge_base.adapters.mongo_catalog import MongoCatalog
from knowledge_base.adapters.mongo_client import connect
from knowledge_base.adapters.mongo_jobs import MongoJobQueue
from knowledge_base.adapters.mongo_sources import MongoSources
from knowledge_base.adapters.object_stores import Account
from knowledge_base.adapters.objects import Objects
from knowledge_base.adapters.onnx_embedder import OnnxEmbedder
from knowledge_base.adapters.onnx_reranker import OnnxReranker
from knowledge_base.adapters.parser import IsolatedParser
from knowledge_base.adapters.pinecone_client import PineconeAccess
from knowledge_base.adapters.pinecone_index import PineconeIndex
from knowledge_base.adapters.sql_catalog import SqlCatalog
from knowledge_base.adapters.sql_sources import SqlSources
from knowledge_base.bootstrap_embedder import build_embedder
from knowledge_base.bucket_events import BucketEvents
from knowledge_base.buckets import Bucket, BucketSync
from knowledge_base.files import FileCheck
from knowledge_base.ingest import Ingest, WriteRecord, unrecorded
from knowledge_base.library import Library
from knowledge_base.ports import Catalog, ChunkIndex, Embedder, Parser, Reranker, SourceStore
from knowledge_base.ranking import Fusion, convex_combination, reciprocal_rank_fusion
from knowledge_base.reindex import Reindex
from knowledge_base.reranking import Rerank, Reranking, as_ranked
from knowledge_base.search import Search
from knowledge_base.settings import KnowledgeBaseSettings
from knowledge_base.sync import FolderSync
from knowledge_base.uploads import Uploads
from knowledge_base.worker import BATCH, LANES, IngestWorker

WARM_AFTER_SECONDS = 0.5
DEFAULT_MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Stores:
    """Catalogue, jobs and followed folders, which are in one database."""

    catalog: Catalog
    queue: JobQueue
    sources: SourceStore
    close: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class KnowledgeBase:
    """The use cases, and what they stand on."""

    settings: KnowledgeBaseSettings
    stores: Stores
    catalog: Catalog
    index: ChunkIndex
    embedder: Embedder
    parser: Parser
    queue: JobQueue
    bell: Bell
    library: Library
    ingest: Ingest
    sources: SourceStore
    sync: FolderSync
    buckets: BucketSync
    bucket_events: BucketEvents
    uploads: Uploads
    reranker: Reranker | None
    search: Search
    worker: IngestWorker
    reindex: Reindex


def build_knowledge_base(
    common: CommonSettings,
    settings: KnowledgeBaseSettings,
    audit: WriteRecord = unrecorded,
    metrics: UpstreamMetrics | None = None,
) -> KnowledgeBase:
    """Wire everything; nothing is opened yet. What becomes of files of folders goes to `audit`."""
    folder = settings.folder(common.data_dir)
    stores = build_stores(common, settings)
    catalog, queue = stores.catalog, stores.queue
    embedder = OnnxEmbedder() if settings.embedder == "onnx" else build_embedder(common, settings, metrics)
    index = build_index(common, settings, folder, embedder)
    objects = build_objects(common, settings)
    parser = IsolatedParser(timeout_seconds=settings.parse_timeout_seconds)
    scanner = build_scanner(settings)
    reranker = OnnxReranker(settings.reranker) if settings.reranker else None
    worker = IngestWorker(queue, catalog, objects, parser, embedder, index)
    bell = build_bell(common, settings)
    intake = Intake(queue, bell, settings.max_waiting_jobs, BATCH)
    check = FileCheck(settings.max_file_bytes, scanner)
    library = Library(catalog, objects, check, worker.change_access, intake)
    rules = settings.file_rules
    allowed = [Path(path) for path in settings.allowed_paths]
    ingest = Ingest(library, queue, allowed, rules, audit)
    sync = FolderSync(ingest, catalog, stores.sources)
    buckets = BucketSync(sync, folder / "buckets", build_bucket(common, settings), settings.max_file_bytes)
    return KnowledgeBase(
        settings=settings,
        stores=stores,
        catalog=catalog,
        index=index,
        embedder=embedder,
        parser=parser,
        queue=queue,
        bell=bell,
        library=library,
        ingest=ingest,
        sources=stores.sources,
        sync=sync,
        buckets=buckets,
        bucket_events=BucketEvents(stores.sources, buckets.run, build_nonces(common, settings)),
        uploads=Uploads(ingest, audit),
        reranker=reranker,
        search=Search(index, embedder, catalog, _fusion(settings), _rerank(reranker, settings)),
        worker=worker,
        reindex=Reindex(catalog, objects, embedder, index, worker),
    )


def build_stores(common: CommonSettings, settings: KnowledgeBaseSettings) -> Stores:
    """The database of the settings."""
    worker, lease = f"{socket.gethostname()}-{os.getpid()}", settings.job_lease_seconds
    retry = Retry(settings.job_tries)
    if settings.catalog == "mongodb" and settings.mongodb_url:
        client, database = connect(settings.mongodb_url.get_secret_value(), common.ca_file)
        queue = MongoJobQueue(database, worker, lease, retry)
        return Stores(MongoCatalog(database), queue, MongoSources(database), client.close)
    if settings.catalog == "postgres" and settings.postgres_url:
        engine = create_engine(settings.postgres_url.get_secret_value(), common.ca_file)
    else:
        engine = create_engine(sqlite_url(settings.folder(common.data_dir) / "catalog.db"))
    return Stores(SqlCatalog(engine), SqlJobQueue(engine, worker, lease, retry), SqlSources(engine), engine.dispose)


def build_index(
    common: CommonSettings, settings: KnowledgeBaseSettings, folder: Path, embedder: Embedder
) -> ChunkIndex:
    """The search index of the settings; `folder` is this vertical's."""
    if settings.index == "elasticsearch":
        if find_spec("elasticsearch") is None:
            raise SettingsError("KB_INDEX=elasticsearch needs its driver: pip install 'triptych[knowledge-base]'")
        access = ElasticsearchAccess(
            urls=settings.elasticsearch_url,
            api_key=settings.elasticsearch_api_key,
            username=settings.elasticsearch_username,
            password=settings.elasticsearch_password,
            ca_file=settings.elasticsearch_ca_file or common.ca_file,
            timeout_seconds=settings.elasticsearch_timeout_seconds,
        )
        return ElasticIndex(access, settings.elasticsearch_index, embedder.model, embedder.dimension)
    if settings.index == "pinecone" and settings.pinecone_api_key is not None:
        if find_spec("pinecone") is None:
            raise SettingsError("KB_INDEX=pinecone needs its driver: pip install 'triptych[knowledge-base]'")
        hosted = PineconeAccess(
            settings.pinecone_api_key, settings.pinecone_index, settings.pinecone_url, settings.pinecone_timeout_seconds
        )
        return PineconeIndex(hosted, embedder.model, embedder.dimension)
    # Vectors of different models cannot be compared: each has its index, so that one is filled while another serves.
    name = "index" if embedder.model == DEFAULT_MODEL else f"index-{re.sub(r'[^A-Za-z0-9.-]+', '-', embedder.model)}"
    return LanceIndex(folder / name, embedder.dimension)


def build_bell(common: CommonSettings, settings: KnowledgeBaseSettings) -> Bell:
    """With Redis workers are woken; without it they look every half second."""
    if common.redis_url is None:
        return NoBell()
    url = common.redis_url.get_secret_value()
    return DocketBell(url, "triptych:knowledge-base", LANES, settings.job_lease_seconds, common.ca_file)


def build_objects(common: CommonSettings, settings: KnowledgeBaseSettings) -> Objects:
    """The object store of the settings; what is put there is sealed if there is a key for it."""
    location = settings.objects_url or f"file://{(settings.folder(common.data_dir) / 'objects').absolute()}"
    keyring = load_keyring(common) if common.encryption_key else None
    account = Account(settings.objects_endpoint, settings.objects_account, settings.objects_account_key, common.ca_file)
    return Objects(location, keyring, account)


def build_bucket(common: CommonSettings, settings: KnowledgeBaseSettings) -> Callable[[str], Bucket]:
    """Opens buckets that are sources, with the credentials of the object store."""
    account = Account(settings.objects_endpoint, settings.objects_account, settings.objects_account_key, common.ca_file)
    return lambda url: ObstoreBucket(url, account)


def build_nonces(common: CommonSettings, settings: KnowledgeBaseSettings) -> Nonces:
    """With Redis a notice counts once for all processes."""
    if common.redis_url is None or settings.bucket_events_token is None:
        return LocalNonces()
    redis = connect_redis(common.redis_url.get_secret_value(), common.ca_file)
    return RedisNonces(redis, "triptych:knowledge-base:nonce:")


def build_scanner(settings: KnowledgeBaseSettings) -> Scanner:
    """The malware scanner of the settings."""
    if settings.clamd_address is None:
        return EicarScanner()
    return ClamdScanner(settings.clamd_address, settings.clamd_timeout_seconds)


@asynccontextmanager
async def opened(knowledge_base: KnowledgeBase, work: bool = True) -> AsyncIterator[KnowledgeBase]:
    """Open the backends, warm the index beside, work on jobs if asked to; close everything at the end."""
    await knowledge_base.catalog.open()
    await knowledge_base.sources.open()
    background = [asyncio.create_task(_warm(knowledge_base.index))]
    if work:
        worker, bell = knowledge_base.worker, knowledge_base.bell
        background.append(asyncio.create_task(worker.run() if isinstance(bell, NoBell) else worker.serve(bell)))
    try:
        yield knowledge_base
    finally:
        for task in background:
            task.cancel()
        for task in background:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        await knowledge_base.bucket_events.close()
        await knowledge_base.bell.close()
        await knowledge_base.parser.close()
        await knowledge_base.embedder.close()
        if knowledge_base.reranker is not None:
            await knowledge_base.reranker.close()
        await knowledge_base.index.close()
        await knowledge_base.stores.close()


def _fusion(settings: KnowledgeBaseSettings) -> Fusion:
    if settings.fusion == "reciprocal-rank":
        return reciprocal_rank_fusion
    return partial(convex_combination, vector_weight=settings.vector_weight)


def _rerank(model: Reranker | None, settings: KnowledgeBaseSettings) -> Rerank:
    return Reranking(model, settings.rerank_seconds) if model else as_ranked


async def _warm(index: ChunkIndex) -> None:
    # Its imports would take the interpreter from a start that is nearly done.
    await asyncio.sleep(WARM_AFTER_SECONDS)
    await index.warm()
    settle_again()
