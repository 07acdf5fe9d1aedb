"""AWS accounts, each test its own."""

from collections.abc import Iterator

import pytest

from tests.support.cloud import Account, new_account, own_keys


@pytest.fixture
def account(aws_url: str) -> Iterator[Account]:
    with own_keys():
        yield new_account(aws_url)
