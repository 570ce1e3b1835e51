"""The real `lepton-worker` as a child process: started, asked, told to stop, gone afterwards."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lepton_testing.hosted import a_channel

SERVING = health_pb2.HealthCheckResponse.SERVING


class WorkerProcess:
    """A worker on free ports; settings are given as environment, `max_batch_size=1` and so on."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None, **settings: Any):
        self.termination_log = folder / "termination-log"
        chosen = {
            "host": "127.0.0.1",
            "grpc_port": 0,
            "metrics_port": 0,
            "threads": 1,
            "cache_dir": folder / "cache",
            "termination_log": self.termination_log,
            **settings,
        }
        variables = {f"LEPTON_{name.upper()}": str(value) for name, value in chosen.items()}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lepton_worker"],
            env={**os.environ, **variables, **(environment or {})},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._channel: grpc.Channel | None = None

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.put(line)
        self._lines.put(None)

    def awaits(self, pattern: str, timeout: float = 60) -> re.Match[str]:
        """The first line of the log with the pattern, waited for if need be."""
        for line in self.log:
            if found := re.search(pattern, line):
                return found
        while (news := self._lines.get(timeout=timeout)) is not None:
            self.log.append(news)
            if found := re.search(pattern, news):
                return found
        raise AssertionError(f"the worker ended without {pattern!r}:\n{''.join(self.log)}")

    @property
    def channel(self) -> grpc.Channel:
        """A channel to it, as soon as it listens."""
        if self._channel is None:
            self._channel = a_channel(int(self.awaits(r"listening on port (\d+)")[1]))
        return self._channel

    def health(self, service: str) -> bool:
        """Whether the service is SERVING."""
        request = health_pb2.HealthCheckRequest(service=service)
        answer = health_pb2_grpc.HealthStub(self.channel).Check(request, timeout=10)
        return bool(answer.status == SERVING)

    def tell(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def processes(self) -> tuple[int, int, int]:
        """Ids of the front, the parent of engines, and the engine."""
        front = self._process.pid
        (zygote,) = _children(front)
        (engine,) = _children(zygote)
        return front, zygote, engine

    def ended(self, timeout: float = 60) -> int:
        """Wait for the end; returns the exit status."""
        status = self._process.wait(timeout)
        self._reader.join(timeout)
        while (line := self._lines.get(timeout=timeout)) is not None:
            self.log.append(line)
        return status

    def last_words(self) -> tuple[str, str]:
        """Reason and message that it left."""
        words = json.loads(self.termination_log.read_text())
        assert set(words) == {"reason", "message"}
        return words["reason"], words["message"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._channel is not None:
            self._channel.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stderr is not None
        self._process.stderr.close()


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]
