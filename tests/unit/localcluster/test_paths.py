"""The cache is where the user wants it, and names of clusters make safe folders."""

from pathlib import Path

import pytest

from localcluster import paths
from localcluster.errors import Refused


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LEPTON_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a/localcluster"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/lepton/localcluster"),
        ({"HOME": "/c"}, "/c/.cache/lepton/localcluster"),
    ],
)
def test_the_cache_is_the_users(environ: dict[str, str], expected: str) -> None:
    assert paths.cache(environ).root == Path(expected)


@pytest.mark.parametrize("name", ["", "..", "a/b", "Demo", "-a", "a-", "a" * 31, "a b"])
def test_names_that_are_no_folders_are_refused(name: str) -> None:
    with pytest.raises(Refused, match="no cluster name"):
        paths.Cache(Path("/c")).run(name)


def test_each_cluster_has_its_own_folder() -> None:
    cache = paths.Cache(Path("/c"))
    assert cache.run("demo").kubeconfig == Path("/c/run/demo/kubeconfig")
    assert cache.run("demo").name == "demo"
