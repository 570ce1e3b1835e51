"""When the worker asks its allocator for huge pages."""

import pytest

from lepton_worker.huge_pages import tunables


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, "glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": ""}, "glibc.malloc.hugetlb=1"),
        (
            {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"},
            "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1",
        ),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}, None),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, None),
        ({"LEPTON_HUGE_PAGES": "on"}, "glibc.malloc.hugetlb=1"),
        ({"LEPTON_HUGE_PAGES": "off"}, None),
    ],
)
def test_the_allocator_is_told_once_and_never_against_the_user(
    environment: dict[str, str], wanted: str | None
) -> None:
    assert tunables(environment) == wanted
