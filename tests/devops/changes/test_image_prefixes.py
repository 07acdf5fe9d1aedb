import pytest

from devops.changes.service import _is_below


@pytest.mark.parametrize(
    ("prefix", "image", "allowed"),
    [
        ("registry.example", "registry.example/app:1", True),
        ("registry.example/", "registry.example/app:1", True),
        ("registry.example/team", "registry.example/team/app@sha256:0", True),
        ("registry.example/app", "registry.example/app:1", True),
        ("registry.example", "registry.example.evil/app:1", False),
        ("registry.example/team", "registry.example/teammate/app:1", False),
        ("registry.example", "registry.example:5000/evil/app", False),
        ("registry.example:5000", "registry.example:5000/app:1", True),
        ("registry.example", "registry.example:1", True),
        ("registry.example", "evil/registry.example/app:1", False),
    ],
)
def test_an_image_is_below_a_prefix_by_whole_parts_of_its_name(prefix: str, image: str, allowed: bool) -> None:
    assert _is_below(image, prefix) is allowed
