"""Environments of the peers, made on demand outside the repository.

They see the packages of this project's environment, so that torch and transformers are the same
for all and are not installed once more; what a peer needs differently it gets in its own.
"""

import json
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from lepton_bench.engine.models import CACHE

PEERS = CACHE / "peers"


class Unavailable(Exception):
    """A peer that cannot be installed or started here; the message says why."""


@dataclass(frozen=True)
class Environment:
    """Packages of a peer; the first names it."""

    requirements: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it lives: name and version of the first package."""
        return PEERS / self.requirements[0].replace("==", "-")

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    def program(self, name: str) -> str:
        """A command that it installs."""
        return str(self.folder / "bin" / name)

    def ensure(self) -> None:
        """Install it, unless it is there; raises Unavailable."""
        done = self.folder / "installed"
        if done.exists() and json.loads(done.read_text()) == list(self.requirements):
            return
        _run([sys.executable, "-m", "venv", "--clear", str(self.folder)], self.folder.name)
        self._see_ours()
        pip = [self.python, "-m", "pip", "install", "--quiet", *self.requirements]
        _run(pip, self.folder.name)
        done.write_text(json.dumps(list(self.requirements)))

    def _see_ours(self) -> None:
        own = next(self.folder.glob("lib/python3*/site-packages"))
        (own / "zz_project.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")


def _run(command: list[str], name: str) -> None:
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        lines = [line for line in found.stderr.splitlines() if line.startswith("ERROR")]
        reason = (lines or found.stderr.strip().splitlines() or ["no message"])[0]
        raise Unavailable(f"{name} cannot be installed: {reason[:200]}")
