import pytest

from common.errors import InvalidInput
from devops.kinds import CONFIG_MAP, NODE

BAD = ["", ".", "..", "../x", "a/b", "a?b", "a#b", "a%2fb", "a..b", "a\\b", "a b", "a\n"]


def test_paths_are_those_of_the_api_server() -> None:
    assert CONFIG_MAP.path("shop", "a.b") == "/api/v1/namespaces/shop/configmaps/a.b"
    assert (CONFIG_MAP.path(), NODE.path(None, "n-1")) == ("/api/v1/configmaps", "/api/v1/nodes/n-1")


@pytest.mark.parametrize("name", BAD)
def test_no_name_leads_out_of_its_path(name: str) -> None:
    for namespace, thing in ((name, "x"), ("shop", name)):
        with pytest.raises(InvalidInput):
            CONFIG_MAP.path(namespace, thing)
