"""How this machine reaches its package index: secrets of an image build, never part of an image."""

import shutil
import ssl
import sys
from collections.abc import Iterable
from pathlib import Path

from localcluster.commands import run
from localcluster.errors import Refused

DEBIAN_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
SECRETS = Path("/run/secrets")
# Settings that name files of this machine mean nothing inside an image.
LOCAL = ("cert", "client-cert", "find-links", "cache-dir", "log")


def write(folder: Path) -> dict[str, Path]:
    """Write the secrets; return their files by the identifiers our Dockerfiles mount them by."""
    settings = folder / "pip.conf"
    settings.write_text(pip_conf())
    return {"pip": settings, "ca": authorities()}


def pip_conf() -> str:
    """Return the settings that say where packages come from."""
    for pip in ([sys.executable, "-m", "pip"], ["pip3"]):
        if shutil.which(pip[0]) is None:
            continue
        listed = run([*pip, "config", "list"], check=False)
        if listed.returncode == 0:
            return render(listed.stdout.splitlines())
    return render([])


def render(lines: Iterable[str]) -> str:
    """Turn the lines of `pip config list` into a pip.conf."""
    settings = {}
    for line in lines:
        name, separator, value = line.partition("=")
        key = name.rpartition(".")[2]
        if separator and key not in LOCAL:
            settings[key] = value.strip().strip("'\"")
    settings["cert"] = str(SECRETS / "ca")
    return "".join(["[global]\n", *(f"{key} = {value}\n" for key, value in settings.items())])


def authorities() -> Path:
    """Return this machine's bundle of certificate authorities: builds fetch through it."""
    named = ssl.get_default_verify_paths().cafile
    candidates = [Path(named)] if named else []
    for path in [*candidates, DEBIAN_BUNDLE]:
        if path.is_file():
            return path
    raise Refused("this machine has no certificate authorities: install ca-certificates")
