"""Settings that cannot work stop the start and are named."""

import pytest

from common.errors import SettingsError
from common.settings import load_settings
from knowledge_base.settings import KnowledgeBaseSettings


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"INDEX": "elasticsearch"}, "needs KB_ELASTICSEARCH_URL"),
        ({"ELASTICSEARCH_URL": "search:9200"}, "must be like https://host:9200"),
        ({"ELASTICSEARCH_URL": "https://elastic:hunter2@search:9200"}, "must hold no password"),
        ({"ELASTICSEARCH_URL": "http://search:9200", "ELASTICSEARCH_API_KEY": "hunter2"}, "must be https"),
        ({"ELASTICSEARCH_INDEX": "Upper"}, "KB_ELASTICSEARCH_INDEX"),
    ],
)
def test_an_index_that_cannot_work_stops_the_start(
    given: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"KB_{name}", value)
    with pytest.raises(SettingsError, match=problem) as error:
        load_settings(KnowledgeBaseSettings)
    assert "hunter2" not in str(error.value)


def test_several_nodes_are_given_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KB_INDEX", "elasticsearch")
    monkeypatch.setenv("KB_ELASTICSEARCH_URL", "https://one:9200, https://two:9200")
    monkeypatch.setenv("KB_ELASTICSEARCH_API_KEY", "hunter2")
    settings = load_settings(KnowledgeBaseSettings)
    assert settings.elasticsearch_url == ["https://one:9200", "https://two:9200"]
    assert "hunter2" not in repr(settings)
