"""Wires the channels by which changes are told of."""

import ipaddress

from common.errors import SettingsError
from common.http.guard import base_url
from common.http.upstream import UpstreamMetrics
from common.security.webhook_signature import secret_bytes
from common.settings import CommonSettings
from devops.adapters.smtp_notifier import MailServer, SmtpNotifier
from devops.adapters.webhook_notifier import WebhookNotifier
from devops.notify.notice import KINDS, Kind
from devops.notify.ports import Notifier
from devops.settings import DevopsSettings


def build_notifiers(
    common: CommonSettings, settings: DevopsSettings, metrics: UpstreamMetrics | None = None
) -> list[Notifier]:
    """The channels that are set up. Raises SettingsError for half of one."""
    found: list[Notifier] = []
    if settings.notify_webhook_url is not None:
        found.append(_webhook(common, settings, metrics))
    if settings.notify_smtp_host is not None:
        found.append(SmtpNotifier(_mail_server(common, settings)))
    return found


def notify_kinds(settings: DevopsSettings) -> list[Kind]:
    """What is told. Raises SettingsError."""
    unknown = sorted(set(settings.notify_kinds) - set(KINDS))
    if unknown:
        raise SettingsError(f"DEVOPS_NOTIFY_KINDS: {', '.join(unknown)} is not one of {', '.join(KINDS)}")
    return [kind for kind in KINDS if kind in settings.notify_kinds] or [*KINDS]


def _webhook(common: CommonSettings, settings: DevopsSettings, metrics: UpstreamMetrics | None) -> WebhookNotifier:
    url, secret = settings.notify_webhook_url or "", settings.notify_webhook_secret
    if secret is None:
        raise SettingsError("DEVOPS_NOTIFY_WEBHOOK_URL needs DEVOPS_NOTIFY_WEBHOOK_SECRET")
    base = base_url(url.partition("?")[0])
    if base.scheme != "https" and not _is_loopback(base.host or ""):
        raise SettingsError("DEVOPS_NOTIFY_WEBHOOK_URL must be https")
    return WebhookNotifier(url, secret_bytes(secret.get_secret_value()), common.ca_file, metrics)


def _mail_server(common: CommonSettings, settings: DevopsSettings) -> MailServer:
    host, sender = settings.notify_smtp_host or "", settings.notify_email_from
    if not sender or not settings.notify_email_to:
        raise SettingsError("DEVOPS_NOTIFY_SMTP_HOST needs DEVOPS_NOTIFY_EMAIL_FROM and DEVOPS_NOTIFY_EMAIL_TO")
    if settings.notify_smtp_tls == "off" and not _is_loopback(host):
        raise SettingsError("DEVOPS_NOTIFY_SMTP_TLS=off is for a server on this machine only")
    if any(not address.isprintable() or "@" not in address for address in (sender, *settings.notify_email_to)):
        raise SettingsError("DEVOPS_NOTIFY_EMAIL_FROM and DEVOPS_NOTIFY_EMAIL_TO are addresses such as ops@example.com")
    password = settings.notify_smtp_password
    return MailServer(
        host=host,
        port=settings.notify_smtp_port,
        tls=settings.notify_smtp_tls,
        sender=sender,
        recipients=settings.notify_email_to,
        user=settings.notify_smtp_user,
        password=password.get_secret_value() if password else None,
        ca_file=common.ca_file,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
