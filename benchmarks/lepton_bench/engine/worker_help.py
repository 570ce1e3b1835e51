"""How the worker can hold its weights, by its own help."""

import asyncio
import re
from collections.abc import Sequence

from lepton_bench.engine.options import OURS


def quantization(weights: str) -> str:
    """Value of the worker's option for a way to hold weights."""
    return "none" if weights == "float32" else weights


def offered_by(help_text: str) -> frozenset[str]:
    """Values that a worker's help names for `--quantization`."""
    option = re.search(r"\n\s+--quantization\b(.*?)\[LEPTON_QUANTIZATION\]", help_text, re.DOTALL)
    words = set(re.findall(r"\w+", option[1])) if option else set()
    return frozenset(words & {"none", *OURS})


async def offered(worker: Sequence[str]) -> frozenset[str]:
    """Values that the worker has for `--quantization`."""
    process = await asyncio.create_subprocess_exec(
        *worker, "--help", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    return offered_by(output.decode())
