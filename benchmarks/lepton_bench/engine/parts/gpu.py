"""Part `gpu`: the figures of one GPU, which need one; without it they say so."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from lepton_bench.engine.context import Context

DEVICES = Path("/dev")
PROBE = "lepton_bench.engine.gpu_probe"
LIMIT, PEER = "gpu_vs_hbm_limit", "gpu_vs_vllm"


async def measure(context: Context) -> None:
    """Decode on the GPU, if there is one, against what its memory gives."""
    if not any_gpu():
        for name in (LIMIT, PEER):
            context.figure(name, None, "ratio", note="this machine has no GPU")
        return
    context.tell("8B shape on the GPU")
    found, reason = await _probed()
    if found is None:
        context.figure(LIMIT, None, "ratio", note=reason)
    else:
        context.figure(LIMIT, found["ratio"], "ratio", 1, **words(found))
    context.figure(PEER, None, "ratio", note="this suite does not run vLLM on a GPU")


def words(found: dict[str, Any]) -> dict[str, str]:
    """What the figure is against, and what it was taken with."""
    speed = f"{found['bandwidth'] / 1e12:.2f} TB/s"
    step = f"{1e3 * found['seconds']:.2f} ms a step, {found['tokens_s']:.0f} tokens/s"
    return {
        "against": f"the bytes of a step at the rate of a copy, {speed}",
        "note": f"{found['device']}, torch {found['torch']}: {step}; kv: {found['kv']}; "
        f"graphs: {found['graphs']}",
    }


def any_gpu() -> bool:
    """Whether the kernel shows one."""
    return any(DEVICES.glob("nvidia[0-9]*"))


async def _probed() -> tuple[dict[str, Any] | None, str]:
    """What the probe found in a process of its own, or why it found nothing."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", PROBE, stdout=pipe, stderr=pipe
    )
    written, said = await process.communicate()
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        return None, f"the probe failed: {''.join(last)}"
    found: dict[str, Any] = json.loads(written)
    return found, ""
