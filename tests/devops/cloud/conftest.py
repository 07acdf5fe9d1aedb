"""An account of its own for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.cloud import Account, Opened, new_account, own_keys


@pytest.fixture
def account(aws_url: str) -> Iterator[Account]:
    with own_keys():
        yield new_account(aws_url)


@pytest.fixture
async def opened(account: Account) -> AsyncIterator[Opened]:
    session = account.session()
    yield Opened(account, session)
    await session.close()
