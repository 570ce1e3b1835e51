"""Environments of the peers, made on demand outside the repository.

They see the packages of this project's environment, so that torch and transformers are the same
for all and are not installed once more; what a peer needs differently it gets in its own.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
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
            self._see_ours()  # another tree may have made it
            return
        name = f"{self.folder.name}: the installation"
        say(f"installing {self.folder.name} in {self.folder}, up to a minute")
        prepare([sys.executable, "-m", "venv", "--clear", str(self.folder)], name)
        self._see_ours()
        pip = [self.python, "-m", "pip", "install", "--quiet", *self.requirements]
        prepare(pip, name)
        done.write_text(json.dumps(list(self.requirements)))

    def _see_ours(self) -> None:
        own = next(self.folder.glob("lib/python3*/site-packages"))
        (own / "zz_project.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")


@dataclass(frozen=True)
class Source:
    """A program of C++ that is compiled out of what a package brings along."""

    requirement: str
    """Package whose source is taken, with its version."""
    within: str
    """Folder of the program's own source in it."""
    target: str
    flags: tuple[str, ...]
    """Of the configuration with CMake."""

    @property
    def folder(self) -> Path:
        """Where it lives: name and version of the package."""
        return PEERS / f"{self.requirement.replace('==', '-')}-source"

    @property
    def program(self) -> Path:
        """The compiled program; it is only there when it is whole."""
        return self.folder / "build" / "bin" / self.target

    def ensure(self) -> None:
        """Compile it, unless it is there; raises Unavailable. Half an hour on one core."""
        if self.program.exists():
            return
        for tool in ("cmake", "c++"):
            if shutil.which(tool) is None:
                raise Unavailable(f"{self.target} has to be compiled, and there is no {tool}")
        say(f"compiling {self.target} of {self.requirement} with one job: up to half an hour")
        build = str(self.folder / "build")
        configure = ["cmake", "-S", str(self._unpacked()), "-B", build, *self.flags]
        prepare(configure, f"{self.target}: the configuration")
        compile_ = ["nice", "cmake", "--build", build, "--target", self.target, "-j", "1"]
        prepare(compile_, f"{self.target}: the compilation")

    def _unpacked(self) -> Path:
        name, _, version = self.requirement.partition("==")
        root = self.folder / f"{name.replace('-', '_')}-{version}"
        if not (root / self.within).exists():
            archive = root.with_suffix(f"{root.suffix}.tar.gz")
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            only = ["--no-binary", ":all:", "--dest", str(self.folder), self.requirement]
            prepare([*pip, *only], f"{self.requirement}: the download")
            with tarfile.open(archive) as packed:
                packed.extractall(self.folder, filter="data")
            archive.unlink()
        return root / self.within


def say(words: str) -> None:
    """Tell whoever waits what takes long."""
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


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
