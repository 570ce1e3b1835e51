"""This machine's pip settings, as a pip.conf that holds inside an image build."""

import shutil
import sys
from collections.abc import Iterable

from localcluster.commands import run

# Settings that name files of this machine mean nothing inside an image.
LOCAL = ("cert", "client-cert", "find-links", "cache-dir", "log")


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
    return "".join(["[global]\n", *(f"{key} = {value}\n" for key, value in settings.items())])
