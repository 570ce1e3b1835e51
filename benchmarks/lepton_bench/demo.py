"""Suite `demo`: `make demo` as a user runs it, with caches that an earlier run has filled."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from lepton_bench.figures import Figure


async def measure() -> list[Figure]:
    """Run the demo twice from a cluster that is down; the figures are those of the second run."""
    await _demo("--no-load")
    await _demo("--down")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        await _demo("--figures", str(path))
        content = json.loads(path.read_text())
    await _demo("--down")
    return [Figure(**entry) for entry in content["figures"]]


async def _demo(*arguments: str) -> None:
    command = (sys.executable, "-m", "lepton_demo", *arguments)
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise RuntimeError(f"{' '.join(command[1:])} ended with {process.returncode}")
