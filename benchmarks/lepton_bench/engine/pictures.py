"""The pictures of the suite, from the curves in its results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lepton_bench.engine.chart import Line, chart

OFFERED = "requests/s that come"
TITLES = {
    "decode": ("New tokens over streams, closed loop", "streams at once", "tokens/s"),
    "load-tokens": ("New tokens over arrivals, open loop", OFFERED, "tokens/s"),
    "load-goodput": ("Good answers over arrivals, open loop", OFFERED, "good answers/s"),
    "load-first-token": ("First token over arrivals, p50", OFFERED, "seconds"),
    "load-first-token-p99": ("First token over arrivals, p99", OFFERED, "seconds"),
    "load-gap-p99": ("Gap between messages over arrivals, p99", OFFERED, "seconds"),
}
"""Title, words under the picture, words beside it."""


def file_name(picture: str) -> str:
    """Name of a picture's file."""
    return f"bench-{picture}.svg"


def ours(curve: dict[str, Any]) -> bool:
    """Whether it is the worker's; the peers' are dashed and stand below."""
    return str(curve["name"]).startswith("lepton")


def draw(curves: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Write each picture that has curves; returns their files."""
    written = []
    for picture, words in TITLES.items():
        lines = [
            Line(curve["name"], [(x, y) for x, y in curve["points"]], dashed=not ours(curve))
            for curve in sorted(curves, key=lambda curve: (not ours(curve), curve["name"]))
            if curve["picture"] == picture and curve["points"]
        ]
        if not lines:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / file_name(picture)
        path.write_text(chart(*words, lines))
        written.append(path)
    return written
