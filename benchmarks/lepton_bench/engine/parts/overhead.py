"""Part `overhead`: server time outside the model while there is always work."""

import asyncio
import re
import urllib.request

from lepton_bench.engine.contestants import Contestant, Server
from lepton_bench.engine.context import Context, ours_of
from lepton_bench.engine.outcome import median
from lepton_bench.engine.workload import EVEN_PROMPTS, prompts

SEED = 17
STREAMS = 8
STEPS = re.compile(r"^lepton_\w*step\w*_seconds_sum(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
"""Seconds that the worker's engine has spent in steps, in the text of its metrics."""


async def measure(context: Context) -> None:
    """One closed loop; the share of its time in which the engine was in no step."""
    sizes = context.options.sizes
    shape = context.shape(sizes.decoder)
    items = prompts(
        context.writer(shape), STREAMS * (sizes.waves + 1), EVEN_PROMPTS, 2 * sizes.new_tokens, SEED
    )
    shares: dict[str, list[float | None]] = {}

    async def one(contestant: Contestant, number: int) -> None:
        assert isinstance(contestant, Server)
        await contestant.run(items[:2], 2)  # warms up
        url = context.roster.metrics_of(contestant)
        before = step_seconds(await asyncio.to_thread(_read, url))
        run = await contestant.run(items, STREAMS)
        after = step_seconds(await asyncio.to_thread(_read, url))
        share = None if before is None or after is None else 1 - (after - before) / run.seconds
        shares.setdefault(contestant.name, []).append(share)

    async with context.started(context.main(shape, batch=STREAMS)) as running:
        await context.rounds(running, one)
    main = ours_of(shares)
    value = median(shares[main]) if main else None
    context.figure(
        "overhead_share",
        value,
        "ratio",
        sizes.waves + 1,
        against="the time that the engine spent in steps, by its own metrics",
        note=f"{main}, {STREAMS} streams; below is better"
        if value is not None
        else "the worker's metrics do not tell the time of its steps",
    )


def step_seconds(metrics: str) -> float | None:
    """Sum over all series of step times in a page of metrics; None when there is none."""
    found = STEPS.findall(metrics)
    return sum(map(float, found)) if found else None


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text
