"""Part `victim`: a tenant who asks little, alone and beside one who sends ten times as much.

All prompts are new, those of the quiet tenant as long both times: a state that is kept would help
it alone, and not where the neighbour has taken its place.
"""

import asyncio
from dataclasses import replace

from lepton_bench.engine import load
from lepton_bench.engine.contestants import Contestant, Server
from lepton_bench.engine.context import Context, ours_of
from lepton_bench.engine.outcome import OK, Record, median, ratio, tail
from lepton_bench.engine.parts.open_load import STREAMS, capacity
from lepton_bench.engine.workload import EVEN_PROMPTS, Item, Writer, arrivals, prompts

SEED = 11
NEW_TOKENS = 16
GRACE = 30.0
"""Seconds given to what is in hand at the end; the neighbour leaves much behind."""
SHARE = 0.15
"""Of the capacity that the quiet tenant asks for; ten times that is more than there is."""

FOUND = (
    ("victim_p99_ratio", 0.99, False),
    ("victim_p50_ratio", 0.5, False),
    ("victim_first_token_p99_ratio", 0.99, True),
    ("victim_first_token_p50_ratio", 0.5, True),
)
"""Figures, with the share of the requests and whether the time is that to the first token."""


async def measure(context: Context) -> None:
    """The same arrivals of the quiet tenant, twice; the neighbour only the second time."""
    shape = context.shape(context.options.sizes.decoder)
    writer = context.writer(shape)
    ratios: dict[str, dict[str, list[float | None]]] = {place: {} for place, _, _ in FOUND}
    count: dict[str, int] = {}
    lost: dict[str, int] = {}

    async def one(contestant: Contestant, number: int) -> None:
        assert isinstance(contestant, Server)
        await contestant.run(_asked(writer, 2, number), 2)  # warms up
        many = _asked(writer, context.options.sizes.capacity_requests, number)
        rate = SHARE * await capacity(contestant, many)
        seconds = 4 * context.options.sizes.open_seconds
        alone = await _quiet(contestant, writer, rate, seconds, number)
        context.tell(f"{contestant.name}: beside a neighbour")
        beside, _ = await asyncio.gather(
            _quiet(contestant, writer, rate, seconds, number),
            _neighbour(contestant, writer, 10 * rate, seconds, number),
        )
        name = contestant.name
        for place, share, first in FOUND:
            found = ratio(tail(beside, share, first=first), tail(alone, share, first=first))
            ratios[place].setdefault(name, []).append(found)
        count[name] = count.get(name, 0) + len(beside)
        lost[name] = lost.get(name, 0) + sum(record.outcome != OK for record in beside)

    async with context.started(context.main(shape, batch=STREAMS)) as running:
        await context.rounds(running, one)
    main = ours_of(count)
    note = f"{main}; quiet tenant at {SHARE:g} of the capacity, {lost.get(main or '', 0)} lost"
    for figure, found in ratios.items():
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


def _asked(writer: Writer, count: int, seed: int) -> list[Item]:
    return prompts(writer, count, EVEN_PROMPTS, NEW_TOKENS, SEED + seed)


async def _quiet(
    server: Server, writer: Writer, rate: float, seconds: float, number: int
) -> list[Record]:
    return await _tenant(server, writer, "quiet", rate, seconds, SEED + number)


async def _neighbour(
    server: Server, writer: Writer, rate: float, seconds: float, number: int
) -> list[Record]:
    return await _tenant(server, writer, "loud", rate, seconds, SEED + 1000 + number)


async def _tenant(
    server: Server, writer: Writer, tenant: str, rate: float, seconds: float, seed: int
) -> list[Record]:
    moments = arrivals(rate, seconds, seed)
    asked = [replace(item, tenant=tenant) for item in _asked(writer, len(moments), seed)]
    return await load.opened(server.target, asked, moments, GRACE)
