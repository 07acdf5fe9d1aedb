"""The page of the domains, for those who run the gateway; and what it shows of a request that went on to a domain."""

from pathlib import Path

import pytest

from infra.demo.servers import free_port
from tests.support.audit import until
from tests.support.gateway import URL, Site, domain_server, gateway_in_front


async def page(here: Site, role: str) -> tuple[int, str]:
    """What somebody with this role gets."""
    async with here.asgi.http_client() as browser:
        signed_in = await browser.post("/console/sign-in", data={"key": here.token("ada", role), "next": ""})
        assert signed_in.status_code == 303
        answer = await browser.get(f"{URL}/console/domains")
    return answer.status_code, answer.text


async def test_it_names_each_domain_and_replica_with_its_state(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port(0)}"
    async with domain_server(tmp_path, "kb") as kb:
        async with gateway_in_front(tmp_path, {"kb": [kb.url], "devops": [nowhere]}) as here:
            for domain, state in zip(here.gateway.domains, ("ready", "down"), strict=True):
                domain.replicas[0].state = state  # type: ignore[assignment]
            status, text = await page(here, "operator")
            assert status == 200
            assert kb.url in text and nowhere in text and "kb/1" in text and "devops/1" in text
            assert '<span class="badge bad">down</span>' in text and '<span class="badge good">ready</span>' in text


@pytest.mark.parametrize("role", ["user", "approver"])
async def test_internal_addresses_are_not_for_everybody(tmp_path: Path, role: str) -> None:
    async with gateway_in_front(tmp_path, {"kb": ["http://127.0.0.1:9"]}) as here:
        status, text = await page(here, role)
        assert status == 403 and "127.0.0.1:9" not in text


async def test_a_request_is_followed_through_the_gateway_to_its_domain(tmp_path: Path) -> None:
    headers = {"X-Request-Id": "through-the-gateway"}
    async with domain_server(tmp_path, "kb") as kb:
        async with gateway_in_front(tmp_path, {"kb": [kb.url]}) as here:
            async with here.client(here.token(), headers=headers) as client:
                await client.call_tool("kb_echo", {"text": "secret-argument"})
            await until(lambda: not kb.runtime.audit.backlog + here.runtime.audit.backlog)
            async with here.asgi.http_client() as browser:
                await browser.post("/console/sign-in", data={"key": here.token("ada", "auditor"), "next": ""})
                text = (await browser.get(f"{URL}/console/traces?request_id=through-the-gateway")).text
    places = [text.index(each) for each in ("kb_echo", "passed on to kb/1", "intent: echo", "event: kb_echo")]
    assert places == sorted(places)
    assert f"of {kb.runtime.audit.writer} only the audit log is known" in text
    assert "The gateway has no record here" not in text and "secret-argument" not in text
