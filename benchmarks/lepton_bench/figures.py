"""A figure, a suite of figures and the machine they were taken on; one JSON file a suite."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"
PACKAGES = ("lepton", "kopf", "kubernetes", "torch", "transformers", "grpcio")


@dataclass(frozen=True)
class Figure:
    """One measured number; `value` is None where it could not be taken, and `note` says why."""

    name: str
    value: float | None
    unit: str
    of: int | None = None
    """Size of the sample."""
    against: str | None = None
    """Peer or limit measured in the same run."""
    note: str = ""


def quantile(values: Sequence[float], share: float) -> float:
    """Smallest value that at least `share` (0..1] of all values do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values to take a quantile of")
    ordered = sorted(values)
    rank = max(1, -(-int(share * 1000) * len(ordered) // 1000))
    return ordered[min(rank, len(ordered)) - 1]


def machine() -> dict[str, object]:
    """Processor, cores, memory (GiB), kernel and the load of the last minute before the run."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions(kubernetes: str) -> dict[str, str]:
    """Versions of what took part, with the commit of this tree."""
    found = {"python": platform.python_version(), "kubernetes_server": kubernetes}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {**found, "commit": commit.stdout.strip() or "unknown"}


def write(
    suite: str,
    figures: Sequence[Figure],
    *,
    now: datetime,
    about: dict[str, object],
    parts: dict[str, str],
) -> Path:
    """Write a suite's file, whole: figures of one file were taken in one run."""
    path = RESULTS / f"{suite}.json"
    content = {
        "suite": suite,
        "when": now.isoformat(timespec="seconds"),
        "command": f"make bench ARGS={suite}",
        "machine": about,
        "versions": parts,
        "figures": [asdict(figure) for figure in figures],
    }
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    return path
