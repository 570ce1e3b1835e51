"""Servers and engines as child processes: pinned, paused while others are measured, ended by id."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lepton_bench.engine import proc

TICKS = os.sysconf("SC_CLK_TCK")


class Ended(RuntimeError):
    """A process ended before it should; the message is the end of its log."""


class Child:
    """A process in a session of its own, on given cores, its output in a file."""

    def __init__(
        self,
        command: Sequence[str],
        cores: Sequence[int],
        log: Path,
        environment: Mapping[str, str],
        *,
        talks: bool = False,
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        pinned = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                pinned,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else output,
                stderr=output,
                env={**os.environ, **environment},
                start_new_session=True,
                text=True,
            )
        self._paused = False

    def check(self) -> None:
        """Raise Ended when it has ended."""
        status = self.process.poll()
        if status is not None:
            lines = self.log.read_text(errors="replace").strip().splitlines()
            raise Ended(f"ended with {status}: {lines[-1][:300] if lines else 'no output'}")

    def pause(self) -> None:
        """Take the processor from it and its children."""
        self._signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Give it back."""
        if self._paused:
            self._signal(signal.SIGCONT)
            self._paused = False

    def cpu_seconds(self) -> float:
        """Processor time of all its processes so far."""
        return sum(stat.ticks for _, stat in proc.of_session(self.process.pid)) / TICKS

    def peak_mib(self) -> float:
        """Sum of the largest resident memories of its processes, in MiB."""
        total = 0
        for pid, _ in proc.of_session(self.process.pid):
            with contextlib.suppress(OSError):
                total += proc.peak_kib((proc.PROC / str(pid) / "status").read_text())
        return total / 1024

    def stop(self) -> None:
        """End it and all its children: asked first, killed after ten seconds."""
        self.resume()
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._alive():
            self.process.poll()
            time.sleep(0.05)
        self._signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _alive(self) -> bool:
        return next(proc.of_session(self.process.pid), None) is not None

    def _signal(self, number: signal.Signals) -> None:
        for pid, _ in proc.of_session(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def single_purpose(threads: int) -> dict[str, str]:
    """Environment of everything that is measured: so many threads, no network, no surprises."""
    count = str(threads)
    return {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
