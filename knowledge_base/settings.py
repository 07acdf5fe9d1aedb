"""Settings of the knowledge base."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from common.files import FileRules
from common.settings import Classification, CommaList, Settings
from knowledge_base.ranking import VECTOR_WEIGHT

_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


class KnowledgeBaseSettings(Settings):
    """Settings of the knowledge base."""

    model_config = SettingsConfigDict(env_prefix="KB_", env_file=".env", extra="ignore", frozen=True)

    index: Literal["lance", "elasticsearch", "pinecone"] = Field(
        "lance", description="search index; lance: embedded, in data_dir"
    )
    elasticsearch_url: CommaList = Field([], description="https://host:9200, of one node or several")
    elasticsearch_api_key: SecretStr | None = Field(None, description="or give username and password")
    elasticsearch_username: str | None = Field(None, description="who signs in, if there is no API key")
    elasticsearch_password: SecretStr | None = Field(None, description="of that user")
    elasticsearch_ca_file: Path | None = Field(None, description="its authority, if it is not TRIPTYCH_CA_FILE's")
    elasticsearch_index: str = Field(
        "triptych-kb", pattern=r"^[a-z0-9][a-z0-9-]{0,99}$", description="what names of indices begin with"
    )
    elasticsearch_timeout_seconds: float = Field(10.0, gt=0, le=60, description="deadline of one request to it")
    pinecone_api_key: SecretStr | None = Field(None, description="key of the project that has the index")
    pinecone_index: str = Field(
        "triptych-kb", pattern=r"^[a-z0-9][a-z0-9-]{0,44}$", description="an index of dense and sparse vectors"
    )
    pinecone_url: str = Field(
        "https://api.pinecone.io", pattern=r"^https?://", description="control plane, which knows where the index is"
    )
    pinecone_timeout_seconds: float = Field(10.0, gt=0, le=60, description="deadline of one request to it")
    catalog: Literal["sqlite", "postgres", "mongodb"] = Field(
        "sqlite", description="catalogue of documents, and the jobs; sqlite: embedded, in data_dir"
    )
    postgres_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL, postgresql+asyncpg://..., of the catalogue"
    )
    mongodb_url: SecretStr | None = Field(
        None, description="URL of the catalogue with its database; default: the database triptych"
    )
    objects_url: str | None = Field(
        None,
        pattern=r"^(file|s3|az)://.+",
        description="where files are kept: file://, s3://bucket/prefix or az://container/prefix; default: in data_dir",
    )
    objects_endpoint: str | None = Field(
        None, pattern=r"^https?://", description="of a store that speaks S3 or Azure's protocol, but is elsewhere"
    )
    objects_account: str | None = Field(None, description="Azure storage account; S3 asks boto3 for its credentials")
    objects_account_key: SecretStr | None = Field(
        None, description="its key; default: the managed identity of the workload or machine"
    )
    bucket_events_token: SecretStr | None = Field(
        None, min_length=32, description="bearer token of notices that buckets have changed, at /webhooks/buckets"
    )
    embedder: Literal["onnx", "sentence-transformers", "http"] = Field(
        "onnx", description="onnx: all-MiniLM-L6-v2 on this machine's processors; http: a server elsewhere"
    )
    embedder_url: str | None = Field(
        None, pattern=r"^https?://", description="of a server like OpenAI's, up to /v1: embeddings is added"
    )
    embedder_api_key: SecretStr | None = Field(None, description="bearer token of that server")
    embedder_model: str = Field(
        "all-MiniLM-L6-v2", min_length=1, description="as that server calls it; sentence-transformers: name or folder"
    )
    embedder_dimension: int = Field(384, gt=0, le=20_000, description="of the vectors of that model")
    embedder_timeout_seconds: float = Field(15.0, gt=0, le=60, description="time of one try of that server")
    allowed_paths: CommaList = Field([], description="folders that start_ingest may read; none: the tool refuses")
    max_file_bytes: int = Field(25 * 1024 * 1024, gt=0, description="largest file that is taken in")
    allow_hard_links: bool = Field(False, description="take files of folders that have more than one name")
    allow_world_writable: bool = Field(False, description="take what everybody on this machine may write")
    clamd_address: str | None = Field(
        None, description="malware scanner, host:port or socket path; without one only the EICAR test file is found"
    )
    clamd_timeout_seconds: float = Field(10.0, gt=0, le=60, description="time for the malware scan of one file")
    default_classification: Classification = Field("internal", description="of a file that comes without one")
    parse_timeout_seconds: float = Field(60.0, gt=0, le=600, description="time to turn one file into text")
    fusion: Literal["convex", "reciprocal-rank"] = Field("convex", description="how full text and vectors are joined")
    vector_weight: float = Field(VECTOR_WEIGHT, ge=0, le=1, description="share of the vectors in a convex fusion")
    reranker: Path | None = Field(None, description="folder of a cross-encoder, model.onnx and tokenizer.json")
    rerank_seconds: float = Field(0.5, gt=0, le=30, description="after it the order stays as it was")
    job_tries: int = Field(5, ge=1, le=20, description="failed tries until a job becomes a dead letter")
    job_lease_seconds: float = Field(
        60.0, ge=1, le=3600, description="time after which a job whose worker is not heard of is somebody else's"
    )
    max_waiting_jobs: int = Field(
        10_000,
        gt=0,
        description="documents that may wait; beyond that new ones are refused for a while",
    )
    worker: bool = Field(True, description="work on ingest jobs inside the server process")

    @model_validator(mode="after")
    def _elasticsearch_is_usable(self) -> Self:
        if self.index == "elasticsearch" and not self.elasticsearch_url:
            raise ValueError("KB_INDEX=elasticsearch needs KB_ELASTICSEARCH_URL")
        signs_in = self.elasticsearch_api_key is not None or self.elasticsearch_password is not None
        for url in map(urlsplit, self.elasticsearch_url):
            if url.scheme not in ("http", "https") or not url.hostname:
                raise ValueError("KB_ELASTICSEARCH_URL must be like https://host:9200")
            if url.username is not None or url.password is not None:
                raise ValueError("KB_ELASTICSEARCH_URL must hold no password: use KB_ELASTICSEARCH_PASSWORD")
            if signs_in and url.scheme == "http" and url.hostname not in _THIS_MACHINE:
                raise ValueError("KB_ELASTICSEARCH_URL must be https: secrets are not sent in the clear")
        return self

    @model_validator(mode="after")
    def _pinecone_is_usable(self) -> Self:
        if self.index == "pinecone" and self.pinecone_api_key is None:
            raise ValueError("KB_INDEX=pinecone needs KB_PINECONE_API_KEY")
        url = urlsplit(self.pinecone_url)
        if url.scheme == "http" and url.hostname not in _THIS_MACHINE:
            raise ValueError("KB_PINECONE_URL must be https: secrets are not sent in the clear")
        return self

    @model_validator(mode="after")
    def _embedder_is_usable(self) -> Self:
        if self.embedder == "http" and self.embedder_url is None:
            raise ValueError("KB_EMBEDDER=http needs KB_EMBEDDER_URL")
        url = urlsplit(self.embedder_url or "")
        if self.embedder_api_key is not None and url.scheme == "http" and url.hostname not in _THIS_MACHINE:
            raise ValueError("KB_EMBEDDER_URL must be https: secrets are not sent in the clear")
        return self

    @model_validator(mode="after")
    def _needs_address(self) -> Self:
        if self.catalog == "postgres" and self.postgres_url is None:
            raise ValueError("KB_CATALOG=postgres needs KB_POSTGRES_URL")
        if self.catalog == "mongodb" and self.mongodb_url is None:
            raise ValueError("KB_CATALOG=mongodb needs KB_MONGODB_URL")
        return self

    @property
    def file_rules(self) -> FileRules:
        """What is taken from folders."""
        return FileRules(self.max_file_bytes, self.allow_hard_links, self.allow_world_writable)

    def folder(self, data_dir: Path) -> Path:
        """Where the embedded profile keeps this vertical's data."""
        return data_dir / "knowledge-base"
