"""The pictures of the suite, from the curves in its results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lepton_bench.engine.chart import Line, Pen, chart

OFFERED = "requests/s offered"
TITLES = {
    "decode": ("New tokens over streams, closed loop", "streams at once", "tokens/s"),
    "load-tokens": ("New tokens over arrivals, open loop", OFFERED, "tokens/s"),
    "load-goodput": ("Good answers over arrivals, open loop", OFFERED, "good answers/s"),
    "load-first-token": ("First token of answered requests, p50", OFFERED, "seconds"),
    "load-first-token-p99": ("First token of answered requests, p99", OFFERED, "seconds"),
    "load-gap-p99": ("Gap between messages of answered requests, p99", OFFERED, "seconds"),
}
"""Title, words under the picture, words beside it."""

LOGARITHMIC = frozenset({"load-first-token", "load-first-token-p99", "load-gap-p99"})
"""Pictures whose values differ by orders of magnitude."""

COLOURS = {
    "lepton": "#0072b2",
    "transformers": "#d55e00",
    "llama-cpp": "#009e73",
    "openvino-genai": "#cc79a7",
    "ctranslate2": "#b8860b",
}
"""By project, after Okabe and Ito's palette, which the colour-blind can tell apart."""

MARKS = {"-int8": "square", "-float32": "triangle", "-auto": "diamond", "-cb": "square"}
MARKS |= {"-bf16": "diamond", "-bfloat16": "triangle"}
"""By the end of a name; a circle for all others."""


def pen(name: str) -> Pen:
    """How a contestant is drawn: one colour a project, ours without gaps."""
    colour = next((c for project, c in COLOURS.items() if name.startswith(project)), "#777777")
    mark = next((m for end, m in MARKS.items() if name.endswith(end)), "circle")
    return Pen(colour, "" if name.startswith("lepton") else "6 3", mark)


def file_name(picture: str) -> str:
    """Name of a picture's file."""
    return f"bench-{picture}.svg"


def draw(curves: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Write each picture that has curves; returns their files."""
    written = []
    for picture, words in TITLES.items():
        lines = [
            Line(curve["name"], [(x, y) for x, y in curve["points"]], pen(curve["name"]))
            for curve in curves
            if curve["picture"] == picture and curve["points"]
        ]
        if not lines:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / file_name(picture)
        path.write_text(chart(*words, lines, logarithmic=picture in LOGARITHMIC))
        written.append(path)
    return written
