"""The one cache of secrets of this process, made from its settings when the first reference is met."""

from pydantic import SecretStr

from common.security.secret_settings import SecretSettings
from common.security.secrets import SecretCache, SecretStore

_caches: dict[tuple[object, ...], SecretCache] = {}


def open_cache(settings: SecretSettings) -> SecretCache:
    """The cache of these settings; the same settings give the same cache. Raises SecretUnavailable."""
    key = tuple(_plain(getattr(settings, name)) for name in SecretSettings.model_fields)
    if key not in _caches:
        _caches[key] = SecretCache(_store(settings), settings.secrets_ttl_seconds, settings.secrets_overlap_seconds)
    return _caches[key]


def known_cache(settings: SecretSettings) -> SecretCache | None:
    """The cache of these settings, if something has been read through it."""
    return _caches.get(tuple(_plain(getattr(settings, name)) for name in SecretSettings.model_fields))


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _store(settings: SecretSettings) -> SecretStore:
    # Drivers take a while to import, and each installation needs one at most.
    if settings.secrets == "aws":
        from common.security.secret_stores.aws import AwsSecrets

        return AwsSecrets(
            settings.secrets_aws_region, settings.secrets_aws_endpoint_url, settings.secrets_timeout_seconds
        )
    if settings.secrets == "vault":
        from common.security.secret_stores.vault import VaultSecrets

        return VaultSecrets(settings)
    from common.security.secret_stores.environment import EnvironmentSecrets

    return EnvironmentSecrets(settings.secrets_dir)
