"""Part `mixes`: prompts that share a beginning, short beside long ones, and a sudden crowd."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lepton_bench.engine import load
from lepton_bench.engine.contestants import Contestant, Server
from lepton_bench.engine.context import Context, ours_of
from lepton_bench.engine.outcome import OK, Record, median, ratio, summary, tail
from lepton_bench.engine.peer_names import RIVALS
from lepton_bench.engine.workload import (
    EVEN_PROMPTS,
    LONG_PROMPTS,
    Item,
    Lengths,
    Writer,
    prompts,
    together,
)

SEED = 23
STREAMS = 8
SYSTEM_TOKENS, OWN, NEW_TOKENS = 512, Lengths(median=24, sigma=0.25, low=16, high=32), 16
SHORT = Lengths(median=32, sigma=0.4, low=16, high=64)
SHORT_NEW, LONG_NEW = 16, 48
LONG_SHARE = 0.2
CROWD, CROWD_SECONDS = 32, 1.0
GRACE = 120.0
"""Seconds given to a crowd's answers."""


@dataclass(frozen=True)
class Found:
    """What one contestant made of each mix in one round; None where it answered nothing."""

    shared: float | None
    """Answers a second to prompts that begin alike."""
    distinct: float | None
    """The same with prompts of the same lengths that share nothing."""
    mixed: float | None
    """Answers a second to short and long prompts together."""
    short_first: float | None
    """p99 of the first token of the short ones among them, in seconds."""
    crowd_first: float | None
    """p99 of the first token when a crowd comes within a second."""
    crowd_seconds: float | None
    """Until the last of the crowd has its answer."""


async def measure(context: Context) -> None:
    """The mixes one after another, for each contestant the same requests."""
    sizes = context.options.sizes
    shape = context.shape(sizes.decoder)
    found: dict[str, list[Found]] = defaultdict(list)
    failed: dict[str, int] = defaultdict(int)

    async def one(contestant: Contestant, number: int) -> None:
        assert isinstance(contestant, Server)
        taken, lost = await _mixes(context, contestant, context.writer(shape), number)
        found[contestant.name].append(taken)
        failed[contestant.name] += lost

    ours = context.main(shape, batch=2 * STREAMS)
    async with context.started([*ours, *context.peers(tuple(RIVALS), shape)]) as running:
        await context.rounds(running, one)
    main = ours_of(found) or "lepton-float16"
    for theirs, word in RIVALS.items():
        _compare(context, found, main, theirs, word)
    _gain(context, found, main)
    for name, lost in failed.items():
        context.figure(f"mixes_failed.{name}", float(lost), "requests")


async def _mixes(
    context: Context, server: Server, writer: Writer, number: int
) -> tuple[Found, int]:
    count, seed = context.options.sizes.mix_requests, SEED + number
    await server.run(prompts(writer, 2, EVEN_PROMPTS, 4, seed), 2)  # warms up
    context.tell(f"{server.name}: prompts that begin alike, and others as long")
    alike = with_system(writer, count, seed)
    apart = prompts(writer, count, _as_long(alike), NEW_TOKENS, seed)
    shared, distinct = await server.run(alike, STREAMS), await server.run(apart, STREAMS)
    context.tell(f"{server.name}: short and long prompts")
    mixed = await server.run(short_and_long(writer, count, seed), STREAMS)
    short = [record for record in mixed.records if record.item.new_tokens == SHORT_NEW]
    context.tell(f"{server.name}: a crowd")
    crowd = await _crowd(server, prompts(writer, CROWD, EVEN_PROMPTS, NEW_TOKENS, seed), seed)
    whole = [record for record in crowd if record.outcome == OK]
    lost = shared.failed + distinct.failed + mixed.failed + len(crowd) - len(whole)
    return (
        Found(
            shared=_rate(shared.records, shared.seconds),
            distinct=_rate(distinct.records, distinct.seconds),
            mixed=_rate(mixed.records, mixed.seconds),
            short_first=tail(short, 0.99, first=True),
            crowd_first=tail(crowd, 0.99, first=True),
            crowd_seconds=tail(crowd, 1.0) if whole else None,
        ),
        lost,
    )


async def _crowd(server: Server, items: Sequence[Item], seed: int) -> list[Record]:
    dice = random.Random(seed)
    moments = sorted(dice.uniform(0, CROWD_SECONDS) for _ in items)
    return await load.opened(server.target, items, moments, GRACE)


def _rate(records: Sequence[Record], seconds: float) -> float | None:
    return summary(records, seconds).requests_s or None


def _as_long(items: Sequence[Item]) -> Lengths:
    middle = sorted(item.prompt_tokens for item in items)[len(items) // 2]
    return Lengths(median=middle, sigma=0.0, low=middle, high=middle)


def with_system(writer: Writer, count: int, seed: int) -> list[Item]:
    """Requests with one long beginning, as applications put it before what users ask."""
    system = Item(*writer.text(SYSTEM_TOKENS))
    return [together(system, item) for item in prompts(writer, count, OWN, NEW_TOKENS, seed)]


def short_and_long(writer: Writer, count: int, seed: int) -> list[Item]:
    """Mostly short questions with short answers, and long ones among them."""
    long = max(1, round(LONG_SHARE * count))
    items = [
        *prompts(writer, count - long, SHORT, SHORT_NEW, seed),
        *prompts(writer, long, LONG_PROMPTS, LONG_NEW, seed),
    ]
    random.Random(seed).shuffle(items)
    return items


KINDS = (
    ("shared_prefix", "shared", f"answers a second, {SYSTEM_TOKENS} tokens shared"),
    ("mixed_lengths", "mixed", f"answers a second, {LONG_SHARE:.0%} long prompts and answers"),
    (
        "mixed_short_first_token_p99",
        "short_first",
        "of the short requests among long ones; below 1 is better",
    ),
    (
        "burst_first_token_p99",
        "crowd_first",
        f"{CROWD} callers within a second; below 1 is better",
    ),
    ("burst_seconds", "crowd_seconds", "until all have their answers; below 1 is better"),
)
"""Figure, field, and what its note says."""


def _compare(
    context: Context, found: dict[str, list[Found]], main: str, theirs: str, word: str
) -> None:
    for name, field, note in KINDS:
        mine, other = _middle(found, main, field), _middle(found, theirs, field)
        value = ratio(mine, other)
        context.figure(
            f"{name}_vs_{word}",
            value,
            "ratio",
            len(found.get(main, ())) or None,
            against=f"{theirs}: {other:.3g}" if other is not None else None,
            note=f"{main}: {mine:.3g}, {note}; the sample is rounds"
            if value is not None
            else context.why(*(who for who in (main, theirs) if not found.get(who))),
        )


def _gain(context: Context, found: dict[str, list[Found]], main: str) -> None:
    value = ratio(_middle(found, main, "shared"), _middle(found, main, "distinct"))
    context.figure(
        "shared_prefix_gain",
        value,
        "ratio",
        len(found.get(main, ())) or None,
        against="prompts of the same lengths that share nothing",
        note=f"{main}, answers a second" if value is not None else context.why(main),
    )


def _middle(found: dict[str, list[Found]], name: str, field: str) -> float | None:
    return median([getattr(taken, field) for taken in found.get(name, ())])
