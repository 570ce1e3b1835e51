"""Part `cancel`: three callers of ten hang up in the middle of their answers."""

import asyncio

from lepton_bench.engine.contestants import Contestant, Server
from lepton_bench.engine.context import Context, ours_of
from lepton_bench.engine.grpc_target import GrpcTarget
from lepton_bench.engine.outcome import median, ratio
from lepton_bench.engine.parts.open_load import STREAMS
from lepton_bench.engine.workload import EVEN_PROMPTS, prompts, with_cancelled

SEED = 13
SHARE = 0.3


async def measure(context: Context) -> None:
    """The same requests whole and with some cancelled; then what is left in the engine."""
    sizes = context.options.sizes
    shape = context.shape(sizes.decoder)
    items = prompts(
        context.writer(shape), STREAMS * (sizes.waves + 1), EVEN_PROMPTS, 2 * sizes.new_tokens, SEED
    )
    kept: dict[str, list[float | None]] = {}
    errors: dict[str, int] = {}
    left: dict[str, int] = {}

    async def one(contestant: Contestant, number: int) -> None:
        assert isinstance(contestant, Server)
        assert isinstance(contestant.target, GrpcTarget)
        await contestant.run(items[:2], 2)  # warms up
        loads = [items, with_cancelled(items, SHARE, SEED + number)]
        runs = [await contestant.run(load, STREAMS) for load in loads[:: (-1) ** number]]
        whole, some = runs[:: (-1) ** number]
        name = contestant.name
        kept.setdefault(name, []).append(ratio(some.new_tokens_s, whole.new_tokens_s))
        assert some.summary is not None
        errors[name] = errors.get(name, 0) + sum(some.summary.errors.values())
        await asyncio.sleep(1)
        left[name] = max(left.get(name, 0), await contestant.target.in_hand())

    async with context.started(context.main(shape, batch=STREAMS)) as running:
        await context.rounds(running, one)
    main = ours_of(kept)
    reason = context.why("lepton-float16", "lepton-float32")
    context.figure(
        "cancelled_30_tokens_kept",
        median(kept[main]) if main else None,
        "ratio",
        len(items),
        against="tokens a second that reach callers when nobody hangs up",
        note=f"{main}; 30 % of the callers hang up half-way" if main else reason,
    )
    for name, found in (("errors", errors), ("left_running", left)):
        context.figure(
            f"cancelled_30_{name}",
            float(found[main]) if main else None,
            "requests",
            len(items),
            note="" if main else reason,
        )
