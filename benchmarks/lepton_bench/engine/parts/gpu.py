"""Part `gpu`: the figures of one GPU, which need one; without it they say so."""

from pathlib import Path

from lepton_bench.engine.context import Context

DEVICES = Path("/dev")
FIGURES = ("gpu_vs_hbm_limit", "gpu_vs_vllm")


async def measure(context: Context) -> None:
    """Say why there are no figures."""
    found = any_gpu()
    note = (
        "this suite measures on processors only; the GPU of this machine was not used"
        if found
        else "this machine has no GPU"
    )
    for name in FIGURES:
        context.figure(name, None, "ratio", note=note)


def any_gpu() -> bool:
    """Whether the kernel shows one."""
    return any(DEVICES.glob("nvidia[0-9]*"))
