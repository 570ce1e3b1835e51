"""Base images, made from the Debian mirror this machine itself uses, since none can be pulled."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from localcluster.build_settings import authorities
from localcluster.buildah import Buildah
from localcluster.commands import run_logged
from localcluster.errors import Refused
from localcluster.locks import locked
from localcluster.paths import RECIPES, Cache
from localcluster.progress import Progress

SUITE = "forky"
PACKAGES = ("ca-certificates", "python3", "python3-venv", "python3-pip")
PARENTS = {"base": None, "base-torch": "base"}
APT_SOURCES = Path("/etc/apt")
SCRIPTS = Path("/usr/share/debootstrap/scripts")
# What no pod reads.
DEAD_WEIGHT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")
DPKG_EXCLUDES = "".join(f"path-exclude /{folder}/*\n" for folder in DEAD_WEIGHT)
# A frozen mirror's Release file is past its date, and nothing here is shipped.
APT_SETTINGS = 'Acquire::Check-Valid-Until "false";\nAPT::Install-Recommends "false";\n'


def ensure(name: str, cache: Cache, progress: Progress) -> str:
    """Return the local name of a base image, making it when it is not there."""
    if name not in PARENTS:
        raise Refused(f"there is no base image {name!r}: choose one of {', '.join(PARENTS)}")
    local = f"localhost/lepton-{name}:{key(name)}"
    if Buildah(cache).image_id(local):
        return local
    parent = PARENTS[name]
    below = ensure(parent, cache, progress) if parent else None
    with locked(cache.locks / f"base-{name}", timeout=3600):
        if not Buildah(cache).image_id(local):
            with progress.step(f"making the image {name} from Debian {SUITE} (minutes, once)"):
                if below:
                    _derive(name, below, local, cache)
                else:
                    _bootstrap(name, local, cache)
    return local


def key(name: str) -> str:
    """Return what a base's content follows from, in short: its recipe and those below it."""
    parts = [(RECIPES / name / "Dockerfile").read_text()]
    if parent := PARENTS[name]:
        parts.append(key(parent))
    else:
        parts += [SUITE, *PACKAGES, DPKG_EXCLUDES, APT_SETTINGS, authorities().read_text()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def mirrors(sources: Iterable[str]) -> list[str]:
    """Return the Debian mirrors named in apt's source files, of either format."""
    found = []
    for text in sources:
        for line in text.splitlines():
            words = line.split()
            if words[:1] == ["URIs:"]:
                found += words[1:]
            elif words[:1] == ["deb"]:
                found += [word for word in words[1:3] if "://" in word]
    # Only a full archive has every suite; those of security fixes and of others do not.
    return [uri for uri in found if uri.rstrip("/").endswith("/debian")]


def _bootstrap(name: str, local: str, cache: Cache) -> None:
    work = cache.bases / name
    shutil.rmtree(work, ignore_errors=True)
    root, context = work / "root", work / "context"
    context.mkdir(parents=True)
    script = SCRIPTS / SUITE
    run_logged(
        [
            "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root,
            _mirror(), script if script.exists() else SCRIPTS / "sid",
        ],
        cache.root / "images.log",
    )  # fmt: skip
    _slim(root)
    shutil.copy(authorities(), context / "ca-certificates.crt")
    run_logged(
        ["tar", "-C", root, "--one-file-system", "--numeric-owner", "--exclude=./dev/*",
         "-cf", context / "rootfs.tar", "."],
        cache.root / "images.log",
    )  # fmt: skip
    Buildah(cache).build(RECIPES / name / "Dockerfile", context, tags=[local])
    shutil.rmtree(work)


def _derive(name: str, parent: str, local: str, cache: Cache) -> None:
    context = cache.bases / name
    context.mkdir(parents=True, exist_ok=True)
    Buildah(cache).build(
        RECIPES / name / "Dockerfile", context, arguments={"BASE_IMAGE": parent}, tags=[local]
    )


def _slim(root: Path) -> None:
    (root / "etc/apt/apt.conf.d/99localcluster").write_text(APT_SETTINGS)
    (root / "etc/dpkg/dpkg.cfg.d/localcluster").write_text(DPKG_EXCLUDES)
    for folder in (*DEAD_WEIGHT, "var/cache/apt/archives", "var/lib/apt/lists"):
        for path in (root / folder).glob("*"):
            if path.is_symlink() or path.is_file():
                path.unlink()
            else:
                shutil.rmtree(path)


def _mirror() -> str:
    files = [APT_SOURCES / "sources.list", *sorted(APT_SOURCES.glob("sources.list.d/*"))]
    texts = [
        path.read_text() for path in files
        if path.suffix in (".list", ".sources") and path.is_file()
    ]  # fmt: skip
    found = mirrors(texts)
    if not found:
        raise Refused("no Debian mirror is named in /etc/apt: base images cannot be made")
    return found[0]
