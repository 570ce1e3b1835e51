"""Giving back the disk space of the cache."""

import shutil

from localcluster import host, lifecycle, mounts
from localcluster.buildah import Buildah
from localcluster.errors import Refused
from localcluster.paths import Cache


def clean(cache: Cache, *, everything: bool) -> float:
    """Remove what can be made again; return the gigabytes freed.

    Images pushed and pulled come back from buildah's storage, so only that and the programs,
    which take minutes to make, are kept unless everything shall go.
    """
    if names := lifecycle.all_names(cache):
        raise Refused(f"cluster {names[0]} uses the cache: python -m localcluster down --all")
    before = host.free_gigabytes(cache.root)
    if everything:
        mounts.detach(mounts.current([cache.root]))
        shutil.rmtree(cache.root, ignore_errors=True)
    else:
        for folder in (cache.containerd, cache.registry, cache.bases, cache.old_logs):
            shutil.rmtree(folder, ignore_errors=True)
        if cache.buildah.is_dir() and shutil.which("buildah"):
            Buildah(cache).forget_layers()
    return max(0.0, host.free_gigabytes(cache.root) - before)
