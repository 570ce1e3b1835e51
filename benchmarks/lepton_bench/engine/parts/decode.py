"""Parts `decode` and `long`: greedy answers of one length in a closed loop, over streams."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from lepton_bench.engine import target
from lepton_bench.engine.contestants import Contestant, Run, Server
from lepton_bench.engine.context import Context, Curve, ours_of
from lepton_bench.engine.models import Shape
from lepton_bench.engine.outcome import by_processor, median, ratio
from lepton_bench.engine.parts import latency
from lepton_bench.engine.parts.limits import BYTES, known, weight_bytes
from lepton_bench.engine.peer_names import CPP_8, CPP_16, DECODER_PEERS, ENGINES
from lepton_bench.engine.workload import EVEN_PROMPTS, LONG_PROMPTS, Item, prompts

SEED = 5
LONG_STREAMS, LONG_NEW = 8, 24
BATCHING = ("transformers-serve-cb", "transformers-cb")
HELLO = [Item("ba " * length, length, 8) for length in (40, 80)]
"""What warms a contestant up: none of the prompts that are measured, whose states would be kept."""

Loads = dict[int, list[Item]]
"""Requests by streams."""

Runs = dict[tuple[str, int], list[Run]]
"""By contestant and streams."""


async def measure(context: Context) -> None:
    """Short prompts, over the numbers of streams."""
    await known(context)
    sizes = context.options.sizes
    shape = context.shape(sizes.decoder)
    writer = context.writer(shape)
    loads = [
        {
            streams: prompts(writer, streams * sizes.waves, EVEN_PROMPTS, sizes.new_tokens, SEED)
            for streams in sizes.streams
        }
        for _ in range(context.options.rounds)
    ]
    runs, same = await _taken(context, shape, loads, DECODER_PEERS)
    _pairs(context, runs)
    latency.compare(context, runs, _ours(runs))
    _limit(context, shape, runs, loads[0][1])
    _absolute(context, shape, runs, "decode")
    _agreement(context, same)
    _curves(context, runs)


async def measure_long(context: Context) -> None:
    """Long prompts with short answers: mostly the reading of prompts."""
    sizes = context.options.sizes
    shape = context.shape(sizes.decoder)
    writer = context.writer(shape)
    loads = [
        {LONG_STREAMS: prompts(writer, sizes.long_requests, LONG_PROMPTS, LONG_NEW, SEED + 1)}
        for _ in range(context.options.rounds)
    ]
    runs, _ = await _taken(context, shape, loads, (*BATCHING, "llama-cpp"))
    for name, theirs in (
        ("long_prompts_vs_transformers_cb", "transformers-serve-cb"),
        ("long_prompts_vs_transformers_cb_engine", "transformers-cb"),
        ("long_prompts_vs_llama_cpp", "llama-cpp"),
    ):
        _pair(context, name, _ours(runs), theirs, LONG_STREAMS, runs)
    _absolute(context, shape, runs, "long")


async def _taken(
    context: Context, shape: Shape, loads: Sequence[Loads], peers: Sequence[str]
) -> tuple[Runs, dict[str, str]]:
    """All runs, each round with its own prompts, and each server's answer to one of the first."""
    runs: Runs = defaultdict(list)
    answers: dict[str, str] = {}
    asked = backwards(next(iter(loads[0].values()))[0])

    async def one(contestant: Contestant, number: int) -> None:
        if number == 0:
            await contestant.run(HELLO, 2)  # warms up
            if isinstance(contestant, Server):
                answers[contestant.name] = (await target.whole(contestant.target, asked))[0]
        for streams, items in loads[number].items():
            runs[contestant.name, streams].append(await contestant.run(items, streams))

    ours = context.ours(shape, batch=max(loads[0]))
    async with context.started([*ours, *context.peers(peers, shape)]) as running:
        await context.rounds(running, one)
    return runs, answers


def backwards(item: Item) -> Item:
    """The same words in reversed order: another prompt, which leaves no state for this one."""
    return replace(item, text=" ".join(reversed(item.text.split())))


def speed(runs: Runs, name: str, streams: int) -> float | None:
    """Median of the new tokens a second."""
    return median([run.new_tokens_s for run in runs.get((name, streams), ())])


def _processor(runs: Runs, name: str, streams: int) -> float | None:
    return median([run.cpu_rate for run in runs.get((name, streams), ())])


def _ours(runs: Runs) -> str:
    return ours_of([name for name, _ in runs]) or "lepton-float16"


def _pairs(context: Context, runs: Runs) -> None:
    ours = _ours(runs)
    for streams in context.options.sizes.streams:
        for theirs, name in (
            ("transformers-serve-cb", "decode_vs_transformers_cb"),
            ("transformers-serve", "decode_vs_transformers_serve"),
            ("transformers-cb", "decode_vs_transformers_cb_engine"),
        ):
            _pair(context, f"{name}_c{streams}", ours, theirs, streams, runs)
            if "auto" in context.options.ours:
                _pair(context, f"{name}_c{streams}_auto", "lepton-auto", theirs, streams, runs)
        name = f"decode_int8_vs_ctranslate2_c{streams}"
        _pair(context, name, "lepton-int8", "ctranslate2", streams, runs)
        for name, mine, others in (
            ("decode_vs_best_cpp", ("lepton-float16", "lepton-bfloat16"), CPP_16),
            ("decode_int8_vs_best_cpp", ("lepton-int8",), CPP_8),
        ):
            ours_best, best = fastest(runs, mine, streams), fastest(runs, others, streams)
            _pair(context, f"{name}_c{streams}", ours_best, best, streams, runs)


def fastest(runs: Runs, names: Sequence[str], streams: int) -> str:
    """The fastest of those that took part; the first one named when none did."""
    return max(names, key=lambda name: speed(runs, name, streams) or 0.0)


def _pair(context: Context, name: str, ours: str, theirs: str, streams: int, runs: Runs) -> None:
    mine, other = speed(runs, ours, streams), speed(runs, theirs, streams)
    value = ratio(mine, other)
    kind = "engine without a server" if theirs in ENGINES else "server"
    context.figure(
        name,
        value,
        "ratio",
        len(runs.get((ours, streams), ())) or None,
        against=f"{theirs} ({kind}): {other:.1f} new tokens/s" if other else None,
        note=f"{ours}, {streams} streams, greedy, prompts included; the sample is rounds"
        + by_processor(*(_processor(runs, who, streams) for who in (ours, theirs)))
        if value is not None
        else context.why(*(who for who in (ours, theirs) if not speed(runs, who, streams))),
    )


def _limit(context: Context, shape: Shape, runs: Runs, items: Sequence[Item]) -> None:
    assert context.limits is not None
    kind = _ours(runs).removeprefix("lepton-")
    if kind not in BYTES:
        return
    taken = [run.summary for run in runs.get((f"lepton-{kind}", 1), ()) if run.summary]
    tpot = median([summary.tpot_p50 for summary in taken])
    tokens = items[0].prompt_tokens + items[0].new_tokens // 2
    size = weight_bytes(shape, kind) + shape.cache_bytes(tokens)
    rate = context.limits.read_weights[kind]
    context.figure(
        "decode_vs_limit_c1",
        size / rate / tpot if tpot else None,
        "ratio",
        against=f"{rate / 1e9:.1f} GB/s read by one row over as many bytes in this run: "
        f"{1000 * size / rate:.2f} ms a token",
        note=f"weights as {kind}, time between tokens of one stream; over far more than the "
        f"caches hold it is {context.limits.read / 1e9:.1f} GB/s"
        if tpot
        else context.why(f"lepton-{kind}"),
    )


def _absolute(context: Context, shape: Shape, runs: Runs, part: str) -> None:
    for (name, streams), taken in runs.items():
        summaries = [run.summary for run in taken if run.summary]
        per_token = [
            run.cpu_seconds / (run.new_tokens_s * run.seconds) for run in taken if run.new_tokens_s
        ]
        cpu, first = median(per_token), median([summary.ttft_p99 for summary in summaries])
        pace, gap = (
            median([summary.tpot_p50 for summary in summaries]),
            median([summary.gap_p99 for summary in summaries]),
        )
        words = [
            f"{1000 * cpu:.3g} CPU seconds for 1,000 tokens" if cpu is not None else "",
            f"first token p99 {first:.3g} s" if first else "",
            f"time per token {1000 * pace:.3g} ms" if pace else "",
            f"gap p99 {1000 * gap:.3g} ms" if gap else "",
        ]
        context.figure(
            f"{part}_tokens_s_c{streams}.{shape.name}.{name}",
            speed(runs, name, streams),
            "tokens/s",
            len(taken),
            note=", ".join(word for word in words if word),
        )


def _agreement(context: Context, answers: dict[str, str]) -> None:
    """Greedy answers of unquantized weights have to be the same text everywhere."""
    ours = answers.get("lepton-float32")
    theirs = [text for name, text in answers.items() if not name.startswith("lepton")]
    known = ours is not None and bool(theirs)
    context.figure(
        "decode_same_answers",
        float(sum(text == ours for text in theirs)) if known else None,
        "servers",
        len(theirs),
        against="the greedy answer of each server of a peer to one prompt, lepton-float32",
        note="" if known else "nobody to compare with",
    )


def _curves(context: Context, runs: Runs) -> None:
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, streams in sorted(runs):
        found = speed(runs, name, streams)
        if found is not None:
            points[name].append((float(streams), found))
    for name, line in points.items():
        context.curves.append(Curve("decode", name, tuple(line)))
