"""The operator as a process on this machine, and what it costs."""

import os
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster.cluster import Cluster

HEALTH_PORT = 18080
REQUESTS = "lepton_operator_api_requests_total"


@dataclass(frozen=True)
class Running:
    """A running operator."""

    pid: int

    def rss_mib(self) -> float:
        """Resident memory in MiB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        return kib / 1024

    def cpu_seconds(self) -> float:
        """Processor time so far, user and system, of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def api_calls(self) -> float:
        """Calls to the API server so far, by its own counter."""
        url = f"http://127.0.0.1:{HEALTH_PORT}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        counted = [line for line in lines if line.startswith(REQUESTS + "{")]
        if not counted:  # it asks at least once when it starts
            raise LookupError(f"the operator counts no {REQUESTS}")
        return sum(float(line.rpartition(" ")[2]) for line in counted)


@contextmanager
def operator(cluster: Cluster, log: Path) -> Iterator[Running]:
    """Run the operator against a cluster while the block runs."""
    environment = {
        **cluster.env(),
        "LEPTON_WORKER_IMAGE": "registry.invalid/lepton-worker:none",
        "LEPTON_HEALTH_PORT": str(HEALTH_PORT),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lepton_operator", "run"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _await_ready(process, log)
            yield Running(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _await_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the operator ended with {process.returncode}, see {log}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{HEALTH_PORT}/readyz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError(f"the operator was not ready within a minute, see {log}")


def file_limit() -> None:
    """Let this process hold as many connections as it is allowed to."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
