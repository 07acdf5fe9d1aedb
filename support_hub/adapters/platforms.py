"""Which platforms the settings name, and how each may be used."""

from common.http.upstream import UpstreamMetrics
from support_hub.adapters.zendesk import Zendesk
from support_hub.adapters.zendesk_connection import zendesk_client
from support_hub.ports import Crm
from support_hub.settings import SupportSettings


def build_crms(settings: SupportSettings, metrics: UpstreamMetrics) -> list[Crm]:
    """One adapter for each platform that has a URL. Raises SettingsError for one without credentials."""
    crms: list[Crm] = []
    if settings.zendesk_url:
        crms.append(Zendesk(zendesk_client(settings, metrics), settings.phone_region))
    return crms
