"""Part `victim`: a tenant who asks little, alone and beside one who sends ten times as much."""

import asyncio
from dataclasses import replace

from lepton_bench.engine import load
from lepton_bench.engine.contestants import Contestant, Server
from lepton_bench.engine.context import Context, ours_of
from lepton_bench.engine.outcome import OK, Record, median, ratio, tail
from lepton_bench.engine.parts.open_load import STREAMS, capacity
from lepton_bench.engine.workload import EVEN_PROMPTS, Item, arrivals, prompts

SEED = 11
NEW_TOKENS = 16
GRACE = 30.0
"""Seconds given to what is in hand at the end; the neighbour leaves much behind."""
SHARE = 0.15
"""Of the capacity that the quiet tenant asks for; ten times that is more than there is."""


async def measure(context: Context) -> None:
    """The same arrivals of the quiet tenant, twice; the neighbour only the second time."""
    shape = context.shape(context.options.sizes.decoder)
    items = prompts(context.writer(shape), 64, EVEN_PROMPTS, NEW_TOKENS, SEED)
    ends: dict[str, list[float | None]] = {}
    firsts: dict[str, list[float | None]] = {}
    count: dict[str, int] = {}
    lost: dict[str, int] = {}

    async def one(contestant: Contestant, number: int) -> None:
        assert isinstance(contestant, Server)
        await contestant.run(items[:2], 2)  # warms up
        rate = SHARE * await capacity(contestant, items[: context.options.sizes.capacity_requests])
        seconds = 4 * context.options.sizes.open_seconds
        alone = await _quiet(contestant, items, rate, seconds, number)
        context.tell(f"{contestant.name}: beside a neighbour")
        beside, _ = await asyncio.gather(
            _quiet(contestant, items, rate, seconds, number),
            _neighbour(contestant, items, 10 * rate, seconds, number),
        )
        name = contestant.name
        for place, first in ((ends, False), (firsts, True)):
            found = ratio(tail(beside, 0.99, first=first), tail(alone, 0.99, first=first))
            place.setdefault(name, []).append(found)
        count[name] = count.get(name, 0) + len(beside)
        lost[name] = lost.get(name, 0) + sum(record.outcome != OK for record in beside)

    async with context.started(context.main(shape, batch=STREAMS)) as running:
        await context.rounds(running, one)
    main = ours_of(ends)
    note = f"{main}; quiet tenant at {SHARE:g} of the capacity, {lost.get(main or '', 0)} lost"
    for figure, found in (("victim_p99_ratio", ends), ("victim_first_token_p99_ratio", firsts)):
        value = median(found[main]) if main else None
        if main and value is None:
            note = f"{main}: no request of the quiet tenant came in the time of this run"
        context.figure(
            figure,
            value,
            "ratio",
            count.get(main or ""),
            against="the same arrivals without the neighbour",
            note=note if main else context.why("lepton-float16", "lepton-float32"),
        )


async def _quiet(
    server: Server, items: list[Item], rate: float, seconds: float, number: int
) -> list[Record]:
    return await _tenant(server, items, "quiet", rate, seconds, SEED + number)


async def _neighbour(
    server: Server, items: list[Item], rate: float, seconds: float, number: int
) -> list[Record]:
    return await _tenant(server, items, "loud", rate, seconds, SEED + 1000 + number)


async def _tenant(
    server: Server, items: list[Item], tenant: str, rate: float, seconds: float, seed: int
) -> list[Record]:
    moments = arrivals(rate, seconds, seed)
    asked = [replace(items[place % len(items)], tenant=tenant) for place in range(len(moments))]
    return await load.opened(server.target, asked, moments, GRACE)
