"""Which platforms the settings name."""

from common.http.upstream import UpstreamMetrics
from support_hub.adapters.hubspot import HubSpot
from support_hub.adapters.hubspot_connection import hubspot_client
from support_hub.adapters.salesforce import Salesforce
from support_hub.adapters.salesforce_connection import salesforce_client
from support_hub.adapters.zendesk import Zendesk
from support_hub.adapters.zendesk_connection import zendesk_client
from support_hub.ports import Crm
from support_hub.settings import SupportSettings


def build_crms(settings: SupportSettings, metrics: UpstreamMetrics) -> list[Crm]:
    """One adapter for each platform that has a URL. Raises SettingsError for one without credentials."""
    region, crms = settings.phone_region, list[Crm]()
    if settings.salesforce_url:
        client = salesforce_client(settings, metrics)
        crms.append(Salesforce(client, region, settings.salesforce_external_id))
    if settings.hubspot_url:
        crms.append(HubSpot(hubspot_client(settings, metrics), region))
    if settings.zendesk_url:
        crms.append(Zendesk(zendesk_client(settings, metrics), region))
    return crms
