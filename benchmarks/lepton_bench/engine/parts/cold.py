"""Part `cold`: from the start of the process to the first answer."""

import asyncio
import os
import signal
import time

from lepton_bench.engine import proc
from lepton_bench.engine.contestants import HELLO, Contestant, Server
from lepton_bench.engine.context import Context, ours_of
from lepton_bench.engine.environments import Unavailable
from lepton_bench.engine.models import Shape
from lepton_bench.engine.order import alternating
from lepton_bench.engine.outcome import median, ratio
from lepton_bench.engine.target import Refused, whole

WARM_SECONDS = 60.0
PEERS = ("transformers-serve", "transformers-serve-cb")


async def measure(context: Context) -> None:
    """Start and stop each in alternating order; files are in the page cache for all."""
    sizes = context.options.sizes
    shape = context.shape(sizes.decoder)
    contestants: list[Contestant] = [
        *context.main(shape),
        *context.peers(PEERS, shape),
    ]
    seconds: dict[str, list[float | None]] = {}
    for order in alternating(contestants, sizes.cold_starts + 1):
        for contestant in order:
            if contestant.name in context.missing:
                continue
            context.tell(f"cold start of {contestant.name}")
            try:
                seconds.setdefault(contestant.name, []).append(await contestant.start())
            except Unavailable as error:
                context.drop(contestant, error)
            finally:
                await contestant.stop()
    # The first start of each may have read files from the disk.
    found = {name: median(taken[1:]) for name, taken in seconds.items()}
    ours = ours_of([name for name, middle in found.items() if middle]) or "lepton-float32"
    for theirs in PEERS:
        value = ratio(found.get(ours), found.get(theirs))
        other = found.get(theirs)
        context.figure(
            f"cold_start_vs_{theirs.replace('-', '_')}",
            value,
            "ratio",
            sizes.cold_starts,
            against=f"{theirs}: {other:.1f} s" if other else None,
            note=f"{ours}, files in the page cache; below 1 is better"
            if value is not None
            else context.why(*(who for who in (ours, theirs) if not found.get(who))),
        )
    for name, middle in found.items():
        context.figure(f"cold_start_s.{name}", middle, "s", sizes.cold_starts)
    await _warm(context, shape, found.get(ours))


async def _warm(context: Context, shape: Shape, cold: float | None) -> None:
    """End the engine of a running worker, and wait for the answer of the next one."""
    seconds: list[float | None] = []
    main = context.main(shape)
    async with context.started(main) as running:
        for server in main if running else ():
            server.child.resume()
            for _ in range(context.options.sizes.cold_starts):
                context.tell(f"{server.name}: another engine out of the warm parent")
                seconds.append(await another_engine(server))
    warm = median(seconds)
    value = ratio(warm, cold)
    context.figure(
        "warm_start_vs_cold",
        value,
        "ratio",
        len(seconds) or None,
        against=f"the worker's start to its first answer: {cold:.2f} s" if cold else None,
        note=f"{warm:.2f} s from the engine's end to an answer of the next, which the warm parent "
        "forks; below 1 is better"
        if value is not None and warm is not None
        else "the worker has no engine in a process of its own, or did not start",
    )


async def another_engine(server: Server) -> float | None:
    """Seconds from the end of the engine's process to an answer; None when there is no such."""
    found = proc.grandchildren(server.child.process.pid)
    if not found:
        return None
    start = time.perf_counter()
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    while time.perf_counter() - start < WARM_SECONDS:
        try:
            await whole(server.target, HELLO)
            return time.perf_counter() - start
        except Refused:
            await asyncio.sleep(0.02)
    return None
