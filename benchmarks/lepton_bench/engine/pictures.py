"""The pictures of the suite, from the curves in its results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lepton_bench.engine.chart import Line, chart

TITLES = {
    "decode": ("New tokens over streams", "streams at once", "tokens/s"),
    "load-goodput": ("Good answers over arrivals", "requests/s offered", "good answers/s"),
    "load-first-token": ("First token over arrivals", "requests/s offered", "p99 in seconds"),
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
