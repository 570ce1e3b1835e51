"""The real `lepton-operator run` as a child process: started, looked at, stopped or killed."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WORKER_IMAGE = "example.org/lepton-worker:1"

_PORT = re.compile(r"health and metrics on port (\d+)")
_CALLS = re.compile(r"^lepton_operator_api_requests_total\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)


class OperatorProcess:
    """An operator with this kubeconfig, for some namespaces or all; gone when the block ends."""

    def __init__(
        self, kubeconfig: Path, folder: Path, namespaces: Sequence[str] = (), **settings: Any
    ) -> None:
        self._folder = folder
        self._logs: list[Path] = []
        variables = {f"LEPTON_{name.upper()}": str(value) for name, value in settings.items()}
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "LEPTON_WORKER_IMAGE": WORKER_IMAGE,
            "LEPTON_WATCH_NAMESPACES": ",".join(namespaces),
            "LEPTON_HEALTH_PORT": "0",
            **variables,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        sys.stderr.write(f"---- operator\n{self.log()[-8000:]}\n")  # shown with a failure

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start it, perhaps once more; it need not be ready."""
        self._logs.append(self._folder / f"operator-{time.monotonic_ns()}.log")
        with self._logs[-1].open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lepton_operator", "run"],
                env=self._environment,
                stderr=log,
            )
        return self

    def stop(self) -> int:
        """Tell it to stop; its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; its exit status."""
        assert self._process is not None
        return self._process.wait(timeout=30)

    def kill(self) -> None:
        """End it without a word, wherever it is."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """What it has written so far, in all its lives."""
        return "".join(path.read_text() for path in self._logs)

    def await_log(self, pattern: str, timeout: float = 60) -> re.Match[str]:
        """The first match in the log of this life, waited for; fails when it has ended."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if found := re.search(pattern, self._logs[-1].read_text()):
                return found
            self._assert_running()
            time.sleep(0.05)
        raise AssertionError(f"no {pattern!r} in the operator's log:\n{self.log()[-4000:]}")

    def await_ready(self, timeout: float = 60) -> Self:
        """Wait until its watches have begun."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.ask("/readyz")[0] == 200:
                return self
            self._assert_running()
            time.sleep(0.05)
        raise AssertionError(f"the operator is not ready:\n{self.log()[-4000:]}")

    def ask(self, path: str) -> tuple[int, str]:
        """HTTP status and text of a health address."""
        port = self.await_log(_PORT.pattern).group(1)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def calls(self) -> dict[str, int]:
        """Its calls to the API server so far, by verb and resource."""
        found: dict[str, int] = {}
        for labels, count in _CALLS.findall(self.ask("/metrics")[1]):
            named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            name = f"{named['verb']} {named['resource']}"
            found[name] = found.get(name, 0) + int(float(count))
        return found

    def _assert_running(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"the operator has ended:\n{self.log()[-4000:]}")
