"""Part `cold`: from the start of the process to the first answer."""

from lepton_bench.engine.contestants import Contestant
from lepton_bench.engine.context import Context, ours_of
from lepton_bench.engine.environments import Unavailable
from lepton_bench.engine.order import alternating
from lepton_bench.engine.outcome import median, ratio

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
    context.figure(
        "warm_start_vs_cold",
        None,
        "ratio",
        note="needs a worker that starts its engine from a warm parent",
    )
