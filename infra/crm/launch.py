"""Starts the three simulators together: `triptych crm`, the demo and tests use this."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.crm.hubspot.platform import HubSpot, HubSpotCredentials
from infra.crm.platform import Platform
from infra.crm.salesforce.auth import ORGANIZATION, SalesforceCredentials
from infra.crm.salesforce.platform import Salesforce
from infra.crm.seed.world import make_world
from infra.crm.server import Simulator
from infra.crm.zendesk.auth import ZendeskCredentials
from infra.crm.zendesk.platform import Zendesk


@dataclass(frozen=True)
class Suite:
    """The three platforms, and what a client needs for each: `credentials` has secrets, made anew for each run."""

    platforms: tuple[Platform, ...]
    credentials: dict[str, dict[str, str]]
    private_key: str


def make_suite() -> Suite:
    """New platforms with the seed data and new credentials."""
    world = make_world()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    salesforce = SalesforceCredentials("3MVG9simulated", _secret(), "integration@fernhill.example", _public(key))
    hubspot = HubSpotCredentials(f"pat-eu1-{_secret()}", _secret())
    zendesk = ZendeskCredentials("api@fernhill.example", _secret(), "triptych", _secret(), _secret())
    credentials = {
        "salesforce": {
            "client_id": salesforce.client_id,
            "client_secret": salesforce.client_secret,
            "username": salesforce.username,
            "organization_id": ORGANIZATION,
        },
        "hubspot": {"access_token": hubspot.access_token, "client_secret": hubspot.client_secret},
        "zendesk": {
            "email": zendesk.email,
            "api_token": zendesk.api_token,
            "client_id": zendesk.client_id,
            "client_secret": zendesk.client_secret,
            "webhook_secret": zendesk.webhook_secret,
        },
    }
    platforms = (Salesforce(world, salesforce), HubSpot(world, hubspot), Zendesk(world, zendesk))
    return Suite(platforms, credentials, _private(key))


@asynccontextmanager
async def listening(suite: Suite, port_base: int = 0) -> AsyncIterator[dict[str, Simulator]]:
    """All three on loopback ports: free ones, or three in a row from `port_base`."""
    simulators = {platform.name: Simulator(platform) for platform in suite.platforms}
    async with AsyncExitStack() as stack:
        for place, simulator in enumerate(simulators.values()):
            await stack.enter_async_context(simulator.listening(port_base + place if port_base else 0))
        yield simulators


def announcement(suite: Suite, simulators: dict[str, Simulator], key_file: Path | None) -> dict[str, Any]:
    """The line that `triptych crm` prints: URLs by platform, and credentials."""
    urls = {name: simulator.url for name, simulator in simulators.items()}
    credentials = {name: dict(values) for name, values in suite.credentials.items()}
    if key_file:
        credentials["salesforce"]["private_key_file"] = str(key_file)
    return {**urls, "credentials": credentials, "simulated": True}


def _secret() -> str:
    return secrets.token_urlsafe(24)


def _public(key: rsa.RSAPrivateKey) -> str:
    encoded = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def _private(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
