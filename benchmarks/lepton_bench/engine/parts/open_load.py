"""Part `load`: Poisson arrivals below and above the capacity; latency and goodput over load."""

from collections import Counter
from collections.abc import Callable, Sequence
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
from lepton_bench.engine.peer_names import RIVALS
from lepton_bench.engine.workload import (
    CHAT_ANSWERS,
    CHAT_PROMPTS,
    Item,
    Writer,
    arrivals,
    prompts,
)

SEED = 7
STREAMS = 16
"""Callers of the closed loop that tells the capacity."""


WORDS = {
    "ttft_p50": "first token p50",
    "ttft_p99": "p99",
    "gap_p50": "gap p50",
    "gap_p99": "p99",
    "e2e_p99": "end p99",
}
"""Latencies in seconds that are written down at each rate."""

PICTURES = {
    "load-tokens": "tokens",
    "load-goodput": "good",
    "load-first-token": "ttft_p50",
    "load-first-token-p99": "ttft_p99",
    "load-gap-p99": "gap_p99",
}
"""What is drawn over the requests that come in a second."""


@dataclass(frozen=True)
class Point:
    """An open-loop run."""

    share: float
    rate: float
    """Requests a second that came."""
    good: float
    """Good answers a second."""
    tokens: float
    """New tokens a second while requests came."""
    found: Summary


async def measure(context: Context) -> None:
    """Ours and the servers of peers, each at shares of its own capacity."""
    sizes = context.options.sizes
    shape = context.shape(sizes.decoder)
    points: dict[str, list[list[Point]]] = {}

    async def one(contestant: Contestant, number: int) -> None:
        assert isinstance(contestant, Server)
        taken = await _sweep(context, contestant, context.writer(shape), number)
        points.setdefault(contestant.name, []).append(taken)

    ours = context.main(shape, batch=STREAMS)
    async with context.started([*ours, *context.peers(tuple(RIVALS), shape)]) as running:
        await context.rounds(running, one)
    for name, rounds in points.items():
        _figures(context, name, rounds)
    main = ours_of(points)
    value = kept(points[main]) if main else None
    context.figure(
        "goodput_at_2x",
        value,
        "ratio",
        against="its own peak over all rates",
        note=_note(context, main, value),
    )


def _note(context: Context, main: str | None, value: float | None) -> str:
    if main is None:
        return context.why("lepton-float16", "lepton-float32")
    if value is None:
        return f"no answer of {main} was good at any rate"
    return (
        f"{main}; good: first token within 1 s, pace within twice that of a single stream; "
        "callers wait no longer than an answer can be good, gRPC tells the server as deadline, and "
        "x-slo-ttft-ms and x-slo-tpot-ms what is good (no peer's server takes such)"
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
    """The item of a caller who says what is good, and waits as long as an answer can be that."""
    tpot = TPOT_FACTOR * pace
    patience = TTFT_LIMIT + tpot * item.new_tokens
    return replace(item, patience=patience, ttft=TTFT_LIMIT, tpot=tpot)


async def _drive(
    server: Server, items: Callable[[int], list[Item]], rate: float, seconds: float, seed: int
) -> list[Record]:
    moments = arrivals(rate, seconds, seed)
    asked = items(len(moments))
    longest = max((item.patience or 0.0 for item in asked), default=0.0)
    return await load.opened(server.target, asked, moments, longest + 1)


async def _sweep(context: Context, server: Server, writer: Writer, number: int) -> list[Point]:
    def chats(count: int) -> list[Item]:
        """Prompts that nobody has asked before: a state that is kept helps with none."""
        return prompts(writer, count, CHAT_PROMPTS, CHAT_ANSWERS, SEED + number)

    await server.run(chats(2), 2)  # warms up
    pace = await single(server, chats(3))
    most = await capacity(server, chats(context.options.sizes.capacity_requests))
    seconds = context.options.sizes.open_seconds
    points = []
    for share in context.options.sizes.shares:
        context.tell(f"{server.name}: {share:g} of its capacity for {seconds:g} s")
        records = await _drive(
            server,
            lambda count: [patient(item, pace) for item in chats(count)],
            share * most,
            seconds,
            SEED + number,
        )
        if records:
            found = summary(records, seconds)
            good = goodput(records, pace, seconds)
            tokens = tokens_within(records, seconds) / seconds
            points.append(Point(share, len(records) / seconds, good, tokens, found))
    return points


def tokens_within(records: Sequence[Record], seconds: float) -> int:
    """New tokens that came in the first seconds behind the first request; the rest is the tail."""
    end = min(record.intended for record in records) + seconds
    return sum(tokens for record in records for moment, tokens in record.marks if moment < end)


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
    merged = [middle(by_share[share]) for share in sorted(by_share)]
    for picture, field in PICTURES.items():
        line = tuple(
            (row["rate"] or 0.0, value) for row in merged if (value := row[field]) is not None
        )
        context.curves.append(Curve(picture, name, line))
    for share, row in zip(sorted(by_share), merged, strict=True):
        _figure(context, name, share, row, by_share[share])
    context.figure(
        f"goodput_kept_at_overload.{name}", kept(rounds), "ratio", against="its own peak"
    )


def middle(points: Sequence[Point]) -> dict[str, float | None]:
    """Medians over the rounds of one rate."""
    found = {field: median([getattr(point.found, field) for point in points]) for field in WORDS}
    return {
        **found,
        "rate": median([point.rate for point in points]) or 0.0,
        "good": median([point.good for point in points]),
        "tokens": median([point.tokens for point in points]),
    }


def _figure(
    context: Context, name: str, share: float, row: dict[str, float | None], points: list[Point]
) -> None:
    errors = Counter[str]()
    for point in points:
        errors.update(point.found.errors)
    words = [
        f"{row['rate']:.2f} requests/s offered",
        f"{row['tokens']:.3g} new tokens/s",
        *(f"{word} {row[field]:.3g} s" for field, word in WORDS.items() if row[field] is not None),
        ", ".join(f"{count} {code}" for code, count in sorted(errors.items())),
    ]
    context.figure(
        f"goodput_requests_s_at_{share:g}.{name}",
        row["good"],
        "1/s",
        sum(point.found.requests for point in points),
        note=", ".join(word for word in words if word),
    )
