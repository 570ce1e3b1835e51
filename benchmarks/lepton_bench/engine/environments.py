"""Environments of the peers, made on demand outside the repository.

They see the packages of this project's environment, so that torch and transformers are the same
for all and are not installed once more; what a peer needs differently it gets in its own.
"""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
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
        name = f"{self.folder.name}: the installation"
        prepare([sys.executable, "-m", "venv", "--clear", str(self.folder)], name)
        self._see_ours()
        pip = [self.python, "-m", "pip", "install", "--quiet", *self.requirements]
        prepare(pip, name)
        done.write_text(json.dumps(list(self.requirements)))

    def _see_ours(self) -> None:
        own = next(self.folder.glob("lib/python3*/site-packages"))
        (own / "zz_project.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")


def prepare(command: Sequence[str], what: str) -> None:
    """Run a command to its end; raises Unavailable with its error's last words."""
    source = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": source}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if found.returncode:
        lines = found.stderr.strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")]
        reason = (errors[:1] or lines[-1:] or ["no message"])[0]
        raise Unavailable(f"{what} failed: {reason[:200]}")
