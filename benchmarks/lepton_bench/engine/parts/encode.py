"""Part `encode`: mixed lengths through encoders, over gRPC beside padded servers and engines."""

from collections import defaultdict
from collections.abc import Sequence

from lepton_bench.engine import target
from lepton_bench.engine.contestants import Contestant, Run, Server
from lepton_bench.engine.context import Context
from lepton_bench.engine.models import Shape
from lepton_bench.engine.outcome import by_processor, median, ratio
from lepton_bench.engine.parts.limits import known
from lepton_bench.engine.peer_names import ENCODER_PEERS, PADDED, SERVERS
from lepton_bench.engine.workload import ENCODED, Item, texts

CALLERS = 32
SEED = 3
KINDS = {
    "float32": "float32",
    "float16": "float16-packed",
    "bfloat16": "bfloat16",
    "int8": "int8",
}
"""Which measured rate of multiplication bounds which weights of ours."""

Runs = dict[str, list[Run]]


async def measure(context: Context) -> None:
    """Each encoder; the first one listed gives the figures without a suffix."""
    await known(context)
    for place, name in enumerate(context.options.sizes.encoders):
        await _encoder(context, context.shape(name), "" if place == 0 else f"_{name}")


async def _encoder(context: Context, shape: Shape, suffix: str) -> None:
    items = texts(context.writer(shape), context.options.sizes.texts, ENCODED, SEED)
    runs: Runs = defaultdict(list)
    answers: dict[str, list[float]] = {}

    async def one(contestant: Contestant, number: int) -> None:
        if number == 0:
            await contestant.run(items[: CALLERS // 2], CALLERS)  # warms up
            if isinstance(contestant, Server):
                answers[contestant.name] = (await target.whole(contestant.target, items[0]))[1]
        runs[contestant.name].append(await contestant.run(items, CALLERS))

    contestants = [*context.ours(shape), *context.peers(ENCODER_PEERS, shape)]
    async with context.started(contestants) as running:
        await context.rounds(running, one)
        peaks = {contestant.name: contestant.child.peak_mib() for contestant in running}
    _ratios(context, shape, suffix, runs, len(items))
    _against_limit(context, shape, suffix, rates(runs))
    _absolute(context, shape, runs, peaks, items)
    _agreement(context, suffix, answers)


def rates(runs: Runs) -> dict[str, float]:
    """Median of the tokens a second, by contestant."""
    found = {name: median([run.prompt_tokens_s for run in taken]) for name, taken in runs.items()}
    return {name: rate for name, rate in found.items() if rate is not None}


def best_of(names: Sequence[str], found: dict[str, float]) -> str | None:
    """Name of the fastest of those that took part."""
    return max((name for name in names if name in found), key=found.__getitem__, default=None)


def _ratios(context: Context, shape: Shape, suffix: str, runs: Runs, count: int) -> None:
    found = rates(runs)
    processor = {name: median([run.cpu_rate for run in taken]) for name, taken in runs.items()}
    padded = best_of(PADDED, found) or PADDED[0]
    server = best_of(SERVERS, found) or SERVERS[0]
    pairs = (
        ("encode_vs_padded_fifo", "lepton-float32", padded),
        ("encode_int8_vs_padded_fifo", "lepton-int8", padded),
        ("encode_auto_vs_padded_fifo", "lepton-auto", padded),
        ("encode_vs_best_server", "lepton-float32", server),
        ("encode_int8_vs_best_server", "lepton-int8", server),
        ("encode_auto_vs_best_server", "lepton-auto", server),
        ("encode_vs_onnxruntime", "lepton-float32", "onnxruntime"),
        ("encode_vs_openvino", "lepton-float32", "openvino"),
        ("encode_int8_vs_onnxruntime_int8", "lepton-int8", "onnxruntime-int8"),
    )
    for name, ours, theirs in pairs:
        value = ratio(found.get(ours), found.get(theirs))
        note = f"{shape.like} shape, {CALLERS} callers, one text each"
        if theirs in ("onnxruntime", "openvino", "onnxruntime-int8"):
            note += "; the peer is an engine without a server, its texts sorted by length"
        note += by_processor(processor.get(ours), processor.get(theirs))
        context.figure(
            f"{name}{suffix}",
            value,
            "ratio",
            count,
            against=f"{theirs}: {found[theirs]:.0f} tokens/s" if theirs in found else None,
            note=note
            if value is not None
            else context.why(*(who for who in (ours, theirs) if who not in found)),
        )


def _against_limit(context: Context, shape: Shape, suffix: str, found: dict[str, float]) -> None:
    assert context.limits is not None
    kinds = dict.fromkeys(("float32", *context.options.ours))
    for weights in (kind for kind in kinds if kind in KINDS):
        rate = context.limits.rates.get(KINDS[weights])
        speed = found.get(f"lepton-{weights}")
        share = speed * 2 * shape.matrix_weights / rate if speed and rate else None
        kind = "" if weights == "float32" else f"_{weights}"
        context.figure(
            f"encode{kind}_vs_limit{suffix}",
            share,
            "ratio",
            against=f"{rate / 1e9:.0f} GFLOP/s, {KINDS[weights]}, 512 rows" if rate else None,
            note="multiplications of the layers' matrices only, end to end over gRPC"
            if share is not None
            else context.why(f"lepton-{weights}"),
        )


def _absolute(
    context: Context, shape: Shape, runs: Runs, peaks: dict[str, float], items: list[Item]
) -> None:
    for name, taken in runs.items():
        cpu = median([run.cpu_seconds for run in taken])
        tokens = sum(item.prompt_tokens for item in items)
        tail = median([run.summary.e2e_p99 for run in taken if run.summary])
        failed = sum(run.failed for run in taken)
        words = [
            f"{1000 * cpu / tokens:.3g} CPU seconds for 1,000 tokens" if cpu is not None else "",
            f"p99 {tail:.3g} s" if tail else "engine without a server",
            f"peak {peaks[name]:.0f} MiB" if name in peaks else "",
            f"{failed} failed" if failed else "",
        ]
        context.figure(
            f"encode_tokens_s.{shape.name}.{name}",
            rates(runs)[name],
            "tokens/s",
            len(items) * len(taken),
            note=", ".join(word for word in words if word),
        )


def _agreement(context: Context, suffix: str, answers: dict[str, list[float]]) -> None:
    ours = answers.get("lepton-float32")
    theirs = [values for name, values in answers.items() if not name.startswith("lepton")]
    value = max((furthest(ours, values) for values in theirs), default=None) if ours else None
    context.figure(
        f"encode_largest_difference{suffix}",
        value,
        "absolute",
        len(theirs),
        against="the padded servers' answers to the same text",
        note="" if value is not None else "nobody to compare with",
    )


def furthest(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Largest difference between two answers; infinite when they are of different lengths."""
    if len(ours) != len(theirs):
        return float("inf")
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
