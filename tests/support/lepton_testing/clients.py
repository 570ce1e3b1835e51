"""Clients of other projects: each in a folder of its own, used in a process of its own.

Their packages cannot be loaded side by side, and no lock of this project needs them. They are
fetched once, by the pip of this environment, and kept in the user's cache.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CACHE = Path.home() / ".cache" / "lepton" / "clients"
FETCH_SECONDS, RUN_SECONDS = 600, 120


class Unavailable(Exception):
    """The packages of a client could not be fetched; the text says why."""


@dataclass(frozen=True)
class Client:
    """A client by its packages, of which the first names it.

    What it needs beside them is in this environment anyway: grpcio, protobuf, numpy and others.
    """

    packages: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where its packages are kept."""
        digest = hashlib.sha256("\n".join(self.packages).encode()).hexdigest()[:8]
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return CACHE / f"{self.packages[0].replace('==', '-')}-{version}-{digest}"

    def fetched(self) -> Path:
        """The folder, filled; raises Unavailable."""
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.folder.exists():
                self._fetch()
        return self.folder

    def _fetch(self) -> None:
        made = Path(tempfile.mkdtemp(dir=CACHE, prefix=".fetching-"))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            done = subprocess.run(
                [*pip, "--no-deps", "--only-binary=:all:", "--target", str(made), *self.packages],
                capture_output=True,
                text=True,
                timeout=FETCH_SECONDS,
                check=False,
            )
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
                raise Unavailable(f"{self.packages[0]} could not be fetched: {last[0]}")
            made.rename(self.folder)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{self.packages[0]} took over {FETCH_SECONDS} s to fetch") from None
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def run(self, program: str, asked: dict[str, Any]) -> Any:
        """Run a module of `lepton_testing.programs` with the client, and read what it found.

        Raises Unavailable, or AssertionError with what the program said when it failed.
        """
        paths = [str(self.fetched()), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            [sys.executable, "-m", f"lepton_testing.programs.{program}"],
            input=json.dumps(asked),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])


TRITON = Client(
    ("tritonclient==2.73.0", "python-rapidjson==1.25", "ml-dtypes==0.5.4", "packaging==26.3")
)
KSERVE = Client(
    (
        "kserve==0.21.0",
        "annotated-doc==0.0.7",
        "cloudevents==1.13.0",
        "deprecation==2.1.0",
        "fastapi==0.118.3",
        "grpc-interceptor==0.15.4",
        "httpcore==1.0.9",
        "httpx==0.28.1",
        "orjson==3.13.0",
        "pandas==2.3.3",
        "psutil==5.9.8",
        "python-multipart==0.0.34",
        "pytz==2026.6",
        "six==1.17.0",
        "starlette==0.48.0",
        "tabulate==0.10.0",
        "timing-asgi==0.3.2",
        "uvicorn==0.54.0",
        "watchfiles==1.3.0",
    )
)
