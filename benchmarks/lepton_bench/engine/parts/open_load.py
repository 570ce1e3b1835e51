"""Part `load`: Poisson arrivals below and above the capacity; latency and goodput over load."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lepton_bench.engine import load
from lepton_bench.engine.contestants import Contestant, Server
from lepton_bench.engine.context import Context, Curve, ours_of
from lepton_bench.engine.outcome import (
    TPOT_FACTOR,
    TTFT_LIMIT,
    Record,
    Summary,
    goodput,
    median,
    steady_rate,
    summary,
)
from lepton_bench.engine.workload import CHAT_ANSWERS, CHAT_PROMPTS, Item, arrivals, prompts

SEED = 7
STREAMS = 16
"""Callers of the closed loop that tells the capacity."""

PEER = "transformers-serve-cb"


@dataclass(frozen=True)
class Point:
    """An open-loop run."""

    share: float
    rate: float
    """Requests a second that came."""
    good: float
    """Good answers a second."""
    found: Summary


async def measure(context: Context) -> None:
    """Ours and transformers' continuous batching, each at shares of its own capacity."""
    sizes = context.options.sizes
    shape = context.shape(sizes.decoder)
    writer = context.writer(shape)
    items = prompts(writer, 64, CHAT_PROMPTS, CHAT_ANSWERS, SEED)
    points: dict[str, list[list[Point]]] = {}

    async def one(contestant: Contestant, number: int) -> None:
        assert isinstance(contestant, Server)
        taken = await _sweep(context, contestant, items, number)
        points.setdefault(contestant.name, []).append(taken)

    ours = context.main(shape, batch=STREAMS)
    async with context.started([*ours, *context.peers((PEER,), shape)]) as running:
        await context.rounds(running, one)
    for name, rounds in points.items():
        _figures(context, name, rounds)
    main = ours_of(points)
    context.figure(
        "goodput_at_2x",
        kept(points[main]) if main else None,
        "ratio",
        against="its own peak over all rates",
        note=f"{main}; good: first token within 1 s, pace within twice that of a single stream; "
        "callers wait no longer than an answer can be good, gRPC tells the server as deadline"
        if main
        else context.why("lepton-float16", "lepton-float32"),
    )


async def single(server: Server, items: Sequence[Item]) -> float:
    """Seconds for each token of a single stream, in the middle."""
    run = await server.run(items[:3], 1)
    assert run.summary is not None
    return run.summary.tpot_p50 or 0.0


async def capacity(server: Server, items: Sequence[Item]) -> float:
    """Requests a second that a closed loop of many callers gets."""
    run = await server.run(items, max(1, min(STREAMS, len(items) // 3)))
    assert run.summary is not None
    return steady_rate(run.records) or run.summary.requests_s


def patient(item: Item, pace: float) -> Item:
    """The item of a caller who waits as long as the answer can still be good."""
    return replace(item, patience=TTFT_LIMIT + TPOT_FACTOR * pace * item.new_tokens)


async def _drive(
    server: Server, items: Sequence[Item], rate: float, seconds: float, seed: int
) -> list[Record]:
    moments = arrivals(rate, seconds, seed)
    asked = [items[place % len(items)] for place in range(len(moments))]
    longest = max((item.patience or 0.0 for item in asked), default=0.0)
    return await load.opened(server.target, asked, moments, longest + 1)


async def _sweep(
    context: Context, server: Server, items: Sequence[Item], number: int
) -> list[Point]:
    await server.run(items[:2], 2)  # warms up
    some = items[: context.options.sizes.capacity_requests]
    pace, most = await single(server, items), await capacity(server, some)
    seconds = context.options.sizes.open_seconds
    hurried = [patient(item, pace) for item in items]
    points = []
    for share in context.options.sizes.shares:
        context.tell(f"{server.name}: {share:g} of its capacity for {seconds:g} s")
        records = await _drive(server, hurried, share * most, seconds, SEED + number)
        if records:
            found = summary(records, seconds)
            good = goodput(records, pace, seconds)
            points.append(Point(share, len(records) / seconds, good, found))
    return points


def kept(rounds: Sequence[Sequence[Point]]) -> float | None:
    """Goodput at the highest rate over the best of any rate: median of rounds."""
    shares = []
    for points in rounds:
        peak = max((point.good for point in points), default=0.0)
        if peak:
            shares.append(max(points, key=lambda point: point.share).good / peak)
    return median(shares)


def _figures(context: Context, name: str, rounds: Sequence[Sequence[Point]]) -> None:
    by_share: dict[float, list[Point]] = {}
    for points in rounds:
        for point in points:
            by_share.setdefault(point.share, []).append(point)
    rows = [_merged(context, name, share, points) for share, points in sorted(by_share.items())]
    pictures = ("load-goodput", "load-first-token")
    for place, picture in enumerate(pictures, start=1):
        line = tuple((row[0], row[place]) for row in rows if row[place] is not None)
        context.curves.append(Curve(picture, name, line))  # type: ignore[arg-type]
    context.figure(
        f"goodput_kept_at_overload.{name}", kept(rounds), "ratio", against="its own peak"
    )


def _merged(
    context: Context, name: str, share: float, points: Sequence[Point]
) -> tuple[float, float | None, float | None]:
    rate = median([point.rate for point in points]) or 0.0
    good = median([point.good for point in points])
    first = median([point.found.ttft_p99 for point in points])
    end = median([point.found.e2e_p99 for point in points])
    errors: dict[str, int] = {}
    for point in points:
        for code, count in point.found.errors.items():
            errors[code] = errors.get(code, 0) + count
    words = [
        f"{rate:.2f} requests/s offered",
        f"first token p99 {first:.3g} s" if first is not None else "",
        f"end p99 {end:.3g} s" if end is not None else "",
        ", ".join(f"{count} {code}" for code, count in sorted(errors.items())),
    ]
    context.figure(
        f"goodput_requests_s_at_{share:g}.{name}",
        good,
        "1/s",
        sum(point.found.requests for point in points),
        note=", ".join(word for word in words if word),
    )
    return rate, good, first
