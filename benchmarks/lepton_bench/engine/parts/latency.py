"""First tokens and gaps between messages under a closed loop, beside the servers of peers."""

from collections.abc import Mapping, Sequence

from lepton_bench.engine.contestants import Run
from lepton_bench.engine.context import Context
from lepton_bench.engine.outcome import median, ratio
from lepton_bench.engine.peer_names import RIVALS

STREAMS = (8, 16)

FIELDS = (
    ("first_token_p50", "ttft_p50"),
    ("first_token_p99", "ttft_p99"),
    ("gap_p50", "gap_p50"),
    ("gap_p99", "gap_p99"),
)
"""Name in the figure, and field of a summary."""

Runs = Mapping[tuple[str, int], Sequence[Run]]
"""By contestant and streams."""


def compare(context: Context, runs: Runs, ours: str) -> None:
    """Figures of ours over each rival: seconds over seconds, so that below 1 is better."""
    for streams in (number for number in STREAMS if number in context.options.sizes.streams):
        for theirs, word in RIVALS.items():
            for name, field in FIELDS:
                _one(context, runs, f"{name}_vs_{word}_c{streams}", field, (ours, theirs, streams))


def _one(context: Context, runs: Runs, figure: str, field: str, pair: tuple[str, str, int]) -> None:
    ours, theirs, streams = pair
    mine, other = _middle(runs, ours, streams, field), _middle(runs, theirs, streams, field)
    value = ratio(mine, other)
    context.figure(
        figure,
        value,
        "ratio",
        len(runs.get((ours, streams), ())) or None,
        against=f"{theirs}: {1000 * other:.3g} ms" if other is not None else None,
        note=f"{ours}: {1000 * mine:.3g} ms, {streams} streams; below 1 is better; the sample is "
        "rounds"
        if value is not None and mine is not None
        else context.why(*(who for who in (ours, theirs) if not runs.get((who, streams)))),
    )


def _middle(runs: Runs, name: str, streams: int, field: str) -> float | None:
    taken = [run.summary for run in runs.get((name, streams), ()) if run.summary]
    return median([getattr(found, field) for found in taken])
