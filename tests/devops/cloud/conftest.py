"""The adapters of an account."""

from collections.abc import AsyncIterator

import pytest

from tests.support.cloud import Account, Opened


@pytest.fixture
async def opened(account: Account) -> AsyncIterator[Opened]:
    session = account.session()
    yield Opened(account, session)
    await session.close()
